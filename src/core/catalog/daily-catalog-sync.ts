import { setTimeout as waitMs } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { lastSync } from './catalog.store.ts'
import { type CatalogSyncResult, type SyncFromLocationDeps, syncFromLocation } from './sync.ts'

const dayMs = 86_400_000
/** After a failure; the feed is on a public server that may be gone for a while. */
const retryMs = 3_600_000
const syncTimeoutMs = 120_000

export interface DailyCatalogSyncDeps extends SyncFromLocationDeps {
  log: Log
  enabled: boolean
  /** LiteLLM's own copy when undefined. */
  location?: string | undefined
  /** Told after prices or models have changed. */
  changed?: () => void
  /** From 0 to below 1. */
  random?: () => number
  /** Rejects when the signal aborts. */
  wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

export interface DailyCatalogSync {
  /** Ends the waiting, and a sync that is under way. */
  close(): Promise<void>
}

/**
 * Refreshes the catalog once a day, for all replicas together: each looks about once an hour, at a random minute,
 * whether the last sync is a day old. So a restart neither skips a day nor fetches again. It never throws; failures are
 * logged and recorded.
 */
export function createDailyCatalogSync(deps: DailyCatalogSyncDeps): DailyCatalogSync {
  const { enabled, random = Math.random, wait = waitQuietly } = deps
  const closing = new AbortController()
  const run = async (): Promise<void> => {
    // Soon after the start, though not in the same second as every other replica of a rollout.
    let untilNextMs = 10_000 + random() * 290_000
    while (!closing.signal.aborted) {
      try {
        await wait(untilNextMs, closing.signal)
      } catch {
        return // Closed while waiting.
      }
      await syncWhenDue(deps, closing.signal)
      untilNextMs = retryMs * (0.75 + random() * 0.5)
    }
  }
  const running = enabled ? run() : Promise.resolve()
  return {
    close() {
      closing.abort()
      return running
    },
  }
}

async function syncWhenDue(deps: DailyCatalogSyncDeps, closing: AbortSignal): Promise<void> {
  const { pool, location, log, changed } = deps
  try {
    const last = await lastSync(pool, 'litellm')
    if (last && last.ageMs < (last.status === 'succeeded' ? dayMs : retryMs / 2)) return
    const signal = AbortSignal.any([closing, AbortSignal.timeout(syncTimeoutMs)])
    const result = await syncFromLocation(deps, { location, signal })
    logResult(log, result)
    if (result.status === 'succeeded' && result.isChanged) changed?.()
  } catch (error) {
    if (closing.aborted) return
    log.warn({ err: error }, 'The catalog was not synced; prices stay as they are.')
  }
}

function logResult(log: Log, result: CatalogSyncResult): void {
  if (result.status === 'succeeded') {
    log.info({ catalog_sync_id: result.syncId, ...result.counts }, 'The catalog was synced.')
  } else if (result.status === 'failed') {
    const { syncId, failure } = result
    log.warn({ catalog_sync_id: syncId, failure }, 'The catalog was not synced; prices stay as they are.')
  }
}

/** A day's wait must not keep the process alive. */
async function waitQuietly(ms: number, signal: AbortSignal): Promise<void> {
  await waitMs(ms, undefined, { signal, ref: false })
}
