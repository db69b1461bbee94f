import { Redis } from 'ioredis'
import { nodeOptions, serverOptions } from '../redis/redis-client.redis.ts'
import type { RedisTarget } from '../redis/redis-url.ts'

/** One connection that listens to one channel. It is never mended: whoever wants another one opens another one. */
export interface EventSubscription {
  close(): void
}

export interface EventSubscriptionOptions {
  target: RedisTarget
  channel: string
  /** Counts the attempts; which node of a cluster is asked depends on it. */
  attempt: number
  subscribed(): void
  received(text: string): void
  /** Once, unless it was closed: it could not be opened, or it broke. */
  ended(): void
}

/** From the first packet until the server has confirmed the subscription. */
const subscribeTimeoutMs = 2_000

export function openEventSubscription(options: EventSubscriptionOptions): EventSubscription {
  const { target, channel, attempt, subscribed, received, ended } = options
  const connection =
    target.kind === 'cluster' ? nodeOptions(target, attempt, 'events') : serverOptions(target, 'events')
  const redis = new Redis({
    ...connection,
    retryStrategy: () => null,
    // Else a Sentinel connection would go on in the background; whoever opened this one decides about the next.
    sentinelRetryStrategy: () => null,
    lazyConnect: true,
    replyMapping: 'legacy',
  })
  let isOver = false
  const end = (): void => {
    if (isOver) return
    isOver = true
    clearTimeout(timer)
    redis.disconnect()
    ended()
  }
  const timer = setTimeout(end, subscribeTimeoutMs)
  timer.unref()
  redis.on('error', () => {}) // its end follows
  redis.on('end', end)
  redis.on('message', (_channel: string, text: string) => {
    if (!isOver) received(text)
  })
  redis
    .connect()
    .then(() => redis.subscribe(channel))
    .then(() => {
      if (isOver) return
      clearTimeout(timer)
      subscribed()
    })
    .catch(end)
  return {
    close() {
      isOver = true
      clearTimeout(timer)
      redis.disconnect()
    },
  }
}
