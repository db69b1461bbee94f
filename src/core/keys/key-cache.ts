import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Caller } from './caller.ts'

/** What the database says about a secret that belongs to a key. */
export interface KeyRecord {
  readonly caller: Caller
  readonly status: KeyStatus
  /** When the key changed last, as PostgreSQL writes it. */
  readonly changedAt?: string
}

export type KeyStatus = 'active' | 'disabled' | 'revoked'

/**
 * Keys as the request path sees them, by the full digest of their secret. An entry is
 *
 * - fresh for a minute: used as it is;
 * - stale for another minute: used as it is while it is read again in the background;
 * - old until fifteen minutes after it was read: read again before it is used, and used nevertheless when that fails.
 */
export interface KeyCache {
  /**
   * @param digest - under the current pepper
   * @param secret - handed to `load` when the store has to be asked, and not kept
   * @returns null when no key has this secret; at once when that is known, else a promise that rejects with
   *   `auth_unavailable` when the store cannot say and nothing usable is known
   */
  get(digest: string, secret: string): KeyRecord | null | Promise<KeyRecord | null>
  /**
   * This key changed or came to be. Effective at once, also against a read that is under way.
   *
   * @param changedAt - of the change, where that is known: what is held as of then is up to date, and is kept
   */
  invalidate(keyId: string, changedAt?: string): void
  /** As `invalidate`, for all of them. Known keys are not served while the store is down: see `distrustAll`. */
  invalidateAll(): void
  /** Changes may have been missed: every entry is read again before it is used, and used when the store is down. */
  distrustAll(): void
  /** Fills the cache ahead of the first calls. Rejects as `read` does. */
  warm(read: () => Promise<readonly WarmKey[]>): Promise<void>
  statistics(): KeyCacheStatistics
}

export interface WarmKey {
  digest: string
  record: KeyRecord
}

export interface KeyCacheStatistics {
  hits: number
  misses: number
  negativeHits: number
  /** Answers from entries that were no longer fresh. */
  staleServes: number
  evictions: number
  loadFailures: number
  size: number
  /** For how long the store has not answered, in milliseconds; 0 while it does. */
  failingForMs: number
}

export interface KeyCacheOptions {
  /** Asks the store; undefined when no key has this secret. */
  load(secret: string): Promise<KeyRecord | undefined>
  clock: Clock
  log: Log
  /** From 0 up to 1, for jitter. */
  random?: () => number
  entriesMax?: number
  negativeEntriesMax?: number
  /** Secrets being looked up at once; the next one is told `auth_unavailable`. */
  loadsMax?: number
  freshMs?: number
  staleMs?: number
  usableMs?: number
  negativeMs?: number
}

interface Entry {
  record: KeyRecord
  readMs: number
  freshUntilMs: number
  staleUntilMs: number
}

const jitter = 0.2
/** After a failure the store is left alone for so long where something usable is known. */
const quietMs = 1_000
/** How often a read is repeated because something was invalidated meanwhile, before its answer is used and not kept. */
const readsMax = 3

export function createKeyCache({
  load,
  clock,
  log,
  random = Math.random,
  entriesMax = 50_000,
  negativeEntriesMax = 10_000,
  loadsMax = 1_000,
  freshMs = 60_000,
  staleMs = 60_000,
  usableMs = 15 * 60_000,
  negativeMs = 5_000,
}: KeyCacheOptions): KeyCache {
  /** A key that is given another secret has two for a while. */
  const digestsByKeyId = new Map<string, readonly string[]>()
  const entries = new LRUCache<string, Entry>({
    max: entriesMax,
    dispose({ record }, digest, reason) {
      if (reason === 'evict') counts.evictions++
      const { keyId } = record.caller
      const others = (digestsByKeyId.get(keyId) ?? []).filter((other) => other !== digest)
      if (others.length > 0) digestsByKeyId.set(keyId, others)
      else digestsByKeyId.delete(keyId)
    },
  })
  const negativeUntilMs = new LRUCache<string, number>({ max: negativeEntriesMax })
  const loads = new Map<string, Promise<KeyRecord | null>>()
  const counts = { hits: 0, misses: 0, negativeHits: 0, staleServes: 0, evictions: 0, loadFailures: 0 }
  /** Raised by every invalidation; what was read in an earlier generation may be outdated and is not kept. */
  let generation = 0
  let distrustedBeforeMs = Number.NEGATIVE_INFINITY
  let quietUntilMs = Number.NEGATIVE_INFINITY
  let failingSinceMs: number | undefined

  const jittered = (ms: number): number => ms * (1 - jitter + 2 * jitter * random())

  const keep = (digest: string, record: KeyRecord, readMs: number): void => {
    const freshUntilMs = readMs + jittered(freshMs)
    entries.set(digest, { record, readMs, freshUntilMs, staleUntilMs: freshUntilMs + staleMs })
    const { keyId } = record.caller
    const digests = digestsByKeyId.get(keyId) ?? []
    if (!digests.includes(digest)) digestsByKeyId.set(keyId, [...digests, digest])
  }

  const storeAnswered = (): void => {
    if (failingSinceMs === undefined) return
    failingSinceMs = undefined
    quietUntilMs = Number.NEGATIVE_INFINITY
    log.info({}, 'keys can be looked up again')
  }

  const storeFailed = (error: unknown): void => {
    counts.loadFailures++
    quietUntilMs = clock.monotonicMs() + jittered(quietMs)
    if (failingSinceMs !== undefined) return
    failingSinceMs = clock.monotonicMs()
    log.warn({ err: error }, 'keys cannot be looked up; known ones are served from the cache')
  }

  const read = async (digest: string, secret: string): Promise<KeyRecord | null> => {
    for (let reads = 1; ; reads++) {
      const startedIn = generation
      const startedMs = clock.monotonicMs()
      let record: KeyRecord | undefined
      try {
        record = await load(secret)
      } catch (error) {
        storeFailed(error)
        throw unavailable(error)
      }
      storeAnswered()
      if (generation === startedIn) {
        if (record) keep(digest, record, startedMs)
        else {
          entries.delete(digest)
          negativeUntilMs.set(digest, startedMs + negativeMs)
        }
        return record ?? null
      }
      if (reads === readsMax) return record ?? null
    }
  }

  const readOnce = (digest: string, secret: string): Promise<KeyRecord | null> => {
    const underWay = loads.get(digest)
    if (underWay) return underWay
    if (loads.size >= loadsMax) return Promise.reject(unavailable(undefined))
    const promise = read(digest, secret).finally(() => loads.delete(digest))
    loads.set(digest, promise)
    return promise
  }

  /** The failure is logged where it is noticed; whoever waits for this very read is told, too. */
  const readInBackground = (digest: string, secret: string): void => {
    readOnce(digest, secret).catch(() => {})
  }

  const readOrServe = async (digest: string, secret: string, entry: Entry): Promise<KeyRecord | null> => {
    try {
      return await readOnce(digest, secret)
    } catch (error) {
      // Gone from the cache means invalidated while we waited: what we hold is known to be wrong.
      if (entries.peek(digest) !== entry) throw error
      counts.staleServes++
      return entry.record
    }
  }

  return {
    get(digest, secret) {
      const nowMs = clock.monotonicMs()
      const entry = entries.get(digest)
      if (entry && nowMs < entry.readMs + usableMs) {
        const trusted = entry.readMs >= distrustedBeforeMs
        if (trusted && nowMs < entry.freshUntilMs) {
          counts.hits++
          return entry.record
        }
        if (nowMs < quietUntilMs) {
          counts.staleServes++
          return entry.record
        }
        if (!trusted || nowMs >= entry.staleUntilMs) return readOrServe(digest, secret, entry)
        readInBackground(digest, secret)
        counts.staleServes++
        return entry.record
      }
      if (nowMs < (negativeUntilMs.get(digest) ?? 0)) {
        counts.negativeHits++
        return null
      }
      counts.misses++
      return readOnce(digest, secret)
    },

    invalidate(keyId, changedAt) {
      generation++
      // A key that has just been made may have been asked for in vain before.
      negativeUntilMs.clear()
      for (const digest of digestsByKeyId.get(keyId) ?? []) {
        if (changedAt === undefined || entries.peek(digest)?.record.changedAt !== changedAt) entries.delete(digest)
      }
    },

    invalidateAll() {
      generation++
      negativeUntilMs.clear()
      entries.clear()
    },

    distrustAll() {
      generation++
      negativeUntilMs.clear()
      distrustedBeforeMs = clock.monotonicMs()
    },

    async warm(readKeys) {
      const startedIn = generation
      const startedMs = clock.monotonicMs()
      const keys = await readKeys()
      if (generation !== startedIn) return
      for (const { digest, record } of keys) if (!entries.has(digest)) keep(digest, record, startedMs)
    },

    statistics: () => ({
      ...counts,
      size: entries.size,
      failingForMs: failingSinceMs === undefined ? 0 : clock.monotonicMs() - failingSinceMs,
    }),
  }
}

const unavailable = (cause: unknown): GatewayError =>
  new GatewayError('auth_unavailable', 'API keys cannot be verified at the moment. Try again shortly.', {
    retryAfterMs: 1_000,
    cause,
  })
