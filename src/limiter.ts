import type { Clock } from './core/clock.ts'
import { createMemoryLimiter } from './core/limits/limiter.memory.ts'
import type { Limiter } from './core/limits/limiter.ts'
import type { GuardedRedis } from './core/redis/guarded-redis.ts'

export interface LimiterDeps {
  /** Undefined when this replica is alone. */
  redis: GuardedRedis | undefined
  clock: Clock
  expectedReplicas(): number
}

/** Counts for all replicas where they share a Redis, else for this one, which then is alone. */
export async function openLimiter({ redis, clock, expectedReplicas }: LimiterDeps): Promise<Limiter> {
  if (!redis) return createMemoryLimiter({ clock })
  const { createRedisLimiter } = await import('./core/limits/limiter.redis.ts')
  return createRedisLimiter({ redis, clock, expectedReplicas })
}
