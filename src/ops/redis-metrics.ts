import type { Registry } from 'prom-client'
import type { GuardedRedis } from '../core/redis/guarded-redis.ts'
import { registerSampled } from './series.ts'

/** How Redis does, as its breaker sees it; only where Redis is configured. */
export function registerRedisMetrics(
  registry: Registry,
  redis: { readonly available: boolean } & Pick<GuardedRedis, 'statistics'>,
): void {
  registerSampled(
    registry,
    { name: 'llmgw_redis_available', help: '0 while the breaker keeps calls away from Redis.', type: 'gauge' },
    () => [{ labels: {}, value: redis.available ? 1 : 0 }],
  )
  registerSampled(
    registry,
    { name: 'llmgw_redis_failures_total', help: 'Calls to Redis that failed.', type: 'counter' },
    () => Object.entries(redis.statistics().failures).map(([reason, value]) => ({ labels: { reason }, value })),
  )
  registerSampled(
    registry,
    {
      name: 'llmgw_redis_refused_total',
      help: 'Calls to Redis that the breaker did not let through.',
      type: 'counter',
    },
    () => [{ labels: {}, value: redis.statistics().refused }],
  )
  registerSampled(
    registry,
    { name: 'llmgw_redis_breaker_opened_total', help: 'How often Redis was given up.', type: 'counter' },
    () => [{ labels: {}, value: redis.statistics().opened }],
  )
  registerSampled(
    registry,
    {
      name: 'llmgw_redis_eviction_policy_ok',
      help: '0 when Redis evicts keys, so that limits may be exceeded.',
      type: 'gauge',
    },
    () => {
      const { keepsKeys } = redis.statistics()
      return keepsKeys === undefined ? [] : [{ labels: {}, value: keepsKeys ? 1 : 0 }]
    },
  )
}
