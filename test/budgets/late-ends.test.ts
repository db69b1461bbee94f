import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLedgerAuditStore } from '../../src/core/budgets/ledger-audit.store.ts'
import { createCheckpointStore } from '../../src/core/usage/checkpoints.store.ts'
import { createOrphanSweeper } from '../../src/core/usage/orphan-sweeper.ts'
import { createOrphanStore } from '../../src/core/usage/orphans.store.ts'
import { createUsageStore } from '../../src/core/usage/usage.store.ts'
import type { UsageIntent } from '../../src/core/usage/usage-record.ts'
import { installSimulatedTimers } from '../simulator/simulated-timers.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { silent } from '../support/log.ts'
import { usageEnd, usageIntent } from '../support/usage-records.ts'
import { LeaseWorld } from './lease-world.ts'

let database: TestDatabase
let uninstall: () => void
beforeAll(async () => {
  database = await createTestDatabase()
  uninstall = installSimulatedTimers()
})
afterAll(async () => {
  uninstall()
  await database.drop()
})

/** The owner as the database knows it. */
async function beat(owner: string, agoMs: number): Promise<void> {
  await database.pools.admin.query(
    `insert into replicas (id, host, pid, version, label, started_at, heartbeat_at)
     values ($1, 'test', 1, '0', 'main', now(), clock_timestamp() - $2 * interval '1 millisecond')
     on conflict (id) do update set heartbeat_at = excluded.heartbeat_at`,
    [owner, agoMs],
  )
}

async function checkpoint(intent: UsageIntent, costNano: number): Promise<void> {
  const { input_tokens_estimate, orphan_cost_nano: _, ...shared } = intent
  await createCheckpointStore(database.pools.settlement).write([
    {
      ...shared,
      input_tokens: input_tokens_estimate,
      checkpoint_output_tokens: 5,
      provider_cost_nano: String(costNano),
    },
  ])
}

const sweeper = (owner: string) =>
  createOrphanSweeper({
    store: createOrphanStore(database.pools.settlement),
    usage: createUsageStore(database.pools.settlement),
    vanished: async (owners) => new Set(owners.filter((one) => one === owner)),
    clock: { nowMs: () => Date.UTC(2031, 0, 15), monotonicMs: () => 0 },
    log: silent,
  })

async function apply(intent: UsageIntent, costNano: number): Promise<number> {
  const cost = String(costNano)
  const end = usageEnd(intent, { provider_cost_nano: cost, charged_nano: cost, total_ms: 40_000 })
  return (await createUsageStore(database.pools.settlement).apply(Buffer.from(JSON.stringify([end])))).changed
}

test.each([
  ['more', 30],
  ['less', 3],
])('a call that was taken for an orphan and cost %s leaves its lease as its owner knows it', async (_, costNano) => {
  const world = new LeaseWorld(database.pools.request)
  const owner = `alive-${costNano}`
  const budget = await world.budget(1_000)
  const held = await world.hold(owner, [budget], 50n)
  const intent = usageIntent({
    reserved_nano: '50',
    budget_period_ids: held.periodIds,
    budget_lease_ids: held.leaseIds,
    owner_replica: owner,
  })
  await checkpoint(intent, 10)
  // Silent when the sweeper looked, and back before its leases were taken.
  await beat(owner, 0)
  const { calls, leases } = await sweeper(owner).sweep()
  expect({ calls, leases }).toEqual({ calls: 1, leases: 0 })
  expect(await world.standing(budget)).toMatchObject([{ committed: 10, leased: 40 }])
  held.settle(BigInt(costNano))
  expect(await apply(intent, costNano)).toBe(1)
  expect(await apply(intent, costNano)).toBe(0)
  expect(await world.standing(budget)).toMatchObject([{ committed: costNano, leased: 50 - costNano }])
  expect(world.book(owner).statistics().freeNano).toBe(BigInt(50 - costNano))
  await world.pass(5_000)
  expect(await world.standing(budget)).toMatchObject([{ committed: costNano, leased: 0 }])
})

test('what a dead replica held comes back, its calls are estimated, and a late end corrects that once', async () => {
  const world = new LeaseWorld(database.pools.request)
  const budget = await world.budget(1_000)
  const held = await world.hold('dead', [budget], 50n)
  const intent = usageIntent({
    reserved_nano: '50',
    budget_period_ids: held.periodIds,
    budget_lease_ids: held.leaseIds,
    owner_replica: 'dead',
  })
  await checkpoint(intent, 10)
  await beat('dead', 31_000)
  const report = await sweeper('dead').sweep()
  expect(report).toEqual({ replicas: 1, calls: 1, leases: 1, returnedNano: 40n })
  expect(await world.standing(budget)).toMatchObject([{ committed: 10, leased: 0, rows: 0 }])
  expect(await sweeper('dead').sweep()).toEqual({ replicas: 0, calls: 0, leases: 0, returnedNano: 0n })
  expect(await apply(intent, 23)).toBe(1)
  expect(await apply(intent, 23)).toBe(0)
  expect(await world.standing(budget)).toMatchObject([{ committed: 23, leased: 0 }])
})

test.each([
  ['committed', 'update budget_periods set committed_nano = committed_nano + 1 where budget_id = $1', 1n, 0n],
  ['leased', 'update budget_periods set leased_nano = leased_nano + 7 where budget_id = $1', 0n, 7n],
  [
    'a lease',
    `update budget_leases l set amount_nano = l.amount_nano + 3 from budget_periods p
     where p.id = l.budget_period_id and p.budget_id = $1`,
    0n,
    -3n,
  ],
])('the audit finds what was done to %s, and corrects nothing', async (_, change, committedOff, leasedOff) => {
  const world = new LeaseWorld(database.pools.request)
  const budget = await world.budget(1_000)
  await world.settle(await world.hold('a', [budget], 50n), 20)
  const audit = createLedgerAuditStore(database.pools.admin)
  const ours = async () => (await audit.audit(0))?.differences.filter(({ budgetId }) => budgetId === budget.id)
  expect(await ours()).toEqual([])
  await database.pools.admin.query(change, [budget.id])
  const [before] = await world.standing(budget)
  for (const differences of [await ours(), await ours()]) {
    expect(differences).toHaveLength(1)
    const [{ committedNano = 0n, ledgerNano = 0n, leasedNano = 0n, leasesNano = 0n } = {}] = differences ?? []
    expect([committedNano - ledgerNano, leasedNano - leasesNano]).toEqual([committedOff, leasedOff])
  }
  expect(await world.standing(budget)).toEqual([before])
})
