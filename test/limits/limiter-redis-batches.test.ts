import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createRedisLimiter } from '../../src/core/limits/limiter.redis.ts'
import type { Limiter } from '../../src/core/limits/limiter.ts'
import type { GuardedRedis } from '../../src/core/redis/guarded-redis.ts'
import { type Asking, ask, granted, limitOf, refused } from '../contracts/limiter.ts'
import { eventually } from '../support/eventually.ts'
import { openTestRedis } from '../support/redis.ts'
import { type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

if (redisServerBinary() === undefined) test('limits in Redis, in batches', ({ skip }) => skip('no redis-server found'))

/** What is asked in one turn of the event loop. */
describe.skipIf(redisServerBinary() === undefined)('limits in Redis, in batches', () => {
  let server: RedisServer
  let redis: GuardedRedis
  let limiter: Limiter
  /** The server has carried out the call, and its reply is lost. */
  let losesReplies: boolean

  beforeAll(async () => {
    server = await startRedisServer()
  })
  afterAll(() => server?.close())
  beforeEach(async () => {
    await server.client.flushall()
    losesReplies = false
    redis = await openTestRedis(server.url, { timeoutMs: 5_000 })
    limiter = createRedisLimiter({
      clock: { monotonicMs: () => performance.now() },
      expectedReplicas: () => 2,
      redis: {
        prefix: redis.prefix,
        available: true,
        onRecovered: redis.onRecovered,
        async run(command) {
          const result = await redis.run(command)
          if (losesReplies) throw new Error('The reply was lost.')
          return result
        },
      },
    })
    await granted(limiter, { limits: [limitOf({ requestsPerMinute: 1 })] }) // sends the script
    await server.client.config('RESETSTAT')
  })
  afterEach(async () => {
    await limiter.close()
    await redis.close()
  })

  const commands = async (): Promise<number> =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await server.client.info('commandstats'))?.[1] ?? 0)
  const times = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at))
  const askAll = (askings: readonly Asking[]) => Promise.all(askings.map((asking) => ask(limiter, asking)))

  test('many decisions are one command, and what is over goes with them', async () => {
    const limits = [limitOf({ requestsPerMinute: 1_000, tokensPerMinute: 1_000_000, maxConcurrent: 100 })]
    const other = [limitOf({ tokensPerMinute: 1_000, maxConcurrent: 5, algorithm: 'token_bucket' })]
    const first = await Promise.all(times(20, () => granted(limiter, { limits, tokens: 100 })))
    expect(await commands()).toBe(1)
    for (const hold of first) hold.settle(50)
    const second = await Promise.all([
      ...times(10, () => granted(limiter, { limits, tokens: 100 })),
      ...times(5, () => granted(limiter, { limits: other, tokens: 10 })),
    ])
    expect(await commands()).toBe(2)
    expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 30, tokens: 2_000, running: 10 }])
    expect(await limiter.current('acme', other)).toMatchObject([{ tokens: 50, running: 5 }])
    for (const hold of second) hold.undo()
    expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 20, tokens: 1_000, running: 0 }])
    expect(await limiter.current('acme', other)).toMatchObject([{ tokens: 0, running: 0 }])
  })

  test('an organization is one command, however many ask in the same turn', async () => {
    const limits = [limitOf({ requestsPerMinute: 5 })]
    const decisions = await askAll(
      ['acme', 'globex', 'acme', 'globex', 'acme'].map((organizationId) => ({ organizationId, limits: [...limits] })),
    )
    expect(decisions.map(({ granted }) => granted)).toEqual([true, true, true, true, true])
    expect(await commands()).toBe(2)
    expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 3 }])
    expect(await limiter.current('globex', limits)).toMatchObject([{ requests: 2 }])
  })

  test('no command decides about more than 64, and none is forgotten', async () => {
    const limits = [limitOf({ requestsPerMinute: 150, maxConcurrent: 140 })]
    const decisions = await askAll(times(200, () => ({ limits })))
    expect(await commands()).toBe(4)
    expect(decisions.map(({ granted }) => granted)).toEqual(times(200, (at) => at < 140))
    for (const decision of decisions) if (decision.granted) decision.hold.settle(1)
    expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 140, running: 0 }])
    expect(await server.client.keys('*leases')).toEqual([])
  })

  test.each(['sliding_window', 'token_bucket'] as const)(
    'limits are kept exactly, in the order of asking, and each is told what was left for it: %s',
    async (algorithm) => {
      const limits = [
        limitOf({ requestsPerMinute: 8, algorithm }),
        limitOf({ scope: 'team', requestsPerMinute: 1_000 }),
      ]
      const decisions = await askAll(times(12, () => ({ limits })))
      expect(decisions.map(({ granted }) => granted)).toEqual(times(12, (at) => at < 8))
      expect(decisions.map(({ state }) => state.requests?.remaining)).toEqual([7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0])
      expect(decisions[11]).toMatchObject({ code: 'rate_limit_exceeded', limit: limits[0], state: { degraded: false } })
      expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 8 }, { requests: 8 }])
    },
  )

  test('a refused request leaves what it did not get to those after it, of every scope', async () => {
    const team = limitOf({ scope: 'team', tokensPerMinute: 100, maxConcurrent: 2 })
    const first = [limitOf({ requestsPerMinute: 1 }), team]
    const second = [limitOf({ requestsPerMinute: 10, algorithm: 'token_bucket' }), { ...team }]
    const decisions = await askAll([
      { limits: first, tokens: 40 },
      { limits: first, tokens: 40 }, // its key has none left: the team keeps its 60 tokens and its slot
      { limits: second, tokens: 61 }, // more than the team has left, though less than its key
      { limits: second, tokens: 60 },
      { limits: second, tokens: 1 },
    ])
    expect(decisions.map((decision) => (decision.granted ? 'granted' : decision.code))).toEqual([
      'granted',
      'rate_limit_exceeded',
      'tokens_rate_limit_exceeded',
      'granted',
      'tokens_rate_limit_exceeded',
    ])
    expect(await limiter.current('acme', first)).toMatchObject([{ requests: 1 }, { tokens: 100, running: 2 }])
    expect(await limiter.current('acme', second)).toMatchObject([{ requests: 1 }, { tokens: 100, running: 2 }])
  })

  test('a slot that is freed in a turn is there for who asks in it', async () => {
    const limits = [limitOf({ maxConcurrent: 1 })]
    for (let round = 0; round < 3; round++) {
      const hold = await granted(limiter, { limits })
      hold.settle(1)
    }
    const decisions = await askAll(times(3, () => ({ limits })))
    expect(decisions.map(({ granted }) => granted)).toEqual([true, false, false])
  })

  test('a limit that is lowered between requests of a turn holds for each as it knows it', async () => {
    for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
      const limit = limitOf({ requestsPerMinute: 3, algorithm })
      const lowered = { ...limit, requestsPerMinute: 1 }
      const decisions = await askAll([{ limits: [limit] }, { limits: [lowered] }, { limits: [limit] }])
      // A bucket that has less than it had is emptied by the second; a window has seen one already, which is too many.
      const isBucket = algorithm === 'token_bucket'
      expect(decisions.map(({ granted }) => granted)).toEqual([true, isBucket, !isBucket])
    }
  })

  test('of a batch whose reply is lost each request is decided here, and no slot stays taken', async () => {
    const limits = [limitOf({ maxConcurrent: 4, tokensPerMinute: 1_000 })]
    const settled = await granted(limiter, { limits, tokens: 100 })
    settled.settle(60)
    losesReplies = true
    const decisions = await askAll(times(5, () => ({ limits, tokens: 100 })))
    losesReplies = false
    // Two replicas: the half of four slots is two.
    expect(decisions.map(({ granted }) => granted)).toEqual([true, true, false, false, false])
    for (const { state } of decisions) expect(state.degraded).toBe(true)
    await eventually('those refused to have left their slots', async () => {
      const [usage] = await limiter.current('acme', limits)
      return usage?.running === 2
    })
    for (const decision of decisions) if (decision.granted) decision.hold.settle(1)
    // What was counted in Redis stays counted for its minute, and the settlement that went along was made once.
    expect(await limiter.current('acme', limits)).toMatchObject([{ tokens: 60 + 4 * 100, running: 0 }])
  })

  test('one organization whose call fails does not fail another', async () => {
    const limits = [limitOf({ requestsPerMinute: 10 })]
    await server.client.set(`${redis.prefix}limit:{broken}:key:${limits[0]?.scopeId}:window`, 'not a hash')
    const [fails, works] = await askAll([
      { organizationId: 'broken', limits: [...limits] },
      { organizationId: 'acme', limits: [...limits] },
    ])
    expect(fails).toMatchObject({ granted: true, state: { degraded: true, requests: { limit: 5 } } })
    expect(works).toMatchObject({ granted: true, state: { degraded: false, requests: { limit: 10, remaining: 9 } } })
  })

  test('who looks or resets comes after those who have asked before', async () => {
    const limits = [limitOf({ requestsPerMinute: 10 })]
    const asked = askAll(times(3, () => ({ limits })))
    const looked = limiter.current('acme', limits)
    expect(await looked).toMatchObject([{ requests: 3 }])
    await asked
    const more = askAll(times(3, () => ({ limits })))
    await limiter.reset('acme', limits)
    await more
    expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 0 }])
  })

  test('an id is data, whatever is in it', async () => {
    const limits = [limitOf({ maxConcurrent: 2 })]
    const asked = ['"],[1', 'a b\\\n', 'plain'].map((requestId) =>
      limiter.acquire({ requestId, organizationId: 'acme', limits, tokens: 1 }),
    )
    const decisions = await Promise.all(asked)
    expect(decisions.map(({ granted }) => granted)).toEqual([true, true, false])
    for (const decision of decisions) if (decision.granted) decision.hold.settle(1)
    expect(await limiter.current('acme', limits)).toMatchObject([{ running: 0 }])
    await refused(limiter, { limits: [limitOf({ tokensPerMinute: 1 })], tokens: 2 })
  })
})
