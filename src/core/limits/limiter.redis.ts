import type { Clock } from '../clock.ts'
import type { GuardedRedis } from '../redis/guarded-redis.ts'
import { type Lease, openConcurrencyLeases } from './concurrency-leases.redis.ts'
import { createMemoryLimiter } from './limiter.memory.ts'
import type { LimitDecision, Limiter, LimitHold, LimitRequest, LimitState } from './limiter.ts'
import { openLimiterCalls } from './limiter-calls.redis.ts'
import { createLocalShare } from './local-share.ts'
import type { RateLimit } from './rate-limit.ts'
import type { ScriptAnswer } from './script-reply.ts'
import { counterKeys, createSharedScopes, type SharedScopes } from './shared-scopes.ts'

export interface RedisLimiterDeps {
  redis: Pick<GuardedRedis, 'run' | 'available' | 'onRecovered' | 'prefix'>
  clock: Pick<Clock, 'monotonicMs'>
  /** Among how many replicas a limit is shared out while Redis is away, this one included. */
  expectedReplicas(): number
  /** How often Redis is asked whether it still knows what runs here. */
  leaseCheckMs?: number
  /** Stands in for the time of Redis; for tests alone. */
  redisTimeMs?: () => number
}

/**
 * Counts in Redis, for all replicas and by the time of Redis: one call of a script decides about all that an organization
 * asks in one turn of the event loop. While Redis is away each replica counts its share for itself, or refuses, if a limit
 * is strict.
 */
export function createRedisLimiter(deps: RedisLimiterDeps): Limiter {
  const { redis, clock, redisTimeMs } = deps
  const scopesOf = createSharedScopes(redis.prefix)
  const shareOf = createLocalShare(deps.expectedReplicas)
  const local = createMemoryLimiter({ clock, oversized: 'take_all' })
  const calls = openLimiterCalls({ redis, redisTimeMs })
  const leases = openConcurrencyLeases({
    redis,
    clock,
    redisTimeMs,
    endedMeanwhile: (lease) => free(lease.requestId, (lease as RedisHold).scopes),
    ...(deps.leaseCheckMs !== undefined && { checkMs: deps.leaseCheckMs }),
  })
  const forgetRecovery = redis.onRecovered(() => {
    void leases.register('all')
    calls.freeAgain()
  })

  const free = (requestId: string, scopes: SharedScopes): void => {
    if (scopes.leaseKeys.length > 0) calls.settle({ requestId, scopes, takenMs: 0, requestsBack: 0, tokensExcess: 0 })
  }

  /** One granted request. Its concurrency is registered in Redis and counted here, whoever has granted it. */
  class RedisHold implements LimitHold, Lease {
    readonly requestId: string
    readonly scopes: SharedScopes
    position = -1
    readonly #tokens: number
    readonly #takenMs: number
    /** Granted by this replica alone, hence corrected here alone. */
    readonly #localHold: LimitHold | undefined
    readonly #leaveLocal: (() => void) | undefined
    #isOver = false

    constructor({ requestId, tokens }: LimitRequest, scopes: SharedScopes, taken: number | LimitHold) {
      this.requestId = requestId
      this.scopes = scopes
      this.#tokens = tokens
      this.#takenMs = typeof taken === 'number' ? taken : 0
      this.#localHold = typeof taken === 'number' ? undefined : taken
      if (scopes.leaseKeys.length === 0) return
      if (typeof taken === 'number') this.#leaveLocal = local.occupy(scopes.limits)
      leases.add(this)
    }

    get organizationId(): string {
      return this.scopes.organizationId
    }

    get leaseKeys(): readonly string[] {
      return this.scopes.leaseKeys
    }

    settle(tokensUsed: number): void {
      if (!this.#end()) return
      this.#localHold?.settle(tokensUsed)
      const used = Math.max(0, tokensUsed)
      this.#correct(0, Number.isSafeInteger(used) ? used - this.#tokens : 0)
    }

    undo(): void {
      if (!this.#end()) return
      this.#localHold?.undo()
      this.#correct(1, -this.#tokens)
    }

    #end(): boolean {
      if (this.#isOver) return false
      this.#isOver = true
      this.#leaveLocal?.()
      leases.delete(this)
      return true
    }

    #correct(requestsBack: 0 | 1, tokensExcess: number): void {
      const { requestId, scopes } = this
      if (this.#localHold) free(requestId, scopes)
      else if (requestsBack > 0 || tokensExcess !== 0 || scopes.leaseKeys.length > 0) {
        calls.settle({ requestId, scopes, takenMs: this.#takenMs, requestsBack, tokensExcess })
      }
    }
  }

  const askRedis = (request: LimitRequest, scopes: SharedScopes): Promise<LimitDecision> =>
    new Promise((resolve) => {
      calls.ask({
        request,
        scopes,
        answered: (answer) => resolve(answer ? decided(request, scopes, answer) : undecided(request, scopes)),
      })
    })

  const decided = (
    request: LimitRequest,
    scopes: SharedScopes,
    { nowMs, refusal, state }: ScriptAnswer,
  ): LimitDecision =>
    refusal
      ? { granted: false, ...refusal, state }
      : { granted: true, hold: new RedisHold(request, scopes, nowMs), state }

  /** It may have been counted all the same: as what it is if it is granted here, and else its lease is in the way. */
  const undecided = (request: LimitRequest, scopes: SharedScopes): LimitDecision => {
    const decision = decideHere(request, scopes)
    if (!decision.granted) free(request.requestId, scopes)
    return decision
  }

  const decideHere = (request: LimitRequest, scopes: SharedScopes): LimitDecision => {
    if (scopes.strict) return { granted: false, code: 'limits_unavailable', limit: scopes.strict, state: nothingKnown }
    const share = shareOf(request.limits)
    const decision = local.acquire({ ...request, limits: share })
    const state = { ...decision.state, degraded: true }
    if (decision.granted) return { granted: true, hold: new RedisHold(request, scopes, decision.hold), state }
    return { ...decision, limit: request.limits[share.indexOf(decision.limit)] as RateLimit, state }
  }

  return {
    acquire(request) {
      const scopes = scopesOf(request.organizationId, request.limits)
      return redis.available ? askRedis(request, scopes) : decideHere(request, scopes)
    },

    async current(organizationId, limits) {
      const scopes = scopesOf(organizationId, limits)
      try {
        const reply = await calls.look(scopes)
        return limits.map((limit) => reply.usage(limit))
      } catch {
        const usages = await local.current(organizationId, shareOf(limits))
        return usages.map((usage, at) => ({ ...usage, limit: limits[at] as RateLimit, degraded: true }))
      }
    },

    async reset(organizationId, limits) {
      await local.reset(organizationId, limits)
      calls.flush(scopesOf(organizationId, limits))
      const keys = limits.flatMap((limit) => counterKeys(redis.prefix, organizationId, limit))
      if (keys.length > 0) await redis.run((client) => client.del(...keys))
    },

    async close() {
      forgetRecovery()
      leases.close()
      await calls.close()
    },
  }
}

const nothingKnown: LimitState = { requests: undefined, tokens: undefined, degraded: true }
