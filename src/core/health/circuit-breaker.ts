import { RollingOutcomes } from '../rolling-outcomes.ts'

export type CircuitState = 'closed' | 'open' | 'half-open'

/** How a call came through: as one of many, or alone, to find out whether the target is back. */
export type Passage = 'call' | 'probe'

/** `neutral` says nothing about the target: the client left, the request was wrong, a limit was hit. */
export type Outcome = 'success' | 'failure' | 'neutral'

const windowMs = 30_000
const callsMin = 20
const failureShareMin = 0.5
const openMsMin = 15_000
const openMsMax = 120_000
const openJitter = 0.2
const probesToClose = 3

/**
 * Keeps calls away from a target that fails. Closed, it opens when at least half of at least 20 calls in 30 s failed.
 * Open, it lets nobody through for 15 s, twice as long each further time up to 120 s, give or take a fifth. Then one
 * call at a time is let through: three good ones in all close it, a bad one opens it again.
 */
export class CircuitBreaker {
  /** How often it has opened. */
  openedCount = 0
  readonly #outcomes: RollingOutcomes
  readonly #random: () => number
  /** Until when it is open; undefined while it is closed. */
  #openUntilMs: number | undefined
  /** Without jitter; what it is opened for next. */
  #nextOpenMs = openMsMin
  #isProbing = false
  #goodProbes = 0

  /** @param random - from 0 to below 1 */
  constructor(nowMs: number, random: () => number = Math.random) {
    this.#outcomes = new RollingOutcomes(windowMs, nowMs)
    this.#random = random
  }

  state(nowMs: number): CircuitState {
    if (this.#openUntilMs === undefined) return 'closed'
    return nowMs < this.#openUntilMs ? 'open' : 'half-open'
  }

  /** When a call that finds it shut may come again; undefined when one may pass. */
  shutUntilMs(nowMs: number): number | undefined {
    if (this.#openUntilMs === undefined) return undefined
    if (nowMs < this.#openUntilMs) return this.#openUntilMs
    return this.#isProbing ? nowMs + 1_000 : undefined
  }

  /** @returns undefined when it is shut; otherwise `leave` must be called once with what is returned */
  enter(nowMs: number): Passage | undefined {
    if (this.#openUntilMs === undefined) return 'call'
    if (this.#isProbing || nowMs < this.#openUntilMs) return undefined
    this.#isProbing = true
    return 'probe'
  }

  leave(passage: Passage, outcome: Outcome, nowMs: number): void {
    if (passage === 'probe') this.#probed(outcome, nowMs)
    // While it is open, a call ends that began before: of that nothing new is learned.
    else if (outcome !== 'neutral' && this.#openUntilMs === undefined) this.#called(outcome === 'failure', nowMs)
  }

  /** What share of the calls of the last 30 s failed, and of how many. */
  recent(nowMs: number): { calls: number; failures: number } {
    return { calls: this.#outcomes.calls(nowMs), failures: this.#outcomes.failures(nowMs) }
  }

  #called(isFailure: boolean, nowMs: number): void {
    this.#outcomes.add(isFailure, nowMs)
    if (!isFailure) return
    const calls = this.#outcomes.calls(nowMs)
    if (calls >= callsMin && this.#outcomes.failures(nowMs) >= failureShareMin * calls) this.#open(nowMs)
  }

  #probed(outcome: Outcome, nowMs: number): void {
    this.#isProbing = false
    if (outcome === 'neutral') return
    this.#outcomes.add(outcome === 'failure', nowMs)
    if (outcome === 'failure') this.#open(nowMs)
    else if (++this.#goodProbes >= probesToClose) this.#close()
  }

  #open(nowMs: number): void {
    const jitter = 1 - openJitter + 2 * openJitter * this.#random()
    this.#openUntilMs = nowMs + this.#nextOpenMs * jitter
    this.#nextOpenMs = Math.min(openMsMax, 2 * this.#nextOpenMs)
    this.#goodProbes = 0
    this.openedCount++
  }

  #close(): void {
    this.#openUntilMs = undefined
    this.#nextOpenMs = openMsMin
    this.#goodProbes = 0
    this.#outcomes.clear()
  }
}
