import type { EnvironmentSettings } from '../config/environment.ts'
import type { GatewayEvent } from '../core/events/event-bus.ts'
import { readRedisUrl } from '../core/redis/redis-url.ts'

/**
 * Tells the gateways that run what a command has changed, through Redis where it is configured.
 *
 * @returns false when they could not be told: they find it in the database, within seconds
 */
export async function tellGateways(
  { redisUrl, redisPrefix: prefix }: Pick<EnvironmentSettings, 'redisUrl' | 'redisPrefix'>,
  events: readonly GatewayEvent[],
): Promise<boolean> {
  if (redisUrl === undefined || events.length === 0) return true
  const { announceEvents } = await import('../core/events/announce-events.redis.ts')
  return announceEvents(events, { target: readRedisUrl(redisUrl.reveal()), prefix, replica: `command-${process.pid}` })
}
