import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { Log } from '../log.ts'
import type { RedisTarget } from './redis-url.ts'

/** The driver's client, for the commands that go through the breaker. */
export type RedisClient = Redis | Cluster

export interface RedisConnection {
  readonly client: RedisClient
  /** Why there is no connection, as far as the driver says; undefined while there is one. */
  readonly trouble: string | undefined
  /** At once, whatever is under way. */
  close(): void
}

export interface RedisClientOptions {
  target: RedisTarget
  log: Log
  /** What the connection is for, as `CLIENT LIST` shows it. */
  purpose: string
  /** From 0 to below 1, for jitter. */
  random?: () => number
}

const connectTimeoutMs = 1_000
/** From the open connection until the server has let us in. */
const handshakeTimeoutMs = 1_000
const disconnectTimeoutMs = 100
const sentinelTimeoutMs = 500
/** How often a cluster is asked who serves what, beside what its answers tell. */
const slotsRefreshMs = 5_000
const nodeLostRefreshMs = 1_000

/**
 * Connects, and connects again whenever the connection is lost, without end: nobody has to look after it. Nothing is
 * queued while there is no connection and nothing is sent twice, since whoever asks has a fallback and no time.
 *
 * Commands have no deadline here: see `call-deadlines.ts`.
 */
export function openRedisClient({ target, log, purpose, random = Math.random }: RedisClientOptions): RedisConnection {
  const retryStrategy = (attempt: number): number => retryDelayMs(attempt, random)
  const client =
    target.kind === 'cluster'
      ? openCluster(target, purpose, retryStrategy)
      : openServer(serverOptions(target, purpose), retryStrategy)

  let trouble: string | undefined
  const failed = (error: Error, address?: string): void => {
    trouble = error.message
    log.debug(
      { purpose, ...(address !== undefined && { address }), ...describe(error) },
      'A connection to Redis failed.',
    )
  }
  let isConnected = false
  let isClosing = false
  // Without a listener an error ends the process. What errors amount to, the breaker tells.
  client.on('error', failed)
  client.on('node error', failed) // of a cluster
  client.on('ready', () => {
    isConnected = true
    trouble = undefined
    log.info({ purpose }, 'Connected to Redis.')
  })
  client.on('close', () => {
    if (isConnected && !isClosing) log.warn({ purpose }, 'The connection to Redis was lost; connecting again.')
    isConnected = false
  })
  return {
    client,
    get trouble() {
      return trouble
    },
    close() {
      isClosing = true
      client.disconnect()
    },
  }
}

/** Not the whole error, which may carry the command with its arguments, the password among them. */
export function describe(error: Error): { code: string | undefined; reason: string } {
  return { code: (error as { code?: string }).code, reason: error.message }
}

function openServer(options: RedisOptions, retryStrategy: RetryStrategy): Redis {
  const redis = new Redis({ ...options, retryStrategy, replyMapping: 'legacy' })
  watchHandshake(redis)
  return redis
}

function openCluster(
  target: Extract<RedisTarget, { kind: 'cluster' }>,
  purpose: string,
  retryStrategy: RetryStrategy,
): Cluster {
  const cluster = new Cluster([...target.nodes], {
    redisOptions: commonOptions(target, purpose),
    clusterRetryStrategy: retryStrategy,
    enableOfflineQueue: false,
    maxRedirections: 3,
    // A command is not held back until a failover is over: that takes longer than anybody waits.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshInterval: slotsRefreshMs,
    slotsRefreshTimeout: connectTimeoutMs,
    // Certificates are for names, which must therefore not become addresses.
    ...(target.tls && { dnsLookup: (host, callback) => callback(null, host) }),
  })
  // Connected before they are needed: the driver would have the first command wait, however long that takes.
  cluster.on('+node', (node: Redis) => {
    watchHandshake(node)
    if (node.status === 'wait') node.connect().catch(() => {}) // the cluster hears of it, too
  })
  // Learned again from those that are left, though not in a loop while a node is away that they still name.
  let refreshTimer: NodeJS.Timeout | undefined
  cluster.on('-node', () => {
    if (refreshTimer) return
    refreshTimer = setTimeout(() => {
      refreshTimer = undefined
      if (cluster.status === 'ready') cluster.refreshSlotsCache()
    }, nodeLostRefreshMs)
    refreshTimer.unref()
  })
  return cluster
}

type RetryStrategy = (attempt: number) => number

/** From 25 ms to 1 s, doubled with each attempt, and somewhere in its upper half. */
export function retryDelayMs(attempt: number, random: () => number): number {
  const limitMs = Math.min(1_000, 50 * 2 ** Math.min(attempt - 1, 10))
  return limitMs * (0.5 + 0.5 * random())
}

function commonOptions({ username, password, tls }: RedisTarget, purpose: string) {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: {} }),
    connectionName: `llmgw-${purpose}`,
    disableClientInfo: true,
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    keepAlive: 10_000,
    // What was sent when a connection broke may have been done: it fails at once and is never sent again.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // A master that was demoted is left for the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  } satisfies RedisOptions
}

/** For one server, or the master that Sentinels name. */
export function serverOptions(target: Exclude<RedisTarget, { kind: 'cluster' }>, purpose: string): RedisOptions {
  const options: RedisOptions = { ...commonOptions(target, purpose), db: target.database, enableOfflineQueue: false }
  if (target.kind === 'single') return { ...options, ...target.host }
  const { username, password } = target.sentinelCredentials
  return {
    ...options,
    sentinels: [...target.sentinels],
    name: target.masterName,
    ...(username !== undefined && { sentinelUsername: username }),
    ...(password !== undefined && { sentinelPassword: password }),
    ...(target.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
    sentinelCommandTimeout: sentinelTimeoutMs,
    // Without a delay, no Sentinel being there would be the end of the client.
    sentinelRetryStrategy: (attempt) => retryDelayMs(attempt, Math.random),
  }
}

/** For one of the nodes of a cluster that are configured, another one at each attempt. */
export function nodeOptions(
  target: Extract<RedisTarget, { kind: 'cluster' }>,
  attempt: number,
  purpose: string,
): RedisOptions {
  const node = target.nodes[attempt % target.nodes.length] ?? target.nodes[0]
  return { ...commonOptions(target, purpose), ...node, enableOfflineQueue: false }
}

/** A server that takes connections and never answers would otherwise keep us waiting for good. */
function watchHandshake(redis: Redis): void {
  let timer: NodeJS.Timeout | undefined
  redis.on('connect', () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      if (redis.status === 'connect') redis.disconnect(true)
    }, handshakeTimeoutMs)
    timer.unref()
  })
  const stop = (): void => clearTimeout(timer)
  redis.on('ready', stop)
  redis.on('close', stop)
}
