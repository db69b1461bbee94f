import type { Log } from '../log.ts'
import type { KeyCache } from './key-cache.ts'
import type { ChangedKey, KeyLookUp } from './key-look-up.store.ts'

export interface KeyWatch {
  close(): Promise<void>
}

export interface KeyWatchDeps {
  lookUp: Pick<KeyLookUp, 'changedSince'>
  cache: Pick<KeyCache, 'invalidate' | 'distrustAll'>
  /** Told of keys that take the calls under way with them. */
  ended?(keyId: string): void
  log: Log
  pollMs?: number
}

/**
 * Asks the database for changed keys every few seconds, so that a revocation takes effect here although its event was
 * lost or the key was changed by hand. A changed rate limit or budget may be about any key, so all of them are read
 * again before they are used. What could not be asked for is caught up with once the database answers.
 */
export function openKeyWatch({ lookUp, cache, ended, log, pollMs = 5_000 }: KeyWatchDeps): KeyWatch {
  let since: string | undefined
  let seen = new Set<string>()
  let knownPolicyVersion: string | undefined
  let failing = false
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let polling = poll()

  async function poll(): Promise<void> {
    try {
      const { changes, until, policyVersion } = await lookUp.changedSince(since)
      if (knownPolicyVersion !== undefined && policyVersion !== knownPolicyVersion) cache.distrustAll()
      knownPolicyVersion = policyVersion
      for (const change of changes) {
        if (seen.has(nameOf(change))) continue
        cache.invalidate(change.id, change.at)
        if (change.endsCalls) ended?.(change.id)
      }
      seen = new Set(changes.map(nameOf))
      since = until
      failing = false
    } catch (error) {
      if (!failing) log.warn({ err: error }, 'changed keys cannot be asked for; caught up with later')
      failing = true
    }
    if (closed) return
    timer = setTimeout(() => {
      polling = poll()
    }, pollMs)
    timer.unref()
  }

  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await polling
    },
  }
}

const nameOf = ({ id, at }: ChangedKey): string => `${id} ${at}`
