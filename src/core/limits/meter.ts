/** Amounts over time against a limit a minute: requests or tokens. All times are whole milliseconds of one clock. */
export interface Meter {
  /** How long until the amount fits, if nothing else comes: 0 is now, Infinity never. */
  waitMs(amount: number, limit: number, nowMs: number): number
  /** Counts the amount, whether it fits or not. */
  add(amount: number, limit: number, nowMs: number): void
  /** Counts less of what was added at `takenMs`. Does nothing once that is a minute ago, when it is over in any case. */
  giveBack(amount: number, limit: number, takenMs: number, nowMs: number): void
  /** What is left of the limit; never negative. */
  remaining(limit: number, nowMs: number): number
  /** When all of the limit is free again. */
  resetMs(limit: number, nowMs: number): number
}

/** The minute of "requests per minute". */
export const minuteMs = 60_000
