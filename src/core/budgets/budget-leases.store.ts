import type { Pool } from 'pg'
import type { BudgetMode } from './budget.ts'

/**
 * Money on its way between budgets and replicas. PostgreSQL decides; both calls are one round trip, and repeating one
 * with the same sequence number changes nothing.
 */
export interface BudgetLeaseStore {
  /**
   * Grants what every ask needs, or nothing to any of them. A period that nobody has spent from yet comes to be.
   *
   * @returns one answer an ask, in no order; none for a budget that is gone
   * @throws the database's error, after which it is unknown whether anything was granted
   */
  take(owner: string, asks: readonly LeaseAsk[]): Promise<readonly LeaseAnswer[]>
  /** @returns one answer a return, in no order. @throws as `take` */
  giveBack(returns: readonly LeaseReturn[]): Promise<readonly LeaseReturnAnswer[]>
}

export interface LeaseAsk {
  budgetId: string
  periodStartMs: number
  periodEndMs: number | undefined
  /** The id of the period, if it is the first time that anybody asks. */
  newPeriodId: string
  leaseId: string
  /** One more than that of the lease's last change; 1 for a lease that does not exist yet. */
  sequence: number
  /** Less is of no use. Zero only asks how the period stands. */
  neededNano: bigint
  wantedNano: bigint
}

export interface LeaseAnswer {
  /** Of the ask that this answers: one budget may have two periods in use, each with a lease of its own. */
  leaseId: string
  periodId: string
  mode: BudgetMode
  limitNano: bigint
  committedNano: bigint
  /** What could still be granted before this call. */
  restNano: bigint
  /** In the leases of others. */
  othersNano: bigint
  grantedNano: bigint
  /** Whether the sequence number is used up: by this call, or by an earlier one whose answer was lost. */
  isChanged: boolean
  /** The lease was taken away: its owner had been silent for too long. */
  isLost: boolean
}

export interface LeaseReturn {
  leaseId: string
  sequence: number
  amountNano: bigint
}

export interface LeaseReturnAnswer {
  leaseId: string
  /** The lease is given back whole, or was gone before. */
  isOver: boolean
  /**
   * More than 0 when nothing was given back, because the number was used up by an ask whose answer was lost: what that
   * has granted.
   */
  grantedNano: bigint
}

/** @param pool - of the request path: a call may be waiting for this */
export function createBudgetLeaseStore(pool: Pool): BudgetLeaseStore {
  return {
    async take(owner, asks) {
      const { rows } = await pool.query<{ answers: AnswerRow[] }>({
        text: 'select take_budget_leases($1, $2::jsonb) as answers',
        values: [owner, JSON.stringify(asks.map(askRow))],
      })
      return (rows[0] as { answers: AnswerRow[] }).answers.map(answerOf) // a select without a table gives one row
    },
    async giveBack(returns) {
      const { rows } = await pool.query<{ answers: ReturnAnswerRow[] }>({
        text: 'select give_back_budget_leases($1::jsonb) as answers',
        values: [JSON.stringify(returns.map(returnRow))],
      })
      const [{ answers }] = rows as [{ answers: ReturnAnswerRow[] }] // a select without a table gives one row
      return answers.map((row) => ({ ...row, grantedNano: BigInt(row.grantedNano) }))
    },
  }
}

const askRow = (ask: LeaseAsk) => ({
  budget_id: ask.budgetId,
  period_start: new Date(ask.periodStartMs).toISOString(),
  period_end: ask.periodEndMs === undefined ? null : new Date(ask.periodEndMs).toISOString(),
  new_period_id: ask.newPeriodId,
  lease_id: ask.leaseId,
  sequence: ask.sequence,
  needed_nano: ask.neededNano.toString(),
  wanted_nano: ask.wantedNano.toString(),
})

const returnRow = ({ leaseId, sequence, amountNano }: LeaseReturn) => ({
  lease_id: leaseId,
  sequence,
  amount_nano: amountNano.toString(),
})

/** Money as decimal text: JSON numbers are floats. */
interface AnswerRow {
  leaseId: string
  periodId: string
  mode: BudgetMode
  limitNano: string
  committedNano: string
  restNano: string
  othersNano: string
  grantedNano: string
  isChanged: boolean
  isLost: boolean
}

type ReturnAnswerRow = Omit<LeaseReturnAnswer, 'grantedNano'> & { grantedNano: string }

const answerOf = (row: AnswerRow): LeaseAnswer => ({
  leaseId: row.leaseId,
  periodId: row.periodId,
  mode: row.mode,
  limitNano: BigInt(row.limitNano),
  committedNano: BigInt(row.committedNano),
  restNano: BigInt(row.restNano),
  othersNano: BigInt(row.othersNano),
  grantedNano: BigInt(row.grantedNano),
  isChanged: row.isChanged,
  isLost: row.isLost,
})
