import { setTimeout as delay } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { expectExactAccounts, recordsOf } from './kit/accounts.ts'
import { callOnce, startLoad, tally } from './kit/caller.ts'
import { shortOrLong } from './kit/length.ts'
import type { ProviderScript } from './kit/provider-script.ts'
import type { Replica } from './kit/replica.ts'
import { wideBudgets } from './kit/tenants.ts'
import { worldOfFile } from './kit/world-of-file.ts'

vi.setConfig({ testTimeout: shortOrLong(150_000, 1_200_000), hookTimeout: 120_000 })

/** Everything that a dead replica leaves is to be closed by then; a busy machine gets some time on top. */
const sweptMsMax = 60_000
const patienceMs = sweptMsMax + 20_000

const world = worldOfFile()
const replicas = () => world().replicas as [Replica, Replica, Replica] // as many as a world has

/** What clients of all sorts ask for, some of it long enough to be checkpointed several times. */
const assortedScripts: readonly ProviderScript[] = [
  { chunks: 2 },
  { chunks: 5, afterMs: 120 },
  { chunks: 40, everyMs: 100 },
  { chunks: 10, everyMs: 20, outputTokens: 33 },
  { afterMs: 3_000, chunks: 4 },
]
const assorted = (client: number): ProviderScript => assortedScripts[client % assortedScripts.length] as ProviderScript

test('killed under load with streams open, and started again on its data folder: all is accounted, once', async () => {
  const tenant = await world().tenants.create({ budgets: wideBudgets })
  for (let round = 0; round < shortOrLong(1, 10); round++) {
    const victim = replicas()[round % 3] as Replica
    const load = (of: readonly Replica[]) =>
      startLoad(tenant, {
        clients: 10,
        replica: (client) => of[client % of.length],
        script: assorted,
        options: (client) => ({ stream: client % 5 !== 1 }),
      })
    const onVictim = load([victim])
    const onOthers = load(replicas().filter((replica) => replica !== victim))
    await delay(3_000)
    await victim.kill()
    await delay(1_500)
    const [cutShort, served] = [await onVictim.stop(), await onOthers.stop()]
    await victim.start()

    // Those who were with another replica have not noticed.
    expect(tally(served)).toEqual({ 200: served.length })
    expect(cutShort.some(({ isWhole }) => isWhole)).toBe(true)
    expect(cutShort.some(({ isWhole }) => !isWhole)).toBe(true)
    await expectExactAccounts(world(), patienceMs)
    const records = await recordsOf(world().postgres.pool, tenant)
    for (const { requestId, isWhole } of [...cutShort, ...served]) {
      // Who has seen the end of an answer pays what the provider said, killed or not.
      if (isWhole) expect(records.get(requestId ?? '')).toMatchObject({ state: 'settled', usage_source: 'provider' })
    }
  }
  const finishes = [...(await recordsOf(world().postgres.pool, tenant)).values()].map(({ finish }) => finish)
  expect(finishes).toContain('orphaned')
})

test('paused for less than its heartbeat allows: nothing is estimated, and its answers come late but whole', async () => {
  const tenant = await world().tenants.create({ budgets: wideBudgets })
  const [, paused] = replicas()
  const outcomes = Promise.all(
    Array.from({ length: 10 }, (_, client) =>
      callOnce(paused, tenant, { chunks: 20, everyMs: 50 }, { stream: client % 2 === 0 }),
    ),
  )
  await delay(400)
  paused.pause()
  await delay(shortOrLong(4_000, 20_000))
  paused.resume()
  expect(tally(await outcomes)).toEqual({ 200: 10 })
  await expectExactAccounts(world(), patienceMs)
  const records = [...(await recordsOf(world().postgres.pool, tenant)).values()]
  expect(records.map(({ state, usage_source }) => `${state} ${usage_source}`)).toEqual(
    records.map(() => 'settled provider'),
  )
})
