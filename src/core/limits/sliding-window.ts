import type { Meter } from './meter.ts'

const slotMs = 1_000
/** Sixty whole seconds and the one that has begun: with one less, 60 seconds that begin within a slot could see more. */
const slotCount = 61

/**
 * The last minute in slots of a second. A slot counts whole until all of it is more than a minute ago, so that no 60
 * seconds ever see more than the limit; what was taken is free again after 60 to 61 seconds.
 */
export class SlidingWindow implements Meter {
  /** By the number of the slot, modulo their count. */
  readonly #amounts = new Float64Array(slotCount)
  /** The second that has begun. */
  #slot = Number.NEGATIVE_INFINITY
  #sum = 0
  /** The latest slot that something was added to. */
  #newest = Number.NEGATIVE_INFINITY

  waitMs(amount: number, limit: number, nowMs: number): number {
    this.#advance(nowMs)
    const excess = this.#sum + amount - limit
    if (excess <= 0) return 0
    if (amount > limit) return Number.POSITIVE_INFINITY
    let freed = 0
    let slot = Math.max(-1, this.#slot - slotCount)
    while (freed < excess && slot < this.#slot) freed += this.#amounts[++slot % slotCount] as number
    return endOf(slot) - nowMs
  }

  add(amount: number, _limit: number, nowMs: number): void {
    this.#advance(nowMs)
    this.#amounts[this.#slot % slotCount] = (this.#amounts[this.#slot % slotCount] as number) + amount
    this.#sum += amount
    this.#newest = this.#slot
  }

  giveBack(amount: number, _limit: number, takenMs: number, nowMs: number): void {
    this.#advance(nowMs)
    const slot = Math.floor(takenMs / slotMs)
    if (slot <= this.#slot - slotCount) return
    const taken = this.#amounts[slot % slotCount] as number
    const returned = Math.min(amount, taken)
    this.#amounts[slot % slotCount] = taken - returned
    this.#sum -= returned
  }

  remaining(limit: number, nowMs: number): number {
    this.#advance(nowMs)
    return Math.max(0, limit - this.#sum)
  }

  resetMs(_limit: number, nowMs: number): number {
    this.#advance(nowMs)
    return this.#sum === 0 ? 0 : Math.max(0, endOf(this.#newest) - nowMs)
  }

  #advance(nowMs: number): void {
    const slot = Math.floor(nowMs / slotMs)
    if (slot <= this.#slot) return
    if (slot - this.#slot >= slotCount) {
      this.#amounts.fill(0)
      this.#sum = 0
    } else {
      for (let next = this.#slot + 1; next <= slot; next++) {
        this.#sum -= this.#amounts[next % slotCount] as number
        this.#amounts[next % slotCount] = 0
      }
    }
    this.#slot = slot
  }
}

/** When a slot no longer counts. */
const endOf = (slot: number): number => (slot + slotCount) * slotMs
