import { randomUUID } from 'node:crypto'
import type { Log } from '../log.ts'
import type { GuardedRedis } from '../redis/guarded-redis.ts'
import { retryDelayMs } from '../redis/redis-client.redis.ts'
import type { RedisTarget } from '../redis/redis-url.ts'
import type { EventBus } from './event-bus.ts'
import { createEventListeners } from './event-listeners.ts'
import { decodeEventMessage, encodeEventMessage } from './event-message.ts'
import { type EventSubscription, openEventSubscription } from './event-subscription.redis.ts'

export interface RedisEventBusOptions {
  /** For publishing. */
  redis: GuardedRedis
  /** The same Redis, for a connection that listens and does nothing else. */
  target: RedisTarget
  /** The name of this replica, as others see it. */
  replica: string
  log: Log
  monotonicMs?: () => number
  /** From 0 to below 1, for jitter. */
  random?: () => number
  heartbeatMs?: number
  gapMs?: number
  /** How long to wait here until events arrive. */
  firstSubscriptionMsMax?: number
}

const checkMs = 500

/**
 * Publish and subscribe on one channel. Each replica publishes a sign of life every `heartbeatMs` and hears its own, so
 * that a subscription that seems to be there and is not is noticed: after `gapMs` without any it is replaced.
 */
export async function openRedisEventBus({
  redis,
  target,
  replica,
  log,
  monotonicMs = () => performance.now(),
  random = Math.random,
  heartbeatMs = 1_500,
  gapMs = 5_000,
  firstSubscriptionMsMax = 1_000,
}: RedisEventBusOptions): Promise<EventBus> {
  const channel = eventChannel(redis.prefix)
  const sender = { replica, instance: randomUUID() }
  const listeners = createEventListeners(log)
  const counts = { gaps: 0, malformed: 0, unsent: 0 }
  let subscription: EventSubscription | undefined
  let attempts = 0
  let attemptsInARow = 0
  let retryTimer: NodeJS.Timeout | undefined
  /** Events arrive, as far as we know. */
  let isHearing = false
  let lastHeardMs: number | undefined
  /** From when on silence counts: something was heard, or a new attempt has begun. */
  let silentSinceMs = monotonicMs()
  let closed = false
  let firstHeard: (() => void) | undefined

  const send = (text: string): Promise<number> => redis.run((client) => client.publish(channel, text))

  const beat = (): void => {
    send(encodeEventMessage({ kind: 'beat', sender })).catch(() => {}) // the silence that follows is noticed
  }

  const mayHaveMissed = (): void => {
    counts.gaps++
    listeners.tellGap()
  }

  const heard = (): void => {
    const nowMs = monotonicMs()
    lastHeardMs = nowMs
    silentSinceMs = nowMs
    attemptsInARow = 0
    if (isHearing) return
    isHearing = true
    if (firstHeard) {
      firstHeard()
      firstHeard = undefined
      return
    }
    log.info({}, 'Events of other replicas arrive again; everything they may have said is looked up.')
    mayHaveMissed()
  }

  const receive = (text: string): void => {
    const message = decodeEventMessage(text)
    if (message === 'malformed') counts.malformed++
    // Even what nobody understands has arrived.
    heard()
    if (typeof message === 'string' || message.kind === 'beat' || message.sender.instance === sender.instance) return
    listeners.tell(message.event, { replica: message.sender.replica, local: false })
  }

  const open = (): void => {
    if (closed) return
    silentSinceMs = monotonicMs()
    const attempt = attempts++
    subscription = openEventSubscription({ target, channel, attempt, subscribed: beat, received: receive, ended })
  }

  const ended = (): void => {
    subscription = undefined
    if (closed) return
    isHearing = false
    clearTimeout(retryTimer)
    retryTimer = setTimeout(open, retryDelayMs(++attemptsInARow, random))
    retryTimer.unref()
  }

  let silenceWasTold = false
  const check = (): void => {
    const nowMs = monotonicMs()
    if (nowMs - (lastHeardMs ?? Number.NEGATIVE_INFINITY) < gapMs) silenceWasTold = false
    else if (lastHeardMs !== undefined && !silenceWasTold) {
      silenceWasTold = true
      log.warn({ silent_ms: Math.round(nowMs - lastHeardMs) }, 'No events arrive; changes are found by polling.')
      mayHaveMissed()
    }
    if (subscription && nowMs - silentSinceMs >= gapMs) {
      subscription.close()
      ended()
    }
  }

  const beatTimer = setInterval(beat, heartbeatMs)
  const checkTimer = setInterval(check, checkMs)
  beatTimer.unref()
  checkTimer.unref()
  const first = new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      firstHeard = undefined
      resolve()
    }, firstSubscriptionMsMax)
    firstHeard = () => {
      clearTimeout(timer)
      resolve()
    }
  })
  open()
  await first

  return {
    publish(event) {
      if (closed) return
      listeners.tell(event, { replica, local: true })
      send(encodeEventMessage({ kind: 'event', sender, event })).catch(() => {
        counts.unsent++ // others find it by polling
      })
    },
    subscribe: listeners.subscribe,
    onGap: listeners.onGap,
    health: () => ({
      connected: isHearing && silentSinceMs + gapMs > monotonicMs(),
      lastHeardMs: lastHeardMs === undefined ? undefined : monotonicMs() - lastHeardMs,
      ...counts,
    }),
    async close() {
      closed = true
      clearInterval(beatTimer)
      clearInterval(checkTimer)
      clearTimeout(retryTimer)
      subscription?.close()
      listeners.clear()
    },
  }
}

export function eventChannel(prefix: string): string {
  return `${prefix}events`
}
