import type { Log } from '../log.ts'
import { openRedis } from '../redis/open-redis.redis.ts'
import type { RedisTarget } from '../redis/redis-url.ts'
import { eventChannel } from './event-bus.redis.ts'
import type { GatewayEvent } from './event-bus.ts'
import { encodeEventMessage } from './event-message.ts'

export interface AnnounceEventsOptions {
  target: RedisTarget
  /** As the gateways have it, without the version of the format. */
  prefix: string
  /** Who says so. */
  replica: string
}

const timeoutMs = 2_000
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

/**
 * Tells the gateways that run, from a process that is none.
 *
 * @returns false when they could not be told: they find the changes by polling
 */
export async function announceEvents(
  events: readonly GatewayEvent[],
  { target, prefix, replica }: AnnounceEventsOptions,
): Promise<boolean> {
  const redis = await openRedis({ target, prefix, log: quiet, timeoutMs, firstConnectionMsMax: timeoutMs })
  try {
    const sender = { replica, instance: replica }
    const texts = events.map((event) => encodeEventMessage({ kind: 'event', sender, event }))
    const channel = eventChannel(redis.prefix)
    await Promise.all(texts.map((text) => redis.run((client) => client.publish(channel, text))))
    return true
  } catch {
    return false
  } finally {
    await redis.close()
  }
}
