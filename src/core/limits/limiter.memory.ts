import type { Clock } from '../clock.ts'
import {
  concurrencyRetryMs,
  type LimitDecision,
  type LimitExceeded,
  type Limiter,
  type LimitRequest,
  type LimitState,
  type LimitUsage,
} from './limiter.ts'
import { MemoryHold } from './memory-hold.ts'
import { minuteMs } from './meter.ts'
import type { RateLimit } from './rate-limit.ts'
import { Scarcest } from './scarcest.ts'
import { ScopeCounters } from './scope-counters.ts'

export interface MemoryLimiterDeps {
  clock: Pick<Clock, 'monotonicMs'>
  /**
   * What becomes of a request for more tokens than a minute has: it is refused, or takes all of them. The latter is for
   * a replica that counts its share of a limit, where the request would have passed.
   */
  oversized?: 'refuse' | 'take_all'
}

/** Counts in this process, at once. */
export interface MemoryLimiter extends Limiter {
  acquire(request: LimitRequest): LimitDecision
  /** Counts one request as running though it may exceed a limit, and nothing else. @returns what ends it, once */
  occupy(limits: readonly RateLimit[]): () => void
  /** How many keys, teams and organizations are kept. */
  readonly scopes: number
}

/** By then a window is empty and a bucket full, whatever its debt was. */
const idleMs = 2 * minuteMs + 2_000

/**
 * A slot of concurrency is a plain count here and no lease that has to be renewed: whoever could fail to free it is the
 * process that counts.
 */
export function createMemoryLimiter({ clock, oversized = 'refuse' }: MemoryLimiterDeps): MemoryLimiter {
  // Entries come with the first request of a scope and go when it has been idle, hence rarely.
  const counters = {
    key: new Map<string, ScopeCounters>(),
    team: new Map<string, ScopeCounters>(),
    organization: new Map<string, ScopeCounters>(),
  } as const
  const takesAll = oversized === 'take_all'
  const now = (): number => Math.floor(clock.monotonicMs())
  let sweptMs = now()
  let resets = 0

  const countersOf = ({ scope, scopeId }: RateLimit): ScopeCounters => {
    const known = counters[scope].get(scopeId)
    if (known) return known
    const made = new ScopeCounters()
    counters[scope].set(scopeId, made)
    return made
  }
  const sweep = (nowMs: number): void => {
    sweptMs = nowMs
    for (const scopes of Object.values(counters)) {
      for (const [id, { running, touchedMs }] of scopes) {
        if (running === 0 && nowMs - touchedMs > idleMs) scopes.delete(id)
      }
    }
  }

  return {
    acquire({ limits, tokens }) {
      const nowMs = now()
      if (nowMs - sweptMs > idleMs) sweep(nowMs)
      const scopes = limits.map(countersOf)
      const tokensTaken = takesAll ? (perMinute: number) => Math.min(tokens, perMinute) : () => tokens
      const refusal = refusalOf(limits, scopes, tokensTaken, nowMs)
      for (let at = 0; at < limits.length; at++) {
        const { requestsPerMinute, tokensPerMinute, algorithm } = limits[at] as RateLimit
        const scope = scopes[at] as ScopeCounters
        scope.touchedMs = nowMs
        if (refusal) continue
        scope.running++
        if (requestsPerMinute !== undefined) scope.requests(algorithm).add(1, requestsPerMinute, nowMs)
        if (tokensPerMinute === undefined) continue
        scope.tokens(algorithm).add(tokensTaken(tokensPerMinute), tokensPerMinute, nowMs)
      }
      const state = stateOf(limits, scopes, nowMs)
      if (refusal) return { granted: false, ...refusal, state }
      const hold = new MemoryHold({ limits, scopes, takenMs: nowMs, resets, tokensTaken, now })
      return { granted: true, hold, state }
    },

    occupy(limits) {
      const scopes = limits.map(countersOf)
      for (const scope of scopes) scope.running++
      let isOver = false
      return () => {
        if (isOver) return
        isOver = true
        for (const scope of scopes) {
          scope.running--
          scope.touchedMs = now()
        }
      }
    },

    async current(_organizationId, limits) {
      const nowMs = now()
      return limits.map((limit): LimitUsage => {
        const { requestsPerMinute: requests, tokensPerMinute: tokens, maxConcurrent, algorithm } = limit
        const scope = counters[limit.scope].get(limit.scopeId) ?? new ScopeCounters()
        return {
          limit,
          requests: requests && requests - scope.requests(algorithm).remaining(requests, nowMs),
          tokens: tokens && tokens - scope.tokens(algorithm).remaining(tokens, nowMs),
          running: maxConcurrent && scope.running,
          degraded: false,
        }
      })
    },

    async reset(_organizationId, limits) {
      resets++
      for (const { scope, scopeId } of limits) counters[scope].get(scopeId)?.reset(resets)
    },

    get scopes() {
      return counters.key.size + counters.team.size + counters.organization.size
    },

    async close() {},
  }
}

/** What keeps a request waiting longest; undefined when nothing does. */
function refusalOf(
  limits: readonly RateLimit[],
  scopes: readonly ScopeCounters[],
  tokensTaken: (tokensPerMinute: number) => number,
  nowMs: number,
): Pick<LimitExceeded, 'code' | 'limit' | 'retryAfterMs'> | undefined {
  let code: LimitExceeded['code'] = 'rate_limit_exceeded'
  let limit: RateLimit | undefined
  let longestMs = 0
  const wait = (waitMs: number, each: RateLimit, why: LimitExceeded['code']): void => {
    if (waitMs <= longestMs) return
    longestMs = waitMs
    limit = each
    code = why
  }
  for (let at = 0; at < limits.length; at++) {
    const each = limits[at] as RateLimit
    const scope = scopes[at] as ScopeCounters
    const { requestsPerMinute, tokensPerMinute, maxConcurrent, algorithm } = each
    if (requestsPerMinute !== undefined) {
      wait(scope.requests(algorithm).waitMs(1, requestsPerMinute, nowMs), each, 'rate_limit_exceeded')
    }
    if (tokensPerMinute !== undefined) {
      const tokens = tokensTaken(tokensPerMinute)
      wait(scope.tokens(algorithm).waitMs(tokens, tokensPerMinute, nowMs), each, 'tokens_rate_limit_exceeded')
    }
    if (maxConcurrent !== undefined && scope.running >= maxConcurrent) {
      wait(concurrencyRetryMs, each, 'concurrency_limit_exceeded')
    }
  }
  if (!limit) return undefined
  return { code, limit, retryAfterMs: longestMs === Number.POSITIVE_INFINITY ? undefined : longestMs }
}

function stateOf(limits: readonly RateLimit[], scopes: readonly ScopeCounters[], nowMs: number): LimitState {
  const requests = new Scarcest()
  const tokens = new Scarcest()
  for (let at = 0; at < limits.length; at++) {
    const { requestsPerMinute, tokensPerMinute, algorithm } = limits[at] as RateLimit
    const scope = scopes[at] as ScopeCounters
    if (requestsPerMinute !== undefined) {
      const meter = scope.requests(algorithm)
      requests.consider(
        requestsPerMinute,
        meter.remaining(requestsPerMinute, nowMs),
        meter.resetMs(requestsPerMinute, nowMs),
      )
    }
    if (tokensPerMinute !== undefined) {
      const meter = scope.tokens(algorithm)
      tokens.consider(tokensPerMinute, meter.remaining(tokensPerMinute, nowMs), meter.resetMs(tokensPerMinute, nowMs))
    }
  }
  return { requests: requests.left, tokens: tokens.left, degraded: false }
}
