import type { BudgetOwner, BudgetStanding, BudgetStore } from '../core/budgets/budgets.store.ts'
import type { Clock } from '../core/clock.ts'
import type { IdSource } from '../core/ids.ts'
import type { Actor } from '../core/keys/keys.ts'
import { formatUsd } from '../core/money.ts'
import { tableOf } from './keys.ts'

/** What the `llmgw budgets` commands need; the command line itself is read elsewhere. */
export interface BudgetCommandsDeps {
  budgets: BudgetStore
  newId: IdSource
  clock: Clock
  actor: Actor
  /** Takes whole lines, without the line break. */
  print(line: string): void
}

/** What the user got wrong, as a sentence to print before exiting with status 1. */
export class BudgetCommandError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'BudgetCommandError'
  }
}

/** How every budget stands in its current period. */
export async function listBudgets(
  { budgets, print }: Pick<BudgetCommandsDeps, 'budgets' | 'print'>,
  { json }: { json?: boolean } = {},
): Promise<void> {
  const standings = await budgets.list()
  if (json) {
    print(JSON.stringify(standings.map(jsonOf)))
    return
  }
  if (standings.length === 0) {
    print('There are no budgets. Declare them in the config file, under "budgets" or with a key.')
    return
  }
  for (const line of tableOf(headings, standings.map(rowOf))) print(line)
}

/**
 * @param amountNano - nano-USD; zero ends an increase before its time
 * @throws BudgetCommandError
 */
export async function raiseBudget(
  { budgets, newId, clock, actor, print }: BudgetCommandsDeps,
  id: string,
  { amountNano, until }: { amountNano: bigint; until: Date },
): Promise<void> {
  const isId = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(id)
  const raised = isId
    ? await budgets.raise({ id, auditId: newId(clock.nowMs()), amountNano, until, actor })
    : ({ ok: false, reason: 'not_found' } as const)
  if (!raised.ok) throw new BudgetCommandError(refusals[raised.reason](id))
  const { owner, increase, limitNano, leftNano } = raised.budget
  print(
    increase
      ? `Raised the budget of ${nameOf(owner)} by ${usd(increase.amountNano)} until ${timeOf(increase.until)}.`
      : `The budget of ${nameOf(owner)} is not raised any more.`,
  )
  print(`Its limit is ${usd(limitNano)} now, of which ${usd(leftNano)} are left.`)
}

const refusals = {
  not_found: (id: string) => `There is no budget "${id}". List them with: llmgw budgets list`,
  declared: () => 'The config file declares a temporaryIncrease for this budget that is not over yet; change it there.',
  past: () => 'The increase would be over already. Use a time to come with --until.',
} as const

const headings = ['ID', 'OWNER', 'PERIOD', 'ENDS', 'MODE', 'LIMIT', 'COMMITTED', 'LEASED', 'LEFT', 'ALERTS']

function rowOf(budget: BudgetStanding): string[] {
  const { id, owner, period, timeZone, mode, periodEnd, limitNano, committedNano, leasedNano, leftNano } = budget
  const increased = budget.increase
    ? `(+${usd(budget.increase.amountNano)} until ${timeOf(budget.increase.until)})`
    : ''
  return [
    id,
    nameOf(owner),
    timeZone === 'UTC' ? period : `${period} ${timeZone}`,
    periodEnd ? timeOf(periodEnd) : 'never',
    mode,
    [usd(limitNano), increased].filter(Boolean).join(' '),
    usd(committedNano),
    usd(leasedNano),
    usd(leftNano),
    alertsOf(budget.alerts),
  ]
}

function nameOf({ scope, key, isRevoked, organization, team, tag }: BudgetOwner): string {
  switch (scope) {
    case 'key':
      return `key ${key}${isRevoked ? ' (revoked)' : ''} of ${[organization, team].filter(Boolean).join('/')}`
    case 'team':
      return `team ${organization}/${team}`
    case 'organization':
      return `organization ${organization}`
    case 'tag':
      return `tag ${tag?.name}=${tag?.value}${organization === undefined ? '' : ` of ${organization}`}`
  }
}

function alertsOf({ percent, overruns, differences }: BudgetStanding['alerts']): string {
  return [
    ...percent.map((share) => `${share}%`),
    ...(overruns > 0 ? [counted(overruns, 'overrun')] : []),
    ...(differences > 0 ? [`audit: ${counted(differences, 'difference')}`] : []),
  ].join(', ')
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

const usd = (nano: bigint): string => (nano < 0n ? `-$${formatUsd(-nano)}` : `$${formatUsd(nano)}`)

/** To the minute, UTC: enough to read, and the JSON has the rest. */
const timeOf = (time: Date): string => `${time.toISOString().slice(0, 16).replace('T', ' ')}Z`

/** Money as a decimal text of nano-USD. */
const jsonOf = (budget: BudgetStanding): Record<string, unknown> => ({
  id: budget.id,
  owner: {
    scope: budget.owner.scope,
    key: budget.owner.key ?? null,
    organization: budget.owner.organization ?? null,
    team: budget.owner.team ?? null,
    tag: budget.owner.tag ?? null,
    revoked: budget.owner.isRevoked,
  },
  period: budget.period,
  timeZone: budget.timeZone,
  mode: budget.mode,
  managedBy: budget.managedBy,
  periodStart: budget.periodStart.toISOString(),
  periodEnd: budget.periodEnd?.toISOString() ?? null,
  amountNano: budget.amountNano.toString(),
  increase: budget.increase
    ? {
        amountNano: budget.increase.amountNano.toString(),
        until: budget.increase.until.toISOString(),
        by: budget.increase.by ?? null,
      }
    : null,
  limitNano: budget.limitNano.toString(),
  committedNano: budget.committedNano.toString(),
  leasedNano: budget.leasedNano.toString(),
  leftNano: budget.leftNano.toString(),
  alerts: budget.alerts,
})
