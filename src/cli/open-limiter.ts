import type { EnvironmentSettings } from '../config/environment.ts'
import type { Limiter } from '../core/limits/limiter.ts'
import type { Log } from '../core/log.ts'
import { readRedisUrl } from '../core/redis/redis-url.ts'

/** The counters that running gateways share in Redis; undefined where each counts in its own memory. */
export async function openSharedLimiter(
  { redisUrl, redisPrefix: prefix }: Pick<EnvironmentSettings, 'redisUrl' | 'redisPrefix'>,
  log: Log,
): Promise<Limiter | undefined> {
  if (!redisUrl) return undefined
  const { openRedis } = await import('../core/redis/open-redis.redis.ts')
  const { createRedisLimiter } = await import('../core/limits/limiter.redis.ts')
  const redis = await openRedis({ target: readRedisUrl(redisUrl.reveal()), prefix, log, timeoutMs: 2_000 })
  const clock = { monotonicMs: () => performance.now() }
  const limiter = createRedisLimiter({ redis, clock, expectedReplicas: () => 1 })
  return {
    ...limiter,
    async close() {
      await limiter.close()
      await redis.close()
    },
  }
}
