import { afterEach, beforeEach, expect, test } from 'vitest'
import { type BudgetStore, createBudgetStore } from '../../src/core/budgets/budgets.store.ts'
import { createUuidV7Source } from '../../src/core/ids.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const newId = createUuidV7Source()
const id = (): string => newId(Date.now())
const later = new Date(Date.UTC(2999, 0))
const actor = { kind: 'operator', id: 'ops' } as const

let database: TestDatabase
let store: BudgetStore
beforeEach(async () => {
  database = await createTestDatabase()
  store = createBudgetStore(database.pools.admin)
})
afterEach(() => database.drop())

const rows = async (sql: string, values: unknown[] = []) => (await database.pools.admin.query(sql, values)).rows

const ids = { organization: id(), team: id(), key: id() }
async function insertOwners(): Promise<void> {
  await rows(`insert into organizations (id, slug, name) values ($1, 'acme', 'Acme')`, [ids.organization])
  await rows(`insert into teams (id, organization_id, slug, name) values ($1, $2, 'search', 'Search')`, [
    ids.team,
    ids.organization,
  ])
  await rows(
    `insert into api_keys (id, organization_id, team_id, name, secret_digest, pepper_id, display_prefix, last4, managed_by)
     values ($1, $2, $3, 'crawler', sha256('x'), 'p', '', '', 'admin')`,
    [ids.key, ids.organization, ids.team],
  )
}

async function insertBudget(columns: Record<string, unknown>): Promise<string> {
  const all = { id: id(), amount_nano: '1000', period: 'month', mode: 'hard', managed_by: 'admin', ...columns }
  const names = Object.keys(all)
  await rows(
    `insert into budgets (${names.join(', ')}) values (${names.map((_, at) => `$${at + 1}`).join(', ')})`,
    Object.values(all),
  )
  return all.id
}

async function insertPeriod(budgetId: string, when: string, committed: number, leased: number): Promise<string> {
  const periodId = id()
  await rows(
    `insert into budget_periods (id, budget_id, period_start, period_end, limit_nano, mode, committed_nano, leased_nano)
     values ($1, $2, date_trunc('month', now() ${when}, 'UTC'), date_trunc('month', now() ${when} + interval '1 month', 'UTC'), 1, 'hard', $3, $4)`,
    [periodId, budgetId, committed, leased],
  )
  return periodId
}

test('every budget is there with its owner, and how its current period stands', async () => {
  await insertOwners()
  const spent = await insertBudget({ team_id: ids.team })
  await insertPeriod(spent, `- interval '1 month'`, 900, 1)
  const current = await insertPeriod(spent, '', 600, 300)
  for (const [kind, percent, difference] of [
    ['threshold', 80, null],
    ['threshold', 50, null],
    ['overrun', null, 5],
    ['audit', null, 3],
  ]) {
    await rows(
      `insert into budget_alerts (id, budget_period_id, kind, threshold_percent, committed_nano, limit_nano, difference_nano)
       values ($1, $2, $3, $4, 1, 1, $5)`,
      [id(), current, kind, percent, difference],
    )
  }
  await insertBudget({ api_key_id: ids.key, period: 'total', mode: 'soft' })
  await insertBudget({ organization_id: ids.organization, period: 'day', time_zone: 'Asia/Tokyo' })
  await insertBudget({ organization_id: ids.organization, tag_key: 'env', tag_value: 'test', period: 'day' })
  await insertBudget({ tag_key: 'env', tag_value: 'prod', period: 'day', managed_by: 'file' })

  const standings = await store.list()
  const byScope = (scope: string) => standings.filter(({ owner }) => owner.scope === scope)
  expect(standings).toHaveLength(5)
  expect(byScope('team')).toMatchObject([
    {
      id: spent,
      owner: { organization: 'acme', team: 'search', key: undefined, tag: undefined },
      limitNano: 1_000n,
      committedNano: 600n,
      leasedNano: 300n,
      leftNano: 100n,
      alerts: { percent: [50, 80], overruns: 1, differences: 1 },
    },
  ])
  expect(byScope('key')).toMatchObject([
    {
      owner: { key: 'crawler', organization: 'acme', team: 'search', isRevoked: false },
      mode: 'soft',
      periodEnd: undefined,
      committedNano: 0n,
      leftNano: 1_000n,
      alerts: { percent: [], overruns: 0, differences: 0 },
    },
  ])
  const [tokyo] = byScope('organization')
  expect(tokyo?.periodStart.toISOString()).toContain('T15:00:00.000Z')
  expect(tokyo?.periodEnd?.getTime()).toBe((tokyo?.periodStart.getTime() ?? 0) + 86_400_000)
  expect(byScope('tag').map(({ owner, managedBy }) => [owner.tag, owner.organization, managedBy])).toEqual([
    [{ name: 'env', value: 'test' }, 'acme', 'admin'],
    [{ name: 'env', value: 'prod' }, undefined, 'file'],
  ])
})

test('a limit is what holds now: the amount, and an increase that is not over', async () => {
  await insertOwners()
  const raised = { temporary_increase_nano: '500', temporary_increase_by: 'operator' }
  await insertBudget({ ...raised, organization_id: ids.organization, temporary_increase_until: later, period: 'day' })
  const over = { ...raised, temporary_increase_until: new Date(Date.UTC(2020, 0)), period: 'week' }
  await insertPeriod(await insertBudget({ ...over, organization_id: ids.organization }), '', 1_200, 0)
  expect(await store.list()).toMatchObject([
    { limitNano: 1_500n, leftNano: 1_500n, increase: { amountNano: 500n, until: later, by: 'operator' } },
    { limitNano: 1_000n, leftNano: -200n, increase: undefined },
  ])
})

test('raising a budget is a change with its audit event, and can be taken back', async () => {
  await insertOwners()
  const budgetId = await insertBudget({ organization_id: ids.organization, managed_by: 'file' })
  const raise = (amountNano: bigint, until = later) =>
    store.raise({ id: budgetId, auditId: id(), amountNano, until, actor })
  expect(await raise(700n)).toMatchObject({ ok: true, budget: { limitNano: 1_700n, increase: { by: 'operator' } } })
  expect(await raise(0n, new Date(0))).toMatchObject({ ok: true, budget: { limitNano: 1_000n, increase: undefined } })
  expect(
    await rows(
      `select actor_kind, actor_id, action, subject_id, organization_id, before, after from audit_events
       order by created_at, id`,
    ),
  ).toEqual([
    {
      actor_kind: 'operator',
      actor_id: 'ops',
      action: 'budget.raise',
      subject_id: budgetId,
      organization_id: ids.organization,
      before: { amountNano: '1000', temporaryIncrease: null },
      after: { amountNano: '1000', temporaryIncrease: { amountNano: '700', until: later.toISOString() } },
    },
    expect.objectContaining({ after: { amountNano: '1000', temporaryIncrease: null } }),
  ])
})

test('what cannot be raised is left alone, and leaves no trace', async () => {
  await insertOwners()
  const raise = (budgetId: string, until: Date) =>
    store.raise({ id: budgetId, auditId: id(), amountNano: 1n, until, actor })
  const declared = await insertBudget({
    organization_id: ids.organization,
    temporary_increase_nano: '5',
    temporary_increase_until: later,
    temporary_increase_by: 'file',
  })
  const plain = await insertBudget({ organization_id: ids.organization })
  expect(await raise(id(), later)).toEqual({ ok: false, reason: 'not_found' })
  expect(await raise(declared, later)).toEqual({ ok: false, reason: 'declared' })
  expect(await raise(plain, new Date(Date.UTC(2020, 0)))).toEqual({ ok: false, reason: 'past' })
  expect(await rows('select from audit_events')).toEqual([])
  expect(
    await rows('select temporary_increase_nano as nano from budgets order by temporary_increase_nano desc'),
  ).toEqual([{ nano: '5' }, { nano: '0' }])
})
