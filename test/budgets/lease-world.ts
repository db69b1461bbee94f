import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import type { Budget, BudgetMode, BudgetPeriod } from '../../src/core/budgets/budget.ts'
import { type BudgetLeaseStore, createBudgetLeaseStore } from '../../src/core/budgets/budget-leases.store.ts'
import { createLeaseBook, type LeaseBook } from '../../src/core/budgets/lease-book.ts'
import type { Reservation } from '../../src/core/budgets/reservation.ts'
import { createUsageStore } from '../../src/core/usage/usage.store.ts'
import { runWithTimers, type SimulatedTimer, type TimerHost } from '../simulator/simulated-timers.ts'
import { eventually } from '../support/eventually.ts'
import { silent } from '../support/log.ts'
import { usageEnd, usageIntent } from '../support/usage-records.ts'

/** What becomes of the next statement of a replica, and of those after it as told. */
export type Fate = 'happens' | 'fails' | 'loses its answer' | Promise<void>

/** A few replicas on one database and one clock, which stands still unless it is moved. */
export class LeaseWorld implements TimerHost {
  readonly timers = new Set<SimulatedTimer>()
  readonly pool: pg.Pool
  readonly books = new Map<string, LeaseBook>()
  /** By replica; taken one after the other, and 'happens' when there is none. */
  readonly fates = new Map<string, Fate[]>()
  /** Statements of leases that were sent. */
  statements = 0
  startMs = Date.UTC(2031, 0, 15)
  monotonicMs = 0
  /** When the heartbeat of a replica was sent that the database has confirmed last; now, where there is none. */
  readonly beatsMs = new Map<string, number>()
  /** By how many milliseconds timers fire too early. */
  timersEarlyMs = 0

  constructor(pool: pg.Pool) {
    this.pool = pool
  }

  nowMs(): number {
    return this.monotonicMs
  }

  earlyMs(): number {
    return this.timersEarlyMs
  }

  /** Time passes, timers fire on the way, and what they set off is waited for. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.monotonicMs + ms
    for (;;) {
      const [next] = [...this.timers].sort((a, b) => a.dueMs - a.earlyMs - (b.dueMs - b.earlyMs))
      if (!next || next.dueMs - next.earlyMs > untilMs) break
      this.monotonicMs = Math.max(this.monotonicMs, next.dueMs - next.earlyMs)
      next.fire()
      await this.quiet()
    }
    this.monotonicMs = untilMs
    await this.quiet()
  }

  #underWay = 0

  /** Resolves once no statement is under way. */
  async quiet(): Promise<void> {
    let quietTurns = 0
    await eventually('statements to be answered', () => {
      quietTurns = this.#underWay === 0 ? quietTurns + 1 : 0
      return quietTurns > 1
    })
  }

  book(name: string): LeaseBook {
    let book = this.books.get(name)
    if (book) return book
    const others = (tell: (other: LeaseBook) => void): void => {
      for (const [other, told] of this.books) if (other !== name) runWithTimers(this, () => tell(told))
    }
    book = runWithTimers(this, () =>
      createLeaseBook({
        store: this.#store(name),
        replica: name,
        heartbeatMs: () => this.beatsMs.get(name) ?? this.monotonicMs,
        recallFromOthers: (periodId) => others((other) => other.recall(periodId)),
        releasedToOthers: (periodId) => others((other) => other.released(periodId)),
        clock: { nowMs: () => this.startMs + this.monotonicMs, monotonicMs: () => this.monotonicMs },
        newId: () => randomUUID(),
        log: silent,
      }),
    )
    this.books.set(name, book)
    return book
  }

  #store(name: string): BudgetLeaseStore {
    const store = createBudgetLeaseStore(this.pool)
    const meet = async <T>(work: () => Promise<T>): Promise<T> => {
      this.statements++
      this.#underWay++
      const fate = this.fates.get(name)?.shift() ?? 'happens'
      try {
        if (fate === 'fails') throw new Error('The connection was lost.')
        if (fate instanceof Promise) {
          this.#underWay--
          await fate.finally(() => this.#underWay++)
        }
        const answer = await work()
        if (fate === 'loses its answer') throw new Error('The connection was lost.')
        return answer
      } finally {
        this.#underWay--
      }
    }
    return {
      take: (owner, asks) => meet(() => store.take(owner, asks)),
      giveBack: (returns) => meet(() => store.giveBack(returns)),
    }
  }

  /** @returns what was reserved, or the code of the refusal */
  async reserve(name: string, budgets: readonly Budget[], amountNano: bigint): Promise<Reservation | string> {
    try {
      return await runWithTimers(this, () => this.book(name).reserve(budgets, amountNano))
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  async hold(name: string, budgets: readonly Budget[], amountNano: bigint): Promise<Reservation> {
    const reservation = await this.reserve(name, budgets, amountNano)
    if (typeof reservation === 'string') throw new Error(`Refused: ${reservation}.`)
    return reservation
  }

  async budget(amountNano: number, more: { mode?: BudgetMode; period?: BudgetPeriod } = {}): Promise<Budget> {
    const budget = { id: randomUUID(), scope: 'tag', period: 'month', timeZone: 'UTC', mode: 'hard', ...more } as const
    await this.pool.query(
      `insert into budgets (id, tag_key, tag_value, amount_nano, period, mode, managed_by)
       values ($1::uuid, 'test', $1::text, $2, $3, $4, 'admin')`,
      [budget.id, amountNano, budget.period, budget.mode],
    )
    return budget
  }

  /** The call that reserved this ends, and is settled. */
  async settle(reservation: Reservation, costNano: number, owner = 'a'): Promise<void> {
    const end = usageEnd(
      usageIntent({
        reserved_nano: reservation.amountNano.toString(),
        budget_period_ids: reservation.periodIds,
        budget_lease_ids: reservation.leaseIds,
        owner_replica: owner,
      }),
      { provider_cost_nano: String(costNano), charged_nano: String(costNano) },
    )
    reservation.settle(BigInt(costNano))
    await createUsageStore(this.pool).apply(Buffer.from(JSON.stringify([end])))
  }

  /** How the periods of a budget stand, the first one first. */
  async standing({ id }: Budget): Promise<{ committed: number; leased: number; leases: number; rows: number }[]> {
    const { rows } = await this.pool.query(
      `select p.committed_nano::integer as committed, p.leased_nano::integer as leased,
         coalesce(sum(l.amount_nano), 0)::integer as leases, count(l.id)::integer as rows
       from budget_periods p left join budget_leases l on l.budget_period_id = p.id
       where p.budget_id = $1 group by p.id order by p.period_start`,
      [id],
    )
    return rows
  }

  /** As a sweeper does to a replica that was silent for too long. */
  async takeAway(owner: string): Promise<void> {
    await this.pool.query(
      `with gone as (delete from budget_leases where owner_replica = $1 returning *)
       update budget_periods p set leased_nano = leased_nano - sums.nano
       from (select budget_period_id, sum(amount_nano) as nano from gone group by 1) sums where p.id = sums.budget_period_id`,
      [owner],
    )
  }
}
