import type { Registry } from 'prom-client'
import type { EnvironmentSettings } from './config/environment.ts'
import { createMemoryEventBus } from './core/events/event-bus.memory.ts'
import type { EventBus } from './core/events/event-bus.ts'
import type { Log } from './core/log.ts'
import type { GuardedRedis } from './core/redis/guarded-redis.ts'
import { readRedisUrl } from './core/redis/redis-url.ts'
import { registerEventMetrics } from './ops/event-metrics.ts'
import { registerRedisMetrics } from './ops/redis-metrics.ts'

/** What replicas share beside the database: over Redis where there is one, else there is only this process to share with. */
export interface SharedState {
  /** Undefined when this replica is alone. */
  readonly redis: GuardedRedis | undefined
  readonly events: EventBus
  close(): Promise<void>
}

export interface SharedStateDeps {
  settings: Pick<EnvironmentSettings, 'redisUrl' | 'redisPrefix'>
  replica: string
  registry: Registry
  log: Log
}

/** A Redis that is away keeps nobody from starting. */
export async function openSharedState({ settings, replica, registry, log }: SharedStateDeps): Promise<SharedState> {
  const { redisUrl, redisPrefix: prefix } = settings
  if (!redisUrl) {
    const events = createMemoryEventBus({ replica, log })
    registerEventMetrics(registry, events)
    return { redis: undefined, events, close: () => events.close() }
  }
  // Loaded where it is used: most of the time of its loading goes to the driver.
  const { openRedis } = await import('./core/redis/open-redis.redis.ts')
  const { openRedisEventBus } = await import('./core/events/event-bus.redis.ts')
  const target = readRedisUrl(redisUrl.reveal())
  const redis = await openRedis({ target, prefix, log })
  const events = await openRedisEventBus({ redis, target, replica, log })
  registerRedisMetrics(registry, redis)
  registerEventMetrics(registry, events)
  return {
    redis,
    events,
    async close() {
      await events.close()
      await redis.close()
    },
  }
}
