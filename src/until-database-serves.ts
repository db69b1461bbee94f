import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from './core/log.ts'
import { StartRefusal } from './core/start-refusal.ts'
import type { Readiness } from './readiness.ts'

const retryMsMin = 1_000
const retryMsMax = 30_000

/** Waiting helps, but somebody has to do something first: the message says what. */
export class DatabaseNotFit extends Error {}

export interface Waiting {
  log: Log
  /** Gives up. */
  signal: AbortSignal
  readiness: Pick<Readiness, 'blockedBy'>
}

/** A database that is away is no reason to die: the process stays, unready, and tries again. */
export async function untilDatabaseServes<T>(
  prepare: () => Promise<T>,
  { log, signal, readiness }: Waiting,
): Promise<T> {
  for (let limitMs = retryMsMin; ; limitMs = Math.min(limitMs * 2, retryMsMax)) {
    try {
      return await prepare()
    } catch (error) {
      if (error instanceof StartRefusal || signal.aborted) throw error
      const waitMs = retryMsMin + Math.random() * (limitMs - retryMsMin)
      log.error({ err: error, retry_in_ms: Math.round(waitMs) }, 'The database does not serve yet; trying again.')
      readiness.blockedBy(error instanceof DatabaseNotFit ? error.message : 'waiting for the database')
      await delay(waitMs, undefined, { signal })
    }
  }
}
