import { LRUCache } from 'lru-cache'
import type { Log } from '../log.ts'
import { messageOf } from './error-message.ts'

/** Tells the operator why an upstream cannot be connected to; callers are told no more than that it cannot. */
export type ConnectLog = (target: { protocol: string; hostname: string }, error: Error) => void

const everyMs = 60_000

/** Once a minute for each upstream, however many calls run into it. */
export function createConnectLog(log: Pick<Log, 'warn'>): ConnectLog {
  const told = new LRUCache<string, true>({ max: 1_000, ttl: everyMs })
  return ({ protocol, hostname }, error) => {
    const upstream = `${protocol}//${hostname}`
    if (told.has(upstream)) return
    told.set(upstream, true)
    log.warn({ upstream, reason: messageOf(error) }, 'An upstream cannot be connected to.')
  }
}
