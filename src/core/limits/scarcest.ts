import type { LimitLeft } from './limiter.ts'

/** Of several limits the one with the least left; of equal ones the first. */
export class Scarcest {
  #limit = 0
  #remaining = Number.POSITIVE_INFINITY
  #resetMs = 0

  consider(limit: number, remaining: number, resetMs: number): void {
    if (remaining >= this.#remaining) return
    this.#limit = limit
    this.#remaining = remaining
    this.#resetMs = resetMs
  }

  get left(): LimitLeft | undefined {
    if (this.#remaining === Number.POSITIVE_INFINITY) return undefined
    return { limit: this.#limit, remaining: this.#remaining, resetMs: this.#resetMs }
  }
}
