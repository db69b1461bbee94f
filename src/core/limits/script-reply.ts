import type { LimitExceeded, LimitLeft, LimitState, LimitUsage } from './limiter.ts'
import type { RateLimit } from './rate-limit.ts'

/** What the script has decided about one request. */
export interface ScriptAnswer {
  /** By the time of Redis. */
  readonly nowMs: number
  /** Undefined when it was granted. */
  readonly refusal: Pick<LimitExceeded, 'code' | 'limit' | 'retryAfterMs'> | undefined
  readonly state: LimitState
}

/** Reads answers from a reply, in the order in which they were asked for. */
export class ScriptReply {
  readonly #numbers: readonly number[]
  #at = 1

  /** @param numbers - as the head of `limiter.lua` describes them */
  constructor(numbers: readonly number[]) {
    this.#numbers = numbers
  }

  /** @param limits - of the request whose answer is the next one */
  answer(limits: readonly RateLimit[]): ScriptAnswer {
    const code = refusalCodes[this.#next()]
    const refusal = code && this.#refusal(code, limits)
    const requests = this.#left(limits, 'requestsPerMinute')
    const tokens = this.#left(limits, 'tokensPerMinute')
    return { nowMs: this.#numbers[0] as number, refusal, state: { requests, tokens, degraded: false } }
  }

  /** What one who looks is told of the next limit. */
  usage(limit: RateLimit): LimitUsage {
    const requestsLeft = this.#next()
    const tokensLeft = this.#next()
    const running = this.#next()
    return {
      limit,
      requests: limit.requestsPerMinute && limit.requestsPerMinute - requestsLeft,
      tokens: limit.tokensPerMinute && limit.tokensPerMinute - tokensLeft,
      running: limit.maxConcurrent && running,
      degraded: false,
    }
  }

  #refusal(code: LimitExceeded['code'], limits: readonly RateLimit[]): ScriptAnswer['refusal'] {
    const limit = limits[this.#next() - 1] as RateLimit
    const waitMs = this.#next()
    return { code, limit, retryAfterMs: waitMs < 0 ? undefined : waitMs }
  }

  #left(limits: readonly RateLimit[], kind: 'requestsPerMinute' | 'tokensPerMinute'): LimitLeft | undefined {
    const limit = limits[this.#next() - 1]?.[kind]
    const remaining = this.#next()
    const resetMs = this.#next()
    return limit === undefined ? undefined : { limit, remaining, resetMs }
  }

  #next(): number {
    return this.#numbers[this.#at++] as number
  }
}

const refusalCodes: readonly (LimitExceeded['code'] | undefined)[] = [
  undefined,
  'rate_limit_exceeded',
  'tokens_rate_limit_exceeded',
  'concurrency_limit_exceeded',
]
