import type pg from 'pg'
import type { DatabaseClock } from '../clock.ts'
import type { Log } from '../log.ts'

export interface DatabaseClockSyncOptions {
  pool: pg.Pool
  clock: DatabaseClock
  log: Log
  everyMs?: number
}

export interface DatabaseClockSync {
  /** The first reading; resolves, too, when it failed: then the system's clock holds until one succeeds. */
  readonly first: Promise<void>
  close(): Promise<void>
}

/** Reads the database's clock now and every 30 s, so that a replica's own clock decides nothing. */
export function startDatabaseClockSync({
  pool,
  clock,
  log,
  everyMs = 30_000,
}: DatabaseClockSyncOptions): DatabaseClockSync {
  // A slow database must not have readings pile up: the next one waits for the one under way.
  let reading: Promise<void> | undefined
  const read = (): Promise<void> => {
    reading ??= synchronizeClock(pool, clock)
      .catch((error) => log.warn({ err: error }, 'The clock of the database was not read; the last reading holds.'))
      .finally(() => {
        reading = undefined
      })
    return reading
  }
  const timer = setInterval(read, everyMs)
  timer.unref()
  return {
    first: read(),
    close: async () => {
      clearInterval(timer)
      await reading
    },
  }
}

/** Takes one reading. */
export async function synchronizeClock(pool: pg.Pool, clock: DatabaseClock): Promise<void> {
  // With a connection in hand, so that waiting for one does not count as travel time.
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    const startMs = clock.monotonicMs()
    const { rows } = await client.query<{ now_ms: number }>(
      'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now_ms',
    )
    clock.synchronize((rows[0] as { now_ms: number }).now_ms, clock.monotonicMs() - startMs)
  } catch (error) {
    failure = error as Error
    throw error
  } finally {
    // A connection that failed is not given to anybody else.
    client.release(failure)
  }
}
