import type { Budget, BudgetMode } from './budget.ts'
import type { LeaseAnswer, LeaseReturnAnswer } from './budget-leases.store.ts'
import type { PeriodBounds } from './budget-period.ts'

/** Money that this replica holds of one period, in nano-USD. It ends when it is given back whole, or taken away. */
export interface Lease {
  readonly id: string
  /** Of the last change that the database has confirmed. */
  sequence: number
  /** Neither reserved nor spent. */
  freeNano: bigint
  /** Held for calls under way. */
  reservedNano: bigint
  /** What was taken out of `freeNano` to be given back, until the database has confirmed it. */
  returningNano: bigint
}

/** How long burn is looked back on, and how much of it a lease should last for. */
const burnWindowMs = 2_000

/** One period of one budget, as this replica knows it: how the database has it, and what is leased out of it. */
export class BudgetAccount {
  readonly budget: Budget
  readonly startMs: number
  readonly endMs: number | undefined
  /** The id that the period gets if this replica is the first to ask for it. */
  readonly newPeriodId: string
  /** Undefined until the database has answered for the first time. */
  periodId: string | undefined
  mode: BudgetMode
  limitNano = 0n
  /** As of the last answer, and what this replica has spent since. */
  committedNano = 0n
  /** When the database last said how the period stands, by the monotonic clock. */
  readMs = Number.NEGATIVE_INFINITY
  /** The budget was deleted: it limits nobody any more. */
  isGone = false
  lease: Lease
  /** An exchange with the database is under way; a lease has one at a time. */
  isBusy = false
  /** It is not known how the lease stands (an answer was lost, a silence was long): the database has to be asked first. */
  isSuspect = false
  /** An ask that went unanswered may still arrive at the database until then; what it has got must be looked for after. */
  doubtUntilMs: number | undefined
  /** Others were asked to give back what they do not use, and have until then. */
  recallUntilMs = Number.NEGATIVE_INFINITY
  /** Nobody asks the database: it has just refused, and the others have not answered yet. */
  isParked = false
  /** Until then another replica is short of this: what comes free here goes back at once. */
  wantedUntilMs = Number.NEGATIVE_INFINITY
  lastUsedMs: number
  /** They may come back for more. */
  #callsUnderWay = 0
  /** The least that was free since the last look: what nobody needed. */
  #idleNano = 0n
  #spentNano = 0n
  #burnNano = 0n
  #lookedMs: number
  readonly #newId: () => string

  constructor(budget: Budget, bounds: PeriodBounds, newId: () => string, nowMs: number) {
    this.budget = budget
    this.mode = budget.mode
    this.startMs = bounds.startMs
    this.endMs = bounds.endMs
    this.#newId = newId
    this.newPeriodId = newId()
    this.lease = newLease(newId())
    this.lastUsedMs = nowMs
    this.#lookedMs = nowMs
  }

  /** Whether a call of this worst case can be taken from what is at hand. */
  fits(amountNano: bigint): boolean {
    if (this.isGone) return true
    if (this.periodId === undefined) return false
    if (this.mode === 'soft') return this.committedNano < this.limitNano
    return !this.isSuspect && this.lease.freeNano >= amountNano
  }

  /** @returns the lease that the amount was taken from; undefined for a budget that holds nothing back */
  reserve(amountNano: bigint, nowMs: number): Lease | undefined {
    this.lastUsedMs = nowMs
    this.#callsUnderWay++
    if (this.isGone || this.mode === 'soft') return undefined
    const { lease } = this
    lease.freeNano -= amountNano
    lease.reservedNano += amountNano
    if (lease.freeNano < this.#idleNano) this.#idleNano = lease.freeNano
    return lease
  }

  /** The call that reserved this has ended and cost so much; 0 for one that was never made. */
  settle(lease: Lease | undefined, reservedNano: bigint, costNano: bigint): void {
    this.#callsUnderWay--
    this.committedNano += costNano
    this.#spentNano += costNano
    if (!lease) return
    lease.reservedNano -= reservedNano
    // What it cost stays in the lease, as the database has it, until the cost is committed there.
    if (costNano < reservedNano) lease.freeNano += reservedNano - costNano
  }

  /** A reservation has become part of another one, and is settled with it. */
  joined(): void {
    this.#callsUnderWay--
  }

  /** Takes in what the database said to an ask of this account. */
  answered(answer: LeaseAnswer, nowMs: number): void {
    this.periodId = answer.periodId
    this.isSuspect = false
    this.mode = answer.mode
    this.limitNano = answer.limitNano
    this.committedNano = answer.committedNano
    this.readMs = nowMs
    if (answer.isLost) this.abandonLease()
    else if (answer.isChanged) {
      this.lease.sequence++
      this.lease.freeNano += answer.grantedNano
    }
  }

  /**
   * The lease is over. Calls that reserved from it go on; what they cost is committed all the same, and their remainder
   * comes back to nobody.
   */
  abandonLease(): void {
    this.lease = newLease(this.#newId())
    this.#idleNano = 0n
  }

  /** What a lease should get beyond what a call needs: two seconds of what is being spent. */
  get burnNano(): bigint {
    return this.#burnNano > this.#spentNano ? this.#burnNano : this.#spentNano
  }

  /**
   * Looks back once in two seconds.
   *
   * @returns what has been free all the while, beyond what burns in as long: it is of more use to others
   */
  takeIdle(nowMs: number): bigint {
    if (nowMs - this.#lookedMs < burnWindowMs) return 0n
    this.#lookedMs = nowMs
    this.#burnNano = this.#spentNano
    this.#spentNano = 0n
    const spare = this.#idleNano - this.#burnNano
    this.#idleNano = this.lease.freeNano
    return spare > 0n ? this.#return(spare) : 0n
  }

  /** Everything that is free, at once. */
  takeFree(): bigint {
    return this.#return(this.lease.freeNano)
  }

  /** While it is unknown what became of the last return, it has to be told again before there can be another one. */
  #return(amountNano: bigint): bigint {
    const { lease } = this
    if (lease.returningNano > 0n) return lease.returningNano
    lease.freeNano -= amountNano
    lease.returningNano += amountNano
    if (lease.freeNano < this.#idleNano) this.#idleNano = lease.freeNano
    return amountNano
  }

  /** Takes in what the database said to a return: it is confirmed, or has to be sent again under the next number. */
  returned({ isOver, grantedNano }: LeaseReturnAnswer): void {
    const { lease } = this
    lease.sequence++
    if (grantedNano > 0n) lease.freeNano += grantedNano
    else lease.returningNano = 0n
    if (isOver) this.abandonLease()
  }

  /** Nothing of it is in use, and nothing is owed. */
  isUnused(nowMs: number, unusedMs: number): boolean {
    const { freeNano, reservedNano, returningNano } = this.lease
    const holdsNothing = freeNano === 0n && reservedNano === 0n && returningNano === 0n
    return holdsNothing && this.#callsUnderWay === 0 && !this.isBusy && nowMs - this.lastUsedMs > unusedMs
  }
}

const newLease = (id: string): Lease => ({ id, sequence: 0, freeNano: 0n, reservedNano: 0n, returningNano: 0n })
