import type { RateLimit } from './rate-limit.ts'

/**
 * Counts requests, tokens and concurrency of keys, teams and organizations. What it promises:
 *
 * - `sliding_window`: no 60 seconds ever see more than the limit.
 * - `token_bucket`: no stretch of time sees more than the limit and what is refilled meanwhile, at the limit a minute.
 * - A refused request has consumed nothing, of no scope.
 *
 * Tokens count as estimated until a request is settled, and as used from then on.
 */
export interface Limiter {
  /** Takes one request of every scope, all or nothing. At once where counting is local. Never rejects. */
  acquire(request: LimitRequest): LimitDecision | Promise<LimitDecision>
  /** What is taken of each limit, in the order of `limits`. */
  current(organizationId: string, limits: readonly RateLimit[]): Promise<readonly LimitUsage[]>
  /** Forgets the requests and tokens that were counted. What is running still runs, and still counts as that. */
  reset(organizationId: string, limits: readonly RateLimit[]): Promise<void>
  close(): Promise<void>
}

export interface LimitRequest {
  requestId: string
  organizationId: string
  /** Counted against all of them; the same list each time, for the same caller, is a little cheaper. */
  limits: readonly RateLimit[]
  /** Tokens, prompt and answer, as far as they can be told beforehand. */
  tokens: number
}

export type LimitDecision =
  | { granted: true; hold: LimitHold; state: LimitState }
  | LimitExceeded
  | { granted: false; code: 'limits_unavailable'; limit: RateLimit; state: LimitState }

export interface LimitExceeded {
  granted: false
  code: 'rate_limit_exceeded' | 'tokens_rate_limit_exceeded' | 'concurrency_limit_exceeded'
  /** The one that keeps the request waiting longest. */
  limit: RateLimit
  /**
   * When this request would pass if nothing else came; for concurrency, which ends when somebody else does, a guess.
   * Undefined: never, for it asks for more tokens than a minute has.
   */
  retryAfterMs: number | undefined
  state: LimitState
}

/** What one granted request holds. Only the first call of either method counts; neither throws nor waits. */
export interface LimitHold {
  /** The request is over: corrects the tokens to what was used and frees the slot. */
  settle(tokensUsed: number): void
  /** As if the request had never been: it was refused after all, by a budget for instance. */
  undo(): void
}

/** What callers are told of their limits: of each kind the one with the least left. */
export interface LimitState {
  requests: LimitLeft | undefined
  tokens: LimitLeft | undefined
  /** Counted by this replica alone, for its share, since the shared counters are away. */
  degraded: boolean
}

export interface LimitLeft {
  limit: number
  remaining: number
  /** When all of the limit is free again if nothing else comes. */
  resetMs: number
}

/** What is taken of one limit at the moment; undefined is what it does not limit. */
export interface LimitUsage {
  limit: RateLimit
  requests: number | undefined
  tokens: number | undefined
  running: number | undefined
  /** Of this replica alone, since the shared counters are away. */
  degraded: boolean
}

/** When to try again where the end of somebody else's request is waited for. */
export const concurrencyRetryMs = 1_000
