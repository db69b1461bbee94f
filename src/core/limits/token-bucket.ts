import { type Meter, minuteMs } from './meter.ts'

/**
 * Holds the amount of a minute and is refilled evenly, at that amount a minute. It begins full.
 *
 * The level is kept in 60,000ths: then a millisecond refills a whole number of them, and nothing is lost to rounding.
 */
export class TokenBucket implements Meter {
  #level = Number.POSITIVE_INFINITY
  #atMs = 0

  waitMs(amount: number, limit: number, nowMs: number): number {
    this.#refill(limit, nowMs)
    const missing = amount * minuteMs - this.#level
    if (missing <= 0) return 0
    return amount > limit ? Number.POSITIVE_INFINITY : Math.ceil(missing / limit)
  }

  /** Debt ends with another minute's amount, so that one absurd count does not keep a caller out for hours. */
  add(amount: number, limit: number, nowMs: number): void {
    this.#refill(limit, nowMs)
    this.#level = Math.max(-limit * minuteMs, this.#level - amount * minuteMs)
  }

  giveBack(amount: number, limit: number, takenMs: number, nowMs: number): void {
    this.#refill(limit, nowMs)
    if (nowMs - takenMs < minuteMs) this.#level = Math.min(limit * minuteMs, this.#level + amount * minuteMs)
  }

  remaining(limit: number, nowMs: number): number {
    this.#refill(limit, nowMs)
    return Math.max(0, Math.floor(this.#level / minuteMs))
  }

  resetMs(limit: number, nowMs: number): number {
    this.#refill(limit, nowMs)
    return Math.ceil((limit * minuteMs - this.#level) / limit)
  }

  #refill(limit: number, nowMs: number): void {
    const sinceMs = Math.max(0, nowMs - this.#atMs)
    this.#level = Math.min(limit * minuteMs, this.#level + sinceMs * limit)
    this.#atMs = Math.max(this.#atMs, nowMs)
  }
}
