import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'

/** Looks at every budget period again and again, and remembers what it saw. */
export interface MoneyWatch extends AsyncDisposable {
  /** What was found, should M1 ever have been broken: committed + leased above the limit of a hard budget. */
  readonly breaches: readonly string[]
  /** How often it has looked. */
  readonly looks: number
  /** The longest it has not looked, in milliseconds, since `reset`: how much the figures of a test can be off. */
  readonly longestGapMs: number
  reset(): void
}

const everyMs = 10

export function createMoneyWatch(pool: pg.Pool): MoneyWatch {
  const stopping = new AbortController()
  const breaches: string[] = []
  let looks = 0
  let longestGapMs = 0
  let lastLookMs = performance.now()
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      try {
        const { rows } = await pool.query<{ description: string }>(breachesSql)
        looks++
        longestGapMs = Math.max(longestGapMs, performance.now() - lastLookMs)
        lastLookMs = performance.now()
        for (const { description } of rows) {
          if (breaches.length < breachesMax && !breaches.includes(description)) breaches.push(description)
        }
      } catch {
        // The server is down, as some test wants it to be.
      }
      await delay(everyMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  })()
  return {
    breaches,
    get looks() {
      return looks
    },
    get longestGapMs() {
      return longestGapMs
    },
    reset() {
      longestGapMs = 0
      lastLookMs = performance.now()
    },
    async [Symbol.asyncDispose]() {
      stopping.abort()
      await watching
    },
  }
}

const breachesMax = 20

/**
 * A provider that reports more than the worst case may push a budget over its limit, and then the excess stands in
 * `overrun_nano` of the records: nothing else may.
 */
const breachesSql = `
  select format('budget period %s: committed %s + leased %s > limit %s', p.id, p.committed_nano, p.leased_nano,
    p.limit_nano) as description
  from budget_periods p
  where p.mode = 'hard' and p.committed_nano + p.leased_nano > p.limit_nano
    and p.committed_nano + p.leased_nano > p.limit_nano + (
      select coalesce(sum(r.overrun_nano), 0) from usage_records r where p.id = any(r.budget_period_ids))`
