import { setTimeout as delay } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { expectExactAccounts, leasedNano, netCharges, recordsOf } from './kit/accounts.ts'
import { callOnce } from './kit/caller.ts'
import { shortOrLong } from './kit/length.ts'
import type { ProviderCall } from './kit/provider.ts'
import type { ProviderScript } from './kit/provider-script.ts'
import type { Replica } from './kit/replica.ts'
import { type Tenant, wideBudgets } from './kit/tenants.ts'
import { models, outputNanoPerToken } from './kit/world.ts'
import { worldOfFile } from './kit/world-of-file.ts'

vi.setConfig({ testTimeout: shortOrLong(150_000, 400_000), hookTimeout: 120_000 })

/** Everything that a dead replica leaves is to be closed by then; a busy machine gets some time on top. */
const sweptMsMax = 60_000
const patienceMs = sweptMsMax + 20_000

const world = worldOfFile()
const replicas = () => world().replicas as [Replica, Replica, Replica] // as many as a world has

async function callsOf(tenant: Tenant): Promise<ProviderCall[]> {
  const records = await recordsOf(world().postgres.pool, tenant)
  return (await world().provider.calls()).filter(({ requestId }) => records.has(requestId))
}

const streams = 6

test.concurrent('lost with its disk: what was checkpointed is closed as an estimate, and what it held is free', async () => {
  const tenant = await world().tenants.create({ budgets: wideBudgets })
  const [, lost] = replicas()
  const script: ProviderScript = { chunks: 1_000, everyMs: 100 }
  const outcomes = Promise.all(Array.from({ length: streams }, () => callOnce(lost, tenant, script, { stream: true })))
  // Long enough to have been checkpointed twice.
  await delay(4_500)
  await lost.kill()
  const killedMs = performance.now()
  await lost.loseDisk()
  expect((await outcomes).some(({ isWhole }) => isWhole)).toBe(false)
  await eventually(
    'its calls to be closed',
    async () => {
      const records = [...(await recordsOf(world().postgres.pool, tenant)).values()]
      return records.length === streams && records.every(({ state }) => state === 'estimated')
    },
    patienceMs,
  )
  await eventually(
    'its leases to be returned',
    async () => (await leasedNano(world().postgres.pool, tenant)) === 0n,
    patienceMs,
  )
  expect(performance.now() - killedMs).toBeLessThan(patienceMs)
  for (const record of (await recordsOf(world().postgres.pool, tenant)).values()) {
    expect(record).toMatchObject({ state: 'estimated', finish: 'orphaned' })
    // What had been received when the last checkpoint was taken.
    expect(BigInt(record.provider_cost_nano)).toBeGreaterThan(0n)
  }
  await lost.start()
  expect(await callOnce(lost, tenant)).toMatchObject({ status: 200 })
})

test.concurrent('paused until its calls were closed by others: what it then knows better is adjusted', async () => {
  const tenant = await world().tenants.create({ budgets: wideBudgets })
  const [, , paused] = replicas()
  // It has been streaming for a while, and ends while the replica sleeps.
  const script: ProviderScript = { chunks: 80, everyMs: 50 }
  const outcomes = Promise.all(
    Array.from({ length: streams }, () => callOnce(paused, tenant, script, { stream: true })),
  )
  await delay(3_000)
  const pausedMs = performance.now()
  paused.pause()
  try {
    await eventually(
      'its calls to be closed by another replica',
      async () => {
        const records = [...(await recordsOf(world().postgres.pool, tenant)).values()]
        return records.length === streams && records.every(({ state }) => state === 'estimated')
      },
      patienceMs,
    )
    await delay(shortOrLong(0, 90_000 - (performance.now() - pausedMs)))
  } finally {
    paused.resume()
  }
  await outcomes
  await eventually(
    'the adjustments',
    async () => {
      const { rows } = await world().postgres.pool.query(
        `select distinct l.request_id from ledger_entries l where l.key_id = $1 and l.kind = 'adjust'`,
        [tenant.keyId],
      )
      return rows.length >= streams
    },
    patienceMs,
  )
  const calls = await callsOf(tenant)
  const net = await netCharges(world().postgres.pool, tenant)
  for (const { requestId, end } of calls) {
    if (end?.how !== 'whole' || end.usage === undefined) continue
    // By itself, and for each of the two budgets.
    const actual = BigInt(end.usage.completion_tokens) * outputNanoPerToken
    expect(net.get(requestId), requestId).toEqual([actual, actual, actual])
  }
})

test.concurrent('its slots of a concurrency limit are free again, and nobody gets more than there are', async () => {
  const maxConcurrent = 6
  const tenant = await world().tenants.create({ rateLimits: [{ scope: 'key', maxConcurrent }] })
  const [first, lost] = replicas()
  // It is killed by the first of these tests, while all of these are under way. No other calls are for this model.
  const options = { stream: true, model: models.priced }
  const held = Promise.all(Array.from({ length: maxConcurrent }, () => callOnce(lost, tenant, { hang: true }, options)))
  await eventually('the slots to be taken', async () => {
    const calls = await world().provider.calls()
    return calls.filter(({ model }) => models.priced.endsWith(model)).length === maxConcurrent
  })
  // Where the machine pauses for too long, a replica counts for itself for a moment; that is told by a header.
  const isRefused = async (): Promise<boolean> => {
    const { status, code } = await callOnce(first, tenant)
    return status === 429 && code === 'concurrency_limit_exceeded'
  }
  const isServed = async (): Promise<boolean> => {
    const { status, headers } = await callOnce(first, tenant)
    return status === 200 && !headers.has('x-gateway-degraded')
  }
  await eventually('a call beyond them to be refused', isRefused)
  expect((await held).some(({ isWhole }) => isWhole)).toBe(false)
  await eventually('the slots to be held for their replica although it is gone', isRefused)
  await eventually('a slot to be free', isServed, patienceMs)
})

test('the books of all that are exact', async () => {
  await expectExactAccounts(world(), patienceMs)
})
