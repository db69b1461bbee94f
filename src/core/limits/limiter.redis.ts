import { readFileSync } from 'node:fs'
import type { Clock } from '../clock.ts'
import type { GuardedRedis } from '../redis/guarded-redis.ts'
import { createRedisScript } from '../redis/redis-script.redis.ts'
import { type Lease, openConcurrencyLeases } from './concurrency-leases.redis.ts'
import { createMemoryLimiter } from './limiter.memory.ts'
import type {
  LimitDecision,
  LimitExceeded,
  Limiter,
  LimitHold,
  LimitRequest,
  LimitState,
  LimitUsage,
} from './limiter.ts'
import { createLocalShare } from './local-share.ts'
import type { RateLimit } from './rate-limit.ts'
import { Scarcest } from './scarcest.ts'
import { leasesAlone, type Settlement, scriptCall } from './settlements.redis.ts'
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

/** Settlements wait so long for a request of their organization to go with, or for each other. */
const settlementDelayMs = 2
const settlementsPerCall = 100
/** After a call that failed while Redis is there. */
const retryMs = 1_000
/** Leases beyond that, whose end Redis could not be told, are left to run out. */
const unfreedMax = 10_000

/**
 * Counts in Redis, for all replicas: one script for each request, by the time of Redis. While Redis is away each replica
 * counts its share for itself, or refuses, if a limit is strict.
 */
export function createRedisLimiter(deps: RedisLimiterDeps): Limiter {
  const { redis, clock, redisTimeMs } = deps
  const scopesOf = createSharedScopes(redis.prefix)
  const shareOf = createLocalShare(deps.expectedReplicas)
  const local = createMemoryLimiter({ clock, oversized: 'take_all' })
  let waiting: Settlement[] = []
  let unfreed: Settlement[] = []
  let timer: NodeJS.Timeout | undefined
  let retryTimer: NodeJS.Timeout | undefined
  let sending: Promise<void> = Promise.resolve()

  const leases = openConcurrencyLeases({
    redis,
    clock,
    redisTimeMs,
    endedMeanwhile: (lease) => free(lease.requestId, (lease as RedisHold).scopes),
    ...(deps.leaseCheckMs !== undefined && { checkMs: deps.leaseCheckMs }),
  })
  const freeAgain = (): void => {
    clearTimeout(retryTimer)
    retryTimer = undefined
    if (!redis.available) return // its recovery calls here
    for (const settlement of unfreed) settle(settlement)
    unfreed = []
  }
  const forgetRecovery = redis.onRecovered(() => {
    void leases.register('all')
    freeAgain()
  })

  const settle = (settlement: Settlement): void => {
    waiting.push(settlement)
    timer ??= setTimeout(flush, settlementDelayMs)
  }
  const free = (requestId: string, scopes: SharedScopes): void => {
    if (scopes.leaseKeys.length > 0) settle({ requestId, scopes, takenMs: 0, requestsBack: 0, tokensExcess: 0 })
  }
  /** What Redis may not have been told. Corrections are not repeated, since they may have been made. */
  const lost = (settlements: readonly Settlement[]): void => {
    for (const settlement of settlements) {
      if (settlement.scopes.leaseKeys.length > 0 && unfreed.length < unfreedMax) unfreed.push(leasesAlone(settlement))
    }
    if (unfreed.length > 0) retryTimer ??= setTimeout(freeAgain, retryMs).unref()
  }
  /** Those that wait and are of the organization, the oldest first. */
  const takeWaiting = (organizationId: string): Settlement[] => {
    if (waiting.length === 0) return waiting
    const taken: Settlement[] = []
    const left: Settlement[] = []
    for (const settlement of waiting) {
      const isTaken = taken.length < settlementsPerCall && settlement.scopes.organizationId === organizationId
      ;(isTaken ? taken : left).push(settlement)
    }
    waiting = left
    return taken
  }
  const send = async (asking: SharedScopes | undefined, id: string, tokens: number | '', settlements: Settlement[]) => {
    const call = scriptCall(asking, settlements)
    try {
      return await redis.run((client) =>
        limiterScript(
          client,
          call.keys.length,
          ...call.keys,
          redisTimeMs?.() ?? '',
          id,
          tokens,
          call.groups.length,
          ...call.groups,
          ...call.settlements,
        ),
      )
    } catch (error) {
      lost(settlements)
      throw error
    }
  }
  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    const sent: Promise<unknown>[] = []
    for (let next = waiting[0]; next; next = waiting[0]) {
      sent.push(send(undefined, '', '', takeWaiting(next.scopes.organizationId)).catch(() => {})) // kept by `lost`
    }
    // Its own result, lest each keep all those before it.
    if (sent.length > 0) sending = Promise.all([sending, ...sent]).then(() => {})
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
        settle({ requestId, scopes, takenMs: this.#takenMs, requestsBack, tokensExcess })
      }
    }
  }

  const askRedis = async (request: LimitRequest, scopes: SharedScopes): Promise<LimitDecision> => {
    let reply: readonly number[]
    try {
      reply = await send(scopes, request.requestId, request.tokens, takeWaiting(scopes.organizationId))
    } catch {
      // It may have been counted all the same: as what it is if it is granted here, and else its lease is in the way.
      const decision = decideHere(request, scopes)
      if (!decision.granted) free(request.requestId, scopes)
      return decision
    }
    const state = stateOf(request.limits, reply)
    const [code, scope, waitMs, nowMs] = reply as [number, number, number, number]
    if (code === 0) return { granted: true, hold: new RedisHold(request, scopes, nowMs), state }
    return {
      granted: false,
      code: refusalCodes[code] as LimitExceeded['code'],
      limit: request.limits[scope - 1] as RateLimit,
      retryAfterMs: waitMs < 0 ? undefined : waitMs,
      state,
    }
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
        const reply = await send(scopes, 'look', '', takeWaiting(organizationId))
        return limits.map((limit, at) => usageOf(limit, reply.slice(4 + 5 * at, 9 + 5 * at)))
      } catch {
        const usages = await local.current(organizationId, shareOf(limits))
        return usages.map((usage, at) => ({ ...usage, limit: limits[at] as RateLimit, degraded: true }))
      }
    },

    async reset(organizationId, limits) {
      await local.reset(organizationId, limits)
      const keys = limits.flatMap((limit) => counterKeys(redis.prefix, organizationId, limit))
      if (keys.length > 0) await redis.run((client) => client.del(...keys))
    },

    async close() {
      forgetRecovery()
      leases.close()
      clearTimeout(retryTimer)
      flush()
      await sending
    },
  }
}

const limiterScript = createRedisScript<number[]>({
  name: 'limiter',
  lua: readFileSync(new URL('./limiter.lua', import.meta.url), 'utf8'),
})

const refusalCodes: readonly (LimitExceeded['code'] | undefined)[] = [
  undefined,
  'rate_limit_exceeded',
  'tokens_rate_limit_exceeded',
  'concurrency_limit_exceeded',
]

const nothingKnown: LimitState = { requests: undefined, tokens: undefined, degraded: true }

/** @param reply - after four numbers about the decision, of each limit what is left of requests and tokens, and until when */
function stateOf(limits: readonly RateLimit[], reply: readonly number[]): LimitState {
  const requests = new Scarcest()
  const tokens = new Scarcest()
  for (let at = 0; at < limits.length; at++) {
    const { requestsPerMinute, tokensPerMinute } = limits[at] as RateLimit
    const [requestsLeft, requestsResetMs, tokensLeft, tokensResetMs] = reply.slice(4 + 4 * at, 8 + 4 * at) as Four
    if (requestsPerMinute !== undefined) requests.consider(requestsPerMinute, requestsLeft, requestsResetMs)
    if (tokensPerMinute !== undefined) tokens.consider(tokensPerMinute, tokensLeft, tokensResetMs)
  }
  return { requests: requests.left, tokens: tokens.left, degraded: false }
}

type Four = [number, number, number, number]

function usageOf(limit: RateLimit, reply: readonly number[]): LimitUsage {
  const [requestsLeft, , tokensLeft, , running] = reply as [number, number, number, number, number]
  return {
    limit,
    requests: limit.requestsPerMinute && limit.requestsPerMinute - requestsLeft,
    tokens: limit.tokensPerMinute && limit.tokensPerMinute - tokensLeft,
    running: limit.maxConcurrent && running,
    degraded: false,
  }
}
