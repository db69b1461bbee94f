import { GatewayError } from '../errors.ts'
import { formatUsd } from '../money.ts'
import type { BudgetAccount } from './budget-account.ts'

const adjectives = {
  hour: 'hourly',
  day: 'daily',
  week: 'weekly',
  month: 'monthly',
  quarter: 'quarterly',
  total: 'total',
} as const

/** Says whose budget it is, how much it is and when it begins anew. It does not say what others have spent of it. */
export function budgetExceeded({ budget, limitNano, endMs }: BudgetAccount): GatewayError {
  const whose = budget.scope === 'tag' ? "one of the key's tags" : `the ${budget.scope}`
  const anew =
    endMs === undefined ? 'Ask an administrator to raise it.' : `A new one begins at ${new Date(endMs).toISOString()}.`
  return new GatewayError(
    'budget_exceeded',
    `The ${adjectives[budget.period]} budget of ${whose} (${formatUsd(limitNano)} USD) does not have what this request may cost. ${anew} A smaller max_completion_tokens makes a request need less.`,
  )
}

export const budgetUnverifiable = (message: string): GatewayError => new GatewayError('budget_unverifiable', message)
