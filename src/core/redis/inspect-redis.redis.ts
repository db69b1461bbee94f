import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { readEvictionPolicy } from './eviction-policy.redis.ts'
import { openRedisClient } from './redis-client.redis.ts'
import type { RedisTarget } from './redis-url.ts'

export type RedisInspection =
  /** Undefined is what the server does not tell. */
  | { reachable: true; version: string | undefined; evictionPolicy: string | undefined }
  /** In words for a person, without a full stop. */
  | { reachable: false; reason: string }

const timeoutMs = 3_000
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** Looks once at Redis, for a person who wants to know. Takes 3 s at most. */
export async function inspectRedis(target: RedisTarget): Promise<RedisInspection> {
  const connection = openRedisClient({ target, log: quiet, purpose: 'doctor' })
  const { client } = connection
  let reason = `it did not let us in within ${timeoutMs / 1_000} s`
  client.on('error', (error: Error) => {
    reason = error.message
  })
  const look = async (): Promise<RedisInspection> => {
    if (client.status !== 'ready') await new Promise<void>((resolve) => void client.once('ready', resolve))
    const text = await client.info('server')
    const version = /^redis_version:(\S+)/m.exec(text)?.[1]
    return { reachable: true, version, evictionPolicy: await readEvictionPolicy(client) }
  }
  try {
    const seen = look()
    seen.catch(() => {}) // after the time is over, nobody waits for it
    const timeIsOver = delay(timeoutMs, undefined, { ref: false })
    return (await Promise.race([seen, timeIsOver])) ?? { reachable: false, reason }
  } catch (error) {
    return { reachable: false, reason: error instanceof Error ? error.message : String(error) }
  } finally {
    connection.close()
  }
}
