import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log.ts'
import type { IdempotencyKeyStore } from './idempotency-keys.store.ts'

export interface IdempotencyExpiryDeps {
  /** Over a pool that calls do not wait for. */
  store: Pick<IdempotencyKeyStore, 'deleteExpired'>
  log: Log
  everyMs?: number
}

/** A row may hold a megabyte: this many are deleted well within the time of a statement. */
const rowsMax = 100

/**
 * Deletes the keys whose time is over, and the answers with them, about once a minute. A key counts as free from the
 * moment at which its time is over, whether it has been deleted yet or not.
 */
export function startIdempotencyExpiry({ store, log, everyMs = 60_000 }: IdempotencyExpiryDeps): {
  close(): Promise<void>
} {
  const stopping = new AbortController()
  const running = run()
  return {
    close: async () => {
      stopping.abort()
      await running
    },
  }

  async function run(): Promise<void> {
    let failing = false
    while (true) {
      // Replicas that start together do not stay in step.
      const waitMs = everyMs * (0.8 + 0.4 * Math.random())
      await delay(waitMs, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined)
      if (stopping.signal.aborted) return
      try {
        while ((await store.deleteExpired(rowsMax)) === rowsMax && !stopping.signal.aborted);
        failing = false
      } catch (error) {
        if (!failing) log.warn({ err: error }, 'Expired idempotency keys were not deleted; the next run tries again.')
        failing = true
      }
    }
  }
}
