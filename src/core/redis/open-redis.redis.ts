import type { Log } from '../log.ts'
import { createBreaker } from './breaker.ts'
import { createCallDeadlines } from './call-deadlines.ts'
import { readEvictionPolicy } from './eviction-policy.redis.ts'
import type { GuardedRedis } from './guarded-redis.ts'
import { openRedisClient, type RedisClient } from './redis-client.redis.ts'
import { createRedisProbe } from './redis-probe.redis.ts'
import { RedisUnavailable } from './redis-unavailable.ts'
import type { RedisTarget } from './redis-url.ts'

export interface OpenRedisOptions {
  target: RedisTarget
  /** What all keys begin with; the version of their format is added. */
  prefix: string
  log: Log
  monotonicMs?: () => number
  /** From 0 to below 1, for jitter. */
  random?: () => number
  /** How long a call may take. */
  timeoutMs?: number
  /** How often it is looked, while the breaker is open, whether Redis is back. */
  probeEveryMs?: number
  /** How long to wait here for the first connection. */
  firstConnectionMsMax?: number
}

const formatVersion = 'v1'
/** After so many probes in a row without an answer, a connection that seems to be open is given up. */
const silentProbesMax = 3

/**
 * Connects to Redis. A server that is away is no reason not to start: then the breaker is open from the beginning, and
 * closes once it is there.
 */
export async function openRedis({
  target,
  prefix,
  log,
  monotonicMs = () => performance.now(),
  random = Math.random,
  timeoutMs = 100,
  probeEveryMs = 1_000,
  firstConnectionMsMax = 1_000,
}: OpenRedisOptions): Promise<GuardedRedis> {
  const keyPrefix = `${prefix}:${formatVersion}:`
  const connection = openRedisClient({ target, log, purpose: 'commands', random })
  const { client } = connection
  const probe = createRedisProbe({ client, keyPrefix, random })
  const deadlines = createCallDeadlines({ monotonicMs, timeoutMs })
  const recoveryListeners = new Set<() => void>()
  const counts = { timeout: 0, failed: 0, refused: 0 }
  let keepsKeys: boolean | undefined
  let lastFailure: RedisUnavailable | undefined
  let silentProbes = 0
  let probeTimer: NodeJS.Timeout | undefined
  let closed = false

  const breaker = createBreaker({
    monotonicMs,
    random,
    probeEveryMs,
    changed(isOpen) {
      if (closed) return
      if (isOpen) {
        log.warn(
          { ...whyOf(lastFailure), connection: connection.trouble },
          'Redis is away: limits are counted by each replica for itself.',
        )
        silentProbes = 0
        probeLater()
        return
      }
      log.info({}, 'Redis is back.')
      void checkPolicy()
      for (const listener of recoveryListeners) listener()
    },
  })
  const outcome = {
    succeeded: () => breaker.succeeded(),
    failed: (error: RedisUnavailable) => {
      lastFailure = error
      if (error.reason === 'timeout') counts.timeout++
      else counts.failed++
      breaker.failed()
    },
  }
  const probeOutcome = {
    succeeded: () => {
      silentProbes = 0
      breaker.probeSucceeded()
    },
    failed: (error: RedisUnavailable) => {
      breaker.probeFailed()
      silentProbes = error.reason === 'timeout' ? silentProbes + 1 : 0
      if (silentProbes < silentProbesMax) return
      silentProbes = 0
      probe.reconnectSilent()
    },
  }

  const probeLater = (): void => {
    probeTimer = setTimeout(async () => {
      await deadlines.call(() => probe.run(), probeOutcome).catch(() => {}) // counted
      if (!closed && breaker.isOpen) probeLater()
    }, breaker.probeDelayMs())
    probeTimer.unref()
  }

  const checkPolicy = async (): Promise<void> => {
    try {
      const policy = await deadlines.call(() => readEvictionPolicy(client), outcome)
      keepsKeys = policy === undefined ? undefined : policy === 'noeviction'
      if (keepsKeys === false) {
        log.error({ maxmemory_policy: policy }, 'Redis evicts keys, so limits may be exceeded: set "noeviction" there.')
      }
    } catch (error) {
      if (!closed) log.warn(whyOf(error), 'The eviction policy of Redis is not known.')
    }
  }
  client.on('ready', () => void checkPolicy())

  await firstConnection(client, firstConnectionMsMax)
  if (client.status !== 'ready') breaker.open()

  const refusal = new RedisUnavailable('breaker-open')
  return {
    run(command) {
      if (breaker.isOpen) {
        counts.refused++
        return Promise.reject(refusal)
      }
      return deadlines.call(() => command(client), outcome)
    },
    get available() {
      return !breaker.isOpen
    },
    onRecovered(listener) {
      recoveryListeners.add(listener)
      return () => void recoveryListeners.delete(listener)
    },
    statistics: () => ({
      failures: { timeout: counts.timeout, failed: counts.failed },
      refused: counts.refused,
      opened: breaker.openedCount,
      keepsKeys,
    }),
    prefix: keyPrefix,
    async close() {
      closed = true
      clearTimeout(probeTimer)
      connection.close()
      deadlines.close()
    },
  }
}

/** Not the error itself: the driver's may carry a command with its arguments. */
function whyOf(error: unknown): { reason?: string; cause?: string } {
  if (!(error instanceof RedisUnavailable)) return {}
  return { reason: error.reason, ...(error.cause instanceof Error && { cause: error.cause.message }) }
}

function firstConnection(client: RedisClient, msMax: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, msMax)
    function done(): void {
      clearTimeout(timer)
      client.off('ready', done)
      client.off('close', done)
      resolve()
    }
    client.on('ready', done)
    client.on('close', done)
  })
}
