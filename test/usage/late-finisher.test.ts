import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createUsageStore, type UsageStore } from '../../src/core/usage/usage.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { testOrganizationId, usageEnd, usageIntent } from '../support/usage-records.ts'

const budgetId = '0193591c-7d5c-7abc-8def-0000000000b1'
const periodId = '0193591c-7d5c-7abc-8def-0000000000b2'
const leaseId = '0193591c-7d5c-7abc-8def-0000000000b3'
const reservedNano = 1_000n

let database: TestDatabase
let store: UsageStore
beforeAll(async () => {
  database = await createTestDatabase()
  store = createUsageStore(database.pools.settlement)
})
afterAll(() => database.drop())

/** One call has reserved all that its replica has leased. */
beforeEach(async () => {
  const { admin } = database.pools
  await admin.query('truncate usage_records, usage_attempts, ledger_entries, budgets, organizations cascade')
  await admin.query(`insert into organizations (id, slug, name) values ($1, 'o', 'o')`, [testOrganizationId])
  await admin.query(
    `insert into budgets (id, organization_id, amount_nano, period, mode, managed_by)
     values ($1, $2, 10000, 'total', 'hard', 'operator')`,
    [budgetId, testOrganizationId],
  )
  await admin.query(
    `insert into budget_periods (id, budget_id, period_start, limit_nano, mode, leased_nano)
     values ($1, $2, '2026-01-01', 10000, 'hard', $3)`,
    [periodId, budgetId, reservedNano],
  )
  await admin.query(
    `insert into budget_leases (id, budget_period_id, owner_replica, amount_nano, sequence)
     values ($1, $2, 'replica-1', $3, 1)`,
    [leaseId, periodId, reservedNano],
  )
})

const apply = async (record: object): Promise<void> => void (await store.apply(Buffer.from(JSON.stringify([record]))))

const held = { reserved_nano: `${reservedNano}`, budget_period_ids: [periodId], budget_lease_ids: [leaseId] }

/** The call is closed by the sweeper at `estimate`, and ends at `cost` after all. */
async function closeAndFinish(estimate: bigint, cost: bigint, between: () => Promise<unknown> = async () => {}) {
  const intent = usageIntent({ ...held })
  const costing = (nano: bigint) => ({ ...held, provider_cost_nano: `${nano}`, charged_nano: `${nano}` })
  await apply(usageEnd(intent, { ...costing(estimate), state: 'estimated', finish: 'orphaned', attempts: [] }))
  await between()
  await apply(usageEnd(intent, { ...costing(cost), attempts: [] }))
}

async function standing(): Promise<{ committed: string; leased: string; lease: string | null }> {
  const { rows } = await database.pools.admin.query(
    `select p.committed_nano as committed, p.leased_nano as leased, l.amount_nano as lease
     from budget_periods p left join budget_leases l on l.budget_period_id = p.id`,
  )
  return rows[0]
}

test.for([
  ['more than its estimate', 200n, 700n],
  ['less than its estimate', 700n, 200n],
  ['its estimate', 400n, 400n],
  ['more than was held for it', 200n, 1_500n],
] as const)(
  'the replica came back before its lease was taken, and the call cost %s: that has left the lease, and nothing else',
  async ([, estimate, cost]) => {
    await closeAndFinish(estimate, cost)
    // As if nobody had estimated anything: the replica gives back what is left of what it had held.
    const left = cost < reservedNano ? reservedNano - cost : 0n
    expect(await standing()).toEqual({ committed: `${cost}`, leased: `${left}`, lease: `${left}` })
  },
)

test('the replica came back after its lease was taken: there is nothing to take from', async () => {
  await closeAndFinish(200n, 700n, async () => {
    await database.pools.admin.query('delete from budget_leases')
    await database.pools.admin.query('update budget_periods set leased_nano = 0')
  })
  expect(await standing()).toEqual({ committed: '700', leased: '0', lease: null })
})
