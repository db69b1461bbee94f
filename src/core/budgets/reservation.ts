import { GatewayError } from '../errors.ts'
import type { BudgetAccount, Lease } from './budget-account.ts'

/** Money held for one call, out of every budget that applies to it. */
export interface Reservation {
  /** Nano-USD, of each budget. */
  readonly amountNano: bigint
  readonly periodIds: readonly string[]
  /** In the order of `periodIds`; null where a budget holds nothing back. */
  readonly leaseIds: readonly (string | null)[]
  /**
   * Holds as much more, for another attempt while the one before it may have been billed.
   *
   * @returns false when there is not enough; what is held stays held
   */
  extend(amountNano: bigint): Promise<boolean>
  /** The call has come to this, 0 for one that was never made. Only the first time counts. */
  settle(costNano: bigint): void
}

/** What a reservation asks of whoever made it. */
export interface ReservationOwner {
  reserveFrom(accounts: readonly BudgetAccount[], amountNano: bigint): HeldReservation | Promise<HeldReservation>
  /** Something of these accounts may be free again. */
  freed(accounts: readonly BudgetAccount[]): void
}

export class HeldReservation implements Reservation {
  amountNano: bigint
  readonly periodIds: string[] = []
  readonly leaseIds: (string | null)[] = []
  readonly #accounts: readonly BudgetAccount[]
  readonly #leases: (Lease | undefined)[] = []
  readonly #owner: ReservationOwner
  #isSettled = false

  /** @param accounts - that fit the amount */
  constructor(owner: ReservationOwner, accounts: readonly BudgetAccount[], amountNano: bigint, nowMs: number) {
    this.#owner = owner
    this.#accounts = accounts
    this.amountNano = amountNano
    for (const account of accounts) {
      const lease = account.reserve(amountNano, nowMs)
      this.#leases.push(lease)
      if (account.periodId === undefined || account.isGone) continue
      this.periodIds.push(account.periodId)
      this.leaseIds.push(lease?.id ?? null)
    }
  }

  async extend(amountNano: bigint): Promise<boolean> {
    let further: HeldReservation
    try {
      further = await this.#owner.reserveFrom(this.#accounts, amountNano)
    } catch (error) {
      if (error instanceof GatewayError) return false
      throw error
    }
    // The end of a call names one lease of each period; another one has come into place when ours was taken away.
    const isSame = this.#leases.every((lease, index) => lease === further.#leases[index])
    if (this.#isSettled || !isSame) {
      further.settle(0n)
      return false
    }
    further.#isSettled = true
    for (const account of this.#accounts) account.joined()
    this.amountNano += amountNano
    return true
  }

  settle(costNano: bigint): void {
    if (this.#isSettled) return
    this.#isSettled = true
    for (let i = 0; i < this.#accounts.length; i++) {
      this.#accounts[i]?.settle(this.#leases[i], this.amountNano, costNano)
    }
    this.#owner.freed(this.#accounts)
  }
}
