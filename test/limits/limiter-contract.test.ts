import { afterAll, beforeAll, describe, test } from 'vitest'
import { createMemoryLimiter } from '../../src/core/limits/limiter.memory.ts'
import { createRedisLimiter } from '../../src/core/limits/limiter.redis.ts'
import type { GuardedRedis } from '../../src/core/redis/guarded-redis.ts'
import { openRedis } from '../../src/core/redis/open-redis.redis.ts'
import { parseRedisUrl } from '../../src/core/redis/redis-url.ts'
import { limiterContract } from '../contracts/limiter.ts'
import { silent } from '../support/log.ts'
import { type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

/** Held; it begins in the middle of a minute that is like any other. */
function heldTime(startMs: number) {
  let nowMs = startMs
  return {
    nowMs: () => nowMs,
    advance(ms: number) {
      nowMs += ms
    },
  }
}

limiterContract(
  'memory',
  async () => {
    const { nowMs, advance } = heldTime(0)
    return { limiter: createMemoryLimiter({ clock: { monotonicMs: nowMs } }), advance }
  },
  { runs: 300 },
)

describe.skipIf(redisServerBinary() === undefined)('with a Redis', () => {
  let server: RedisServer
  let redis: GuardedRedis

  beforeAll(async () => {
    server = await startRedisServer()
    const target = parseRedisUrl(server.url)
    if ('problem' in target) throw new Error(target.problem)
    // Far more patience than in production: what is tested here is counting, on a machine that may be busy.
    redis = await openRedis({ target, prefix: 'contract', log: silent, timeoutMs: 5_000 })
  })
  afterAll(async () => {
    await redis?.close()
    await server?.close()
  })

  limiterContract(
    'redis',
    async () => {
      const { nowMs, advance } = heldTime(1_800_000_000_000)
      const limiter = createRedisLimiter({
        redis,
        clock: { monotonicMs: () => performance.now() },
        expectedReplicas: () => 1,
        redisTimeMs: nowMs,
      })
      return { limiter, advance }
    },
    { runs: 20 },
  )
})

if (redisServerBinary() === undefined) test('with a Redis', ({ skip }) => skip('no redis-server found'))
