import type { BudgetPeriod } from './budget.ts'

/** A stretch of time that a budget's amount is for: from `startMs` up to, not including, `endMs`. */
export interface PeriodBounds {
  /** Milliseconds since the epoch. */
  startMs: number
  /** Undefined for a budget of all time. */
  endMs: number | undefined
}

/**
 * The calendar period that an instant lies in. Derived from time alone, so nothing has to be reset by a job, and every
 * replica that has the database's time comes to the same answer.
 *
 * Weeks begin on Monday. Where a zone's clocks skip the moment at which a period would begin, it begins at the first
 * moment after it; where they pass it twice, at the first time.
 *
 * @param timeZone - an IANA name
 * @throws RangeError for a zone that does not exist
 */
export function budgetPeriodAt(period: BudgetPeriod, timeZone: string, nowMs: number): PeriodBounds {
  if (period === 'total') return { startMs: 0, endMs: undefined }
  const zone = zoneOf(timeZone)
  const wallMs = nowMs + zone.offsetMs(nowMs)
  if (period === 'hour') {
    const startMs = nowMs - (((wallMs % hourMs) + hourMs) % hourMs)
    return { startMs, endMs: startMs + hourMs }
  }
  const { start, end } = wallDays(period, new Date(wallMs))
  return { startMs: instantOf(zone, start), endMs: instantOf(zone, end) }
}

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** First days of a period and of the one after it, as if the zone's calendar were UTC's. */
function wallDays(period: Exclude<BudgetPeriod, 'hour' | 'total'>, wall: Date): { start: number; end: number } {
  const year = wall.getUTCFullYear()
  const month = wall.getUTCMonth()
  const day = wall.getUTCDate()
  switch (period) {
    case 'day':
      return { start: Date.UTC(year, month, day), end: Date.UTC(year, month, day + 1) }
    case 'week': {
      const monday = day - ((wall.getUTCDay() + 6) % 7)
      return { start: Date.UTC(year, month, monday), end: Date.UTC(year, month, monday + 7) }
    }
    case 'month':
      return { start: Date.UTC(year, month), end: Date.UTC(year, month + 1) }
    case 'quarter': {
      const first = month - (month % 3)
      return { start: Date.UTC(year, first), end: Date.UTC(year, first + 3) }
    }
  }
}

interface Zone {
  /** What a clock on the wall is ahead of UTC by, at an instant. */
  offsetMs(atMs: number): number
}

const utc: Zone = { offsetMs: () => 0 }

/** When the zone's wall clocks first show this. */
function instantOf(zone: Zone, wallMs: number): number {
  // Clocks change at most once around a midnight, so these are all the offsets there can be.
  const before = wallMs - zone.offsetMs(wallMs - dayMs)
  const after = wallMs - zone.offsetMs(wallMs + dayMs)
  const shown = [before, after].filter((at) => at + zone.offsetMs(at) === wallMs)
  return shown.length > 0 ? Math.min(...shown) : Math.max(before, after)
}

/** Making a formatter takes a hundred times as long as using one. It is no state: it follows from the name. */
const zones = new Map<string, Zone>([['UTC', utc]])

function zoneOf(timeZone: string): Zone {
  const known = zones.get(timeZone)
  if (known) return known
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  const zone: Zone = {
    offsetMs(atMs) {
      const part: Record<string, number> = {}
      for (const { type, value } of format.formatToParts(atMs)) part[type] = Number(value)
      const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part
      return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(atMs / 1_000) * 1_000
    },
  }
  zones.set(timeZone, zone)
  return zone
}
