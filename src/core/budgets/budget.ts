export const budgetPeriods = ['hour', 'day', 'week', 'month', 'quarter', 'total'] as const
export type BudgetPeriod = (typeof budgetPeriods)[number]

export type BudgetMode = 'hard' | 'soft'

/** Whom a budget is for. A tag's may be confined to an organization. */
export type BudgetScope = 'key' | 'team' | 'organization' | 'tag'

/** What the request path knows of a budget that applies to a caller; how much is left, only the database knows. */
export interface Budget {
  readonly id: string
  readonly scope: BudgetScope
  readonly period: BudgetPeriod
  /** IANA name of the zone whose calendar the periods follow. */
  readonly timeZone: string
  readonly mode: BudgetMode
}
