/** Where time comes from, so that tests can hold it still. */
export interface Clock {
  /**
   * Milliseconds since the epoch by the database's clock, once it is known: expiry, periods and partitions must not
   * depend on how well a replica's own clock is set.
   */
  nowMs(): number
  /** Monotonic milliseconds, for durations only. */
  monotonicMs(): number
}

export interface DatabaseClock extends Clock {
  /** Takes one reading of the database's clock; `roundTripMs` is how long the reading took. */
  synchronize(databaseNowMs: number, roundTripMs: number): void
}

/** Monotonic time plus the database's offset; the system clock only until the first reading. */
export function createDatabaseClock(monotonicMs: () => number = () => performance.now()): DatabaseClock {
  let offsetMs = Date.now() - monotonicMs()
  return {
    nowMs: () => Math.floor(monotonicMs() + offsetMs),
    monotonicMs,
    synchronize(databaseNowMs, roundTripMs) {
      offsetMs = databaseNowMs + roundTripMs / 2 - monotonicMs()
    },
  }
}
