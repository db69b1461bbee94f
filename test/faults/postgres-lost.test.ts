import { setTimeout as delay } from 'node:timers/promises'
import { beforeEach, expect, test, vi } from 'vitest'
import { expectExactAccounts } from './kit/accounts.ts'
import { callOnce, type Load, startLoad, tally } from './kit/caller.ts'
import { shortOrLong } from './kit/length.ts'
import type { ProviderScript } from './kit/provider-script.ts'
import type { Replica } from './kit/replica.ts'
import { type Tenant, wideBudgets } from './kit/tenants.ts'
import { worldOfFile } from './kit/world-of-file.ts'

vi.setConfig({ testTimeout: shortOrLong(120_000, 400_000), hookTimeout: 120_000 })

/** Replays what has gathered during the longest outage, at 500 rows a second and replica. */
const accountsMsMax = 60_000

/** Without a budget, so that nothing of it needs the database. */
let free: Tenant
/** With hard budgets wide enough never to be used up. */
let budgeted: Tenant
const world = worldOfFile(async ({ tenants }) => {
  free = await tenants.create()
  budgeted = await tenants.create({ budgets: wideBudgets })
  // Replicas ask for changed keys every 4 s, and know nothing any more of those that they hear of.
  await delay(5_000)
})
beforeEach(async () => {
  // Every replica knows both keys from now on.
  for (const tenant of [free, budgeted]) await world().introduce(tenant)
})

const replicaOf = (client: number): Replica => world().replicas[client % world().replicas.length] as Replica

function loadOf(tenant: Tenant): Load {
  const scripts: ProviderScript[] = [{}, { chunks: 5, everyMs: 20 }, { afterMs: 200, outputTokens: 50 }]
  return startLoad(tenant, {
    clients: 6,
    replica: replicaOf,
    script: (client) => scripts[client % scripts.length] as ProviderScript,
    options: (client) => ({ stream: client % 2 === 0 }),
    pauseMs: 60,
  })
}

/** Runs `outage` under load of both tenants. */
async function underLoad(outage: () => Promise<void>) {
  const loads = [loadOf(free), loadOf(budgeted)]
  await delay(500)
  await outage()
  await delay(500)
  const [freely, onBudget] = await Promise.all(loads.map((load) => load.stop()))
  return { free: freely ?? [], budgeted: onBudget ?? [] }
}

/** A budget that cannot be asked may only say so: never that it is used up, nor that the key is not one. */
const mayHappenOnABudget = ['200', '503 budget_unverifiable']

test('stopped for a while: known keys are served, none is called wrong, and nothing is lost or doubled', async () => {
  const outcomes = await underLoad(async () => {
    await world().postgres.stop()
    expect(await callOnce(replicaOf(0), { secret: 'nobody-knows-this-secret-0001' })).toMatchObject({
      status: 503,
      code: 'auth_unavailable',
    })
    await delay(shortOrLong(8_000, 60_000))
    await world().postgres.start()
  })
  expect(tally(outcomes.free)).toEqual({ 200: outcomes.free.length })
  expect(outcomes.free.length).toBeGreaterThan(50)
  expect(mayHappenOnABudget).toEqual(expect.arrayContaining(Object.keys(tally(outcomes.budgeted))))
  await expectExactAccounts(world(), accountsMsMax)
  for (const replica of world().replicas) expect(await callOnce(replica, budgeted)).toMatchObject({ status: 200 })
})

test('frozen: every call is answered within its time, and nothing is lost or doubled', async () => {
  const outcomes = await underLoad(async () => {
    world().postgres.proxy.mode = 'freeze'
    await delay(shortOrLong(6_000, 60_000))
    world().postgres.proxy.mode = 'up'
  })
  expect(tally(outcomes.free)).toEqual({ 200: outcomes.free.length })
  expect(mayHappenOnABudget).toEqual(expect.arrayContaining(Object.keys(tally(outcomes.budgeted))))
  await expectExactAccounts(world(), accountsMsMax)
})

test('slow: calls of known keys do not wait for it', async () => {
  const latencyMs = 200
  const outcomes = await underLoad(async () => {
    world().postgres.proxy.latencyMs = latencyMs
    await delay(shortOrLong(4_000, 30_000))
    world().postgres.proxy.latencyMs = 0
  })
  expect(tally(outcomes.free)).toEqual({ 200: outcomes.free.length })
  expect(mayHappenOnABudget).toEqual(expect.arrayContaining(Object.keys(tally(outcomes.budgeted))))
  const sorted = outcomes.free.map(({ sentMs, endedMs }) => endedMs - sentMs).sort((a, b) => a - b)
  // A script takes 200 ms at most; had they waited, half of the calls would have taken a round trip more.
  expect(sorted[Math.floor(sorted.length / 4)]).toBeLessThan(2 * latencyMs)
  await expectExactAccounts(world(), accountsMsMax)
})

test('killed in the middle of settlements, and its connections cut: nothing is lost or doubled', async () => {
  let kills = 0
  const outcomes = await underLoad(async () => {
    for (let round = 0; round < shortOrLong(3, 25); round++) {
      if (await world().postgres.killSettlement(3_000)) kills++
      await delay(300)
      world().postgres.proxy.cut()
      // The next batch of settlements is committed, and its sender does not hear of it.
      const { cuts } = world().postgres.proxy
      world().postgres.proxy.cutAnswerTo(4_000)
      for (let waits = 0; world().postgres.proxy.cuts === cuts && waits < 30; waits++) await delay(100)
    }
  })
  expect(kills).toBeGreaterThan(0)
  expect(world().postgres.proxy.cuts).toBeGreaterThan(0)
  expect(tally(outcomes.free)).toEqual({ 200: outcomes.free.length })
  expect(mayHappenOnABudget).toEqual(expect.arrayContaining(Object.keys(tally(outcomes.budgeted))))
  await expectExactAccounts(world(), accountsMsMax)
})
