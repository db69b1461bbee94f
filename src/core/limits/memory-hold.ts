import type { LimitHold } from './limiter.ts'
import type { RateLimit } from './rate-limit.ts'
import type { ScopeCounters } from './scope-counters.ts'

export interface TakenInMemory {
  limits: readonly RateLimit[]
  /** One per limit. */
  scopes: readonly ScopeCounters[]
  takenMs: number
  /** How many resets there had been by then. */
  resets: number
  /** What was counted of a limit of so many. */
  tokensTaken(tokensPerMinute: number): number
  now(): number
}

/** A request that was counted in this process. */
export class MemoryHold implements LimitHold {
  readonly #taken: TakenInMemory
  #isOver = false

  constructor(taken: TakenInMemory) {
    this.#taken = taken
  }

  settle(tokensUsed: number): void {
    this.#end(Math.max(0, tokensUsed), false)
  }

  undo(): void {
    this.#end(0, true)
  }

  #end(tokensUsed: number, isUndone: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    const { limits, scopes, takenMs, resets, tokensTaken, now } = this.#taken
    const nowMs = now()
    for (let at = 0; at < limits.length; at++) {
      const { requestsPerMinute, tokensPerMinute, algorithm } = limits[at] as RateLimit
      const scope = scopes[at] as ScopeCounters
      scope.running--
      scope.touchedMs = nowMs
      const mayGiveBack = scope.resetNumber <= resets
      if (isUndone && requestsPerMinute !== undefined && mayGiveBack) {
        scope.requests(algorithm).giveBack(1, requestsPerMinute, takenMs, nowMs)
      }
      if (tokensPerMinute === undefined) continue
      const excess = tokensUsed - tokensTaken(tokensPerMinute)
      if (excess < 0) {
        if (mayGiveBack) scope.tokens(algorithm).giveBack(-excess, tokensPerMinute, takenMs, nowMs)
      } else if (excess > 0) {
        // All of a minute is as much as can be kept from others; more would only outlast the window.
        scope.tokens(algorithm).add(Math.min(excess, tokensPerMinute), tokensPerMinute, nowMs)
      }
    }
  }
}
