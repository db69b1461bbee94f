import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createRedisLimiter, type RedisLimiterDeps } from '../../src/core/limits/limiter.redis.ts'
import type { Limiter } from '../../src/core/limits/limiter.ts'
import type { GuardedRedis } from '../../src/core/redis/guarded-redis.ts'
import { openRedis } from '../../src/core/redis/open-redis.redis.ts'
import { parseRedisUrl } from '../../src/core/redis/redis-url.ts'
import { ask, granted, limitOf, refused } from '../contracts/limiter.ts'
import { eventually } from '../support/eventually.ts'
import { silent } from '../support/log.ts'
import { type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

if (redisServerBinary() === undefined) test('limits in Redis', ({ skip }) => skip('no redis-server found'))

describe.skipIf(redisServerBinary() === undefined)('limits in Redis', () => {
  let server: RedisServer
  let open: { limiter: Limiter; redis: GuardedRedis }[]
  let nowMs: number

  beforeAll(async () => {
    server = await startRedisServer()
  })
  afterAll(() => server?.close())
  beforeEach(async () => {
    await server.client.flushall()
    open = []
    nowMs = 1_800_000_000_000
  })
  afterEach(async () => {
    server.resume()
    for (const { limiter, redis } of open) {
      await limiter.close()
      await redis.close()
    }
  })

  /** One replica, with a connection of its own. */
  async function replica({ timeoutMs = 5_000, ...deps }: Partial<RedisLimiterDeps> & { timeoutMs?: number } = {}) {
    const target = parseRedisUrl(server.url)
    if ('problem' in target) throw new Error(target.problem)
    const redis = await openRedis({ target, prefix: 'llmgw', log: silent, timeoutMs })
    const clock = { monotonicMs: () => performance.now() }
    const limiter = createRedisLimiter({ redis, clock, expectedReplicas: () => 3, ...deps })
    open.push({ limiter, redis })
    return { limiter, redis }
  }
  const held = { redisTimeMs: () => nowMs }
  const keysLike = async (pattern: string) => (await server.client.keys(pattern)).sort()

  test('of 300 calls over three replicas exactly 60 pass, by the time of Redis', async () => {
    const replicas = [await replica(), await replica(), await replica()]
    const limits = [limitOf({ requestsPerMinute: 60 }), limitOf({ scope: 'team', requestsPerMinute: 1_000 })]
    let passed = 0
    for (let round = 0; round < 10; round++) {
      const decisions = await Promise.all(
        replicas.flatMap(({ limiter }) => Array.from({ length: 10 }, () => ask(limiter, { limits }))),
      )
      for (const decision of decisions) {
        if (decision.granted) decision.hold.settle(5)
        else expect(decision).toMatchObject({ code: 'rate_limit_exceeded', limit: limits[0] })
        passed += decision.granted ? 1 : 0
      }
    }
    expect(passed).toBe(60)
  })

  test('calls of a turn are one command, and settlements go with calls or with each other', async () => {
    const { limiter } = await replica()
    const limits = [
      limitOf({ requestsPerMinute: 1_000, tokensPerMinute: 1_000_000, maxConcurrent: 100 }),
      limitOf({ scope: 'team', requestsPerMinute: 1_000 }),
      limitOf({ scope: 'organization', requestsPerMinute: 1_000, algorithm: 'token_bucket' }),
    ]
    await granted(limiter, { limits }) // sends the script
    await server.client.config('RESETSTAT')
    const holds = await Promise.all(Array.from({ length: 20 }, () => granted(limiter, { limits, tokens: 100 })))
    for (const hold of holds) hold.settle(50)
    await granted(limiter, { limits, tokens: 100 })
    expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 22, tokens: 1_101, running: 2 }, {}, {}])
    const calls = /cmdstat_evalsha:calls=(\d+)/.exec(await server.client.info('commandstats'))?.[1]
    expect(Number(calls)).toBe(1 + 1 + 1)
  })

  test('keys of an organization share a hash slot, run out, and do not grow with time', async () => {
    const { limiter } = await replica(held)
    const limits = [
      limitOf({ scopeId: 'k', requestsPerMinute: 100_000, tokensPerMinute: 1e9, maxConcurrent: 100_000 }),
      limitOf({ scope: 'team', scopeId: 't', requestsPerMinute: 100_000, algorithm: 'token_bucket' }),
      limitOf({ scope: 'organization', scopeId: 'acme', maxConcurrent: 100_000 }),
    ]
    for (let second = 0; second < 200; second++) {
      ;(await granted(limiter, { limits })).settle(7)
      nowMs += 1_000
    }
    const last = await granted(limiter, { limits })
    const keys = await keysLike('*limit*')
    expect(keys).toEqual([
      'llmgw:v1:limit:{acme}:key:k:leases',
      'llmgw:v1:limit:{acme}:key:k:window',
      'llmgw:v1:limit:{acme}:organization:acme:leases',
      'llmgw:v1:limit:{acme}:team:t:bucket',
    ])
    for (const key of keys) {
      const ttlMs = await server.client.pttl(key)
      expect(ttlMs).toBeGreaterThan(0)
      expect(ttlMs).toBeLessThanOrEqual(125_000)
    }
    expect(await server.client.hlen('llmgw:v1:limit:{acme}:key:k:window')).toBeLessThanOrEqual(60 + 7)
    expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 61, tokens: 61 * 7, running: 1 }, {}, {}])
    last.settle(1)
    await limiter.current('acme', limits)
    expect(await keysLike('*leases')).toEqual([])
  })

  test('slots of a replica that is gone are free after 60 seconds, and those of a living one are renewed', async () => {
    let monotonicMs = 0
    const clock = { monotonicMs: () => monotonicMs }
    const gone = await replica({ ...held, leaseCheckMs: 2_147_483_647 })
    const living = await replica({ ...held, clock, leaseCheckMs: 10 })
    const limits = [limitOf({ maxConcurrent: 2 })]
    await granted(gone.limiter, { limits })
    const kept = await granted(living.limiter, { limits })
    const key = `llmgw:v1:limit:{acme}:key:${limits[0]?.scopeId}:leases`
    for (let passedMs = 0; passedMs < 60_000; passedMs += 20_000) {
      await refused(living.limiter, { limits })
      nowMs += 20_000
      monotonicMs += 20_000
      await eventually('the lease to be renewed', async () => {
        const leases = await server.client.zrange(key, '0', '-1', 'WITHSCORES')
        return leases.map(String).includes(String(nowMs + 60_000))
      })
    }
    const taken = await granted(living.limiter, { limits })
    await refused(living.limiter, { limits })
    kept.settle(1)
    taken.settle(1)
    await granted(living.limiter, { limits })
    await granted(living.limiter, { limits })
    await refused(living.limiter, { limits })
  })

  test('what Redis forgets is registered again, though no call has failed', async () => {
    const { limiter } = await replica({ leaseCheckMs: 10 })
    const limits = [limitOf({ maxConcurrent: 2, requestsPerMinute: 5 })]
    const hold = await granted(limiter, { limits })
    await granted(limiter, { limits })
    await server.client.flushall()
    await eventually('both slots to be taken again', async () => {
      const [usage] = await limiter.current('acme', limits)
      return usage?.running === 2
    })
    await refused(limiter, { limits })
    hold.settle(1)
    await granted(limiter, { limits })
  })

  test('without Redis a replica counts its share, and a strict limit refuses', async () => {
    const { limiter, redis } = await replica({ timeoutMs: 100 })
    const limits = [limitOf({ requestsPerMinute: 10, tokensPerMinute: 100, maxConcurrent: 30 })]
    const before = await granted(limiter, { limits })
    await server.kill()
    try {
      await eventually('the breaker to open', async () => {
        await ask(limiter, { limits: [limitOf({ requestsPerMinute: 1 })] })
        return !redis.available
      })
      const decision = limiter.acquire({ requestId: 'first', organizationId: 'acme', limits, tokens: 4 })
      expect(decision, 'decided at once').toMatchObject({
        granted: true,
        state: { degraded: true, requests: { limit: 4, remaining: 3 }, tokens: { limit: 34, remaining: 30 } },
      })
      before.settle(1)
      for (let i = 0; i < 3; i++) await granted(limiter, { limits })
      const refusal = await refused(limiter, { limits })
      expect(refusal).toMatchObject({ code: 'rate_limit_exceeded', state: { degraded: true } })
      expect(refusal.limit, 'the whole limit, and not the share').toBe(limits[0])

      const large = [limitOf({ tokensPerMinute: 100 })]
      const takesAll = await granted(limiter, { limits: large, tokens: 90 })
      await refused(limiter, { limits: large, tokens: 1 })
      takesAll.undo()
      await granted(limiter, { limits: large, tokens: 34 })

      const strict = [...limits, limitOf({ scope: 'team', requestsPerMinute: 100, strict: true })]
      expect(await ask(limiter, { limits: strict })).toMatchObject({
        granted: false,
        code: 'limits_unavailable',
        limit: strict[1],
        state: { degraded: true },
      })
      expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 4, degraded: true, limit: limits[0] }])
      await expect(limiter.reset('acme', limits)).rejects.toThrow('Redis')
      expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 0 }])
    } finally {
      await server.restart()
    }
  })

  test('requests that began with or without Redis are registered when it is back, and those that ended are not', async () => {
    const { limiter, redis } = await replica({ timeoutMs: 100, expectedReplicas: () => 1 })
    const limits = [limitOf({ maxConcurrent: 4 })]
    const begunBefore = await granted(limiter, { limits })
    const endsMeanwhile = await granted(limiter, { limits })
    await server.kill()
    await eventually('the breaker to open', async () => {
      await ask(limiter, { limits: [limitOf({ requestsPerMinute: 1 })] })
      return !redis.available
    })
    const begunMeanwhile = await granted(limiter, { limits })
    await granted(limiter, { limits })
    await refused(limiter, { limits }) // what began with Redis counts here, too
    endsMeanwhile.settle(1)
    await server.restart()
    await eventually('Redis to be used again', () => redis.available)
    await eventually('the requests to be registered', async () => {
      const [usage] = await limiter.current('acme', limits)
      return usage?.degraded === false && usage.running === 3
    })
    begunBefore.settle(1)
    begunMeanwhile.undo()
    expect(await limiter.current('acme', limits)).toMatchObject([{ running: 1, degraded: false }])
  })

  test('a frozen Redis that comes to keeps no slot of requests that are over or were refused', async () => {
    const { limiter, redis } = await replica({ timeoutMs: 100, expectedReplicas: () => 2 })
    const limits = [limitOf({ maxConcurrent: 2 })]
    const hold = await granted(limiter, { limits })
    server.pause()
    const decisions = await Promise.all([ask(limiter, { limits }), ask(limiter, { limits })])
    expect(
      decisions.map((decision) => decision.granted),
      'the share is one, and taken',
    ).toEqual([false, false])
    hold.settle(1)
    await eventually('the breaker to open', async () => {
      await ask(limiter, { limits: [limitOf({ requestsPerMinute: 1 })] })
      return !redis.available
    })
    server.resume()
    await eventually('Redis to be used again', () => redis.available)
    await eventually('all slots to be free', async () => {
      const [usage] = await limiter.current('acme', limits)
      return usage?.degraded === false && usage.running === 0
    })
  })

  test('a settlement that failed once frees its slot soon after, and corrects nothing twice', async () => {
    const { redis } = await replica()
    let failing = false
    const limiter = createRedisLimiter({
      clock: { monotonicMs: () => performance.now() },
      expectedReplicas: () => 1,
      redis: {
        prefix: redis.prefix,
        available: true,
        onRecovered: redis.onRecovered,
        async run(command) {
          const result = await redis.run(command)
          if (failing) throw new Error('The reply was lost.')
          return result
        },
      },
    })
    const limits = [limitOf({ maxConcurrent: 1, tokensPerMinute: 100 })]
    await granted(limiter, { limits: [limitOf({ tokensPerMinute: 1 })] })
    const hold = await granted(limiter, { limits, tokens: 100 })
    failing = true
    hold.settle(90)
    await eventually('the slot to be freed', async () => (await keysLike('*leases')).length === 0)
    failing = false
    await granted(limiter, { limits, tokens: 10 })
    await refused(limiter, { limits: [{ ...(limits[0] as (typeof limits)[0]), maxConcurrent: undefined }], tokens: 1 })
    await limiter.close()
  })
})
