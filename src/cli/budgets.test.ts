import { expect, test } from 'vitest'
import type { BudgetRaise, BudgetStanding, BudgetStore } from '../core/budgets/budgets.store.ts'
import { listBudgets, raiseBudget } from './budgets.ts'
import { dollars } from './dollars.ts'

const budgetId = '0192e4a0-0000-7000-8000-000000000001'

const standing = (changes: Partial<BudgetStanding> = {}): BudgetStanding => ({
  id: 'b1',
  owner: {
    scope: 'organization',
    key: undefined,
    isRevoked: false,
    organization: 'acme',
    team: undefined,
    tag: undefined,
  },
  period: 'month',
  timeZone: 'UTC',
  mode: 'hard',
  managedBy: 'file',
  alertThresholdsPercent: [50, 80, 100],
  amountNano: 100_000_000_000n,
  increase: undefined,
  periodStart: new Date('2026-11-01T00:00:00Z'),
  periodEnd: new Date('2026-12-01T00:00:00Z'),
  limitNano: 100_000_000_000n,
  committedNano: 55_500_000_000n,
  leasedNano: 4_500_000_000n,
  leftNano: 40_000_000_000n,
  alerts: { percent: [50], overruns: 0, differences: 0 },
  ...changes,
})

function openBench(standings: BudgetStanding[] = [], raised?: Awaited<ReturnType<BudgetStore['raise']>>) {
  const lines: string[] = []
  const raises: BudgetRaise[] = []
  const budgets: BudgetStore = {
    list: async () => standings,
    page: async () => [],
    byId: async () => [],
    periods: async () => [],
    async raise(raise) {
      raises.push(raise)
      return raised ?? { ok: false, reason: 'not_found' }
    },
  }
  const deps = {
    budgets,
    newId: () => 'audit-id',
    clock: { nowMs: () => 0, monotonicMs: () => 0 },
    actor: { kind: 'operator', id: undefined },
    print: (line: string) => void lines.push(line),
  } as const
  return { deps, lines, raises }
}

test('the list has a line for each budget: whose it is, what is spent, held and left, and its alerts', async () => {
  const { owner } = standing()
  const { deps, lines } = openBench([
    standing(),
    standing({
      id: 'b2',
      owner: { ...owner, scope: 'team', team: 'search' },
      period: 'week',
      timeZone: 'Europe/Berlin',
      mode: 'soft',
      limitNano: 105_000_000_000n,
      increase: { amountNano: 5_000_000_000n, until: new Date('2026-12-24T00:00:00Z'), by: 'operator' },
      leasedNano: 0n,
      leftNano: -500_000_000n,
      alerts: { percent: [50, 80, 100], overruns: 2, differences: 1 },
    }),
    standing({ id: 'b3', owner: { ...owner, scope: 'key', key: 'old', team: 'search', isRevoked: true } }),
    standing({ id: 'b4', owner: { ...owner, scope: 'tag', tag: { name: 'env', value: 'test' } } }),
    standing({
      id: 'b5',
      owner: { ...owner, scope: 'tag', organization: undefined, tag: { name: 'env', value: 'prod' } },
      period: 'total',
      periodEnd: undefined,
      alerts: { percent: [], overruns: 0, differences: 0 },
    }),
  ])
  await listBudgets(deps)
  expect(lines.map((line) => line.split(/ {2,}/))).toEqual([
    ['ID', 'OWNER', 'PERIOD', 'ENDS', 'MODE', 'LIMIT', 'COMMITTED', 'LEASED', 'LEFT', 'ALERTS'],
    ['b1', 'organization acme', 'month', '2026-12-01 00:00Z', 'hard', '$100', '$55.5', '$4.5', '$40', '50%'],
    [
      ...['b2', 'team acme/search', 'week Europe/Berlin', '2026-12-01 00:00Z', 'soft'],
      ...['$105 (+$5 until 2026-12-24 00:00Z)', '$55.5', '$0', '-$0.5'],
      '50%, 80%, 100%, 2 overruns, audit: 1 difference',
    ],
    expect.arrayContaining(['b3', 'key old (revoked) of acme/search']),
    expect.arrayContaining(['b4', 'tag env=test of acme']),
    ['b5', 'tag env=prod', 'total', 'never', 'hard', '$100', '$55.5', '$4.5', '$40'],
  ])
})

test('--json is an array, with money as text in nano-USD', async () => {
  const { deps, lines } = openBench([standing()])
  await listBudgets(deps, { json: true })
  expect(JSON.parse(lines.join(''))).toEqual([
    {
      id: 'b1',
      owner: { scope: 'organization', key: null, organization: 'acme', team: null, tag: null, revoked: false },
      period: 'month',
      timeZone: 'UTC',
      mode: 'hard',
      managedBy: 'file',
      periodStart: '2026-11-01T00:00:00.000Z',
      periodEnd: '2026-12-01T00:00:00.000Z',
      amountNano: '100000000000',
      increase: null,
      limitNano: '100000000000',
      committedNano: '55500000000',
      leasedNano: '4500000000',
      leftNano: '40000000000',
      alerts: { percent: [50], overruns: 0, differences: 0 },
    },
  ])
})

test('without any budget it says how to have one', async () => {
  const { deps, lines } = openBench()
  await listBudgets(deps)
  expect(lines).toEqual([expect.stringContaining('Declare them in the config file')])
})

const until = new Date('2026-12-24T00:00:00Z')

test('raising says what holds now', async () => {
  const increase = { amountNano: 20_000_000_000n, until, by: 'operator' } as const
  const budget = standing({ increase, limitNano: 120_000_000_000n, leftNano: 60_000_000_000n })
  const { deps, lines, raises } = openBench([], { ok: true, budget })
  await raiseBudget(deps, budgetId, { amountNano: 20_000_000_000n, until })
  expect(raises).toEqual([
    {
      id: budgetId,
      auditId: 'audit-id',
      amountNano: 20_000_000_000n,
      until,
      actor: { kind: 'operator', id: undefined },
    },
  ])
  expect(lines).toEqual([
    'Raised the budget of organization acme by $20 until 2026-12-24 00:00Z.',
    'Its limit is $120 now, of which $60 are left.',
  ])
})

test('ending an increase says so', async () => {
  const { deps, lines } = openBench([], { ok: true, budget: standing() })
  await raiseBudget(deps, budgetId, { amountNano: 0n, until })
  expect(lines[0]).toBe('The budget of organization acme is not raised any more.')
})

test.each([
  ['not_found', 'There is no budget'],
  ['declared', 'change it there'],
  ['past', 'a time to come'],
] as const)('what the store refuses as %s is an error with words', async (reason, message) => {
  const { deps, lines } = openBench([], { ok: false, reason })
  await expect(raiseBudget(deps, budgetId, { amountNano: 1n, until })).rejects.toThrow(message)
  expect(lines).toEqual([])
})

test('what is no id is not asked for', async () => {
  const { deps, raises } = openBench()
  await expect(raiseBudget(deps, 'acme', { amountNano: 1n, until })).rejects.toThrow('There is no budget "acme"')
  expect(raises).toEqual([])
})

test.each([
  ['20', 20_000_000_000n],
  ['0', 0n],
  ['0.000000001', 1n],
  ['1000000000', 1_000_000_000_000_000_000n],
])('%s dollars are exact', (text, nano) => {
  expect(dollars(text)).toBe(nano)
})

test.each(['', '-1', '1e3', '.5', '0.0000000001', '1000000001', '$5', '1,5'])('"%s" is no amount', (text) => {
  expect(() => dollars(text)).toThrow('Expected dollars')
})
