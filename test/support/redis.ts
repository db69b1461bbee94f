import type { Log } from '../../src/core/log.ts'
import type { GuardedRedis } from '../../src/core/redis/guarded-redis.ts'
import { type OpenRedisOptions, openRedis } from '../../src/core/redis/open-redis.redis.ts'
import { readRedisUrl } from '../../src/core/redis/redis-url.ts'
import { eventually } from './eventually.ts'
import { silent } from './log.ts'

/** As the gateway has it, but that it is probed more often, so that a test need not wait for seconds. */
export async function openTestRedis(
  url: string,
  options: Partial<OpenRedisOptions> & { log?: Log } = {},
): Promise<GuardedRedis & AsyncDisposable> {
  const target = readRedisUrl(url)
  const redis = await openRedis({ target, prefix: 'test', log: silent, probeEveryMs: 50, ...options })
  return Object.assign(redis, { [Symbol.asyncDispose]: () => redis.close() })
}

/** Asks until the breaker is open. @returns how long the slowest call took, in milliseconds */
export async function askUntilGivenUp(redis: GuardedRedis): Promise<number> {
  let slowestMs = 0
  await eventually('the breaker to open', async () => {
    const startMs = performance.now()
    await redis.run((client) => client.get('x')).catch(() => {})
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
    return !redis.available
  })
  return slowestMs
}

export const untilAvailable = (redis: GuardedRedis): Promise<unknown> =>
  eventually('the breaker to close', () => redis.available, 20_000)
