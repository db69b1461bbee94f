import type { Log } from '../../core/log.ts'
import type { TotalsQuery, UsageReports, UsageTotals } from '../../core/usage/usage-reports.store.ts'

/** What usage has come to between two looks. */
export interface UsageDifference extends Omit<UsageTotals, 'at'> {
  since: Date
  until: Date
}

export interface FeedQuery extends TotalsQuery {
  intervalS: number
}

/**
 * Usage for dashboards: one look at the database an interval for all that watch the same, and not a message for each
 * call. Sums in the database are what all replicas have settled, so any replica serves any dashboard, and nothing is
 * lost while one of them is away.
 */
export interface UsageFeed {
  /** Ends when it is returned from, or the feed is closed. */
  subscribe(query: FeedQuery): AsyncIterableIterator<UsageDifference, undefined>
  close(): void
}

export interface UsageFeedDeps {
  usage: Pick<UsageReports, 'totals'>
  log: Log
}

interface Watch {
  subscribers: Set<Subscriber>
  timer: NodeJS.Timeout
  /** The looks are apart by the interval from the end of one to the beginning of the next. */
  isLooking: boolean
}

/** Holds the latest that it has not passed on, added up: whoever is slow hears less often, and of everything. */
interface Subscriber {
  before: UsageTotals
  pending: UsageTotals | undefined
  wake: (() => void) | undefined
  end(): void
}

export function createUsageFeed({ usage, log }: UsageFeedDeps): UsageFeed {
  const watches = new Map<string, Watch>()
  let isClosed = false

  const look = async (query: FeedQuery, watch: Watch): Promise<void> => {
    if (watch.isLooking) return
    watch.isLooking = true
    try {
      const totals = await usage.totals(query)
      for (const subscriber of watch.subscribers) {
        subscriber.pending = totals
        subscriber.wake?.()
      }
    } catch (error) {
      // The next look has what this one would have had.
      log.warn({ err: error }, 'Usage could not be read for those who watch it; tried again.')
    } finally {
      watch.isLooking = false
    }
  }

  const join = (name: string, query: FeedQuery, subscriber: Subscriber): Watch => {
    let watch = watches.get(name)
    if (!watch) {
      const made: Watch = {
        subscribers: new Set(),
        timer: setInterval(() => void look(query, made), query.intervalS * 1_000),
        isLooking: false,
      }
      made.timer.unref()
      watches.set(name, made)
      watch = made
    }
    watch.subscribers.add(subscriber)
    return watch
  }

  const leave = (name: string, watch: Watch, subscriber: Subscriber): void => {
    watch.subscribers.delete(subscriber)
    if (watch.subscribers.size > 0) return
    clearInterval(watch.timer)
    watches.delete(name)
  }

  return {
    subscribe(query) {
      const name = JSON.stringify(query)
      let subscriber: Subscriber | undefined
      let watch: Watch | undefined
      let isOver = isClosed
      const end = (): void => {
        isOver = true
        if (subscriber && watch) leave(name, watch, subscriber)
        subscriber?.wake?.()
      }
      const next = async (): Promise<IteratorResult<UsageDifference, undefined>> => {
        if (!subscriber) {
          subscriber = { before: await usage.totals(query), pending: undefined, wake: undefined, end }
          if (!isOver) watch = join(name, query, subscriber)
        }
        while (!isOver) {
          const { pending, before } = subscriber
          if (pending) {
            subscriber.pending = undefined
            subscriber.before = pending
            return { done: false, value: differenceOf(before, pending) }
          }
          const own = subscriber
          await new Promise<void>((resolve) => {
            own.wake = resolve
          })
        }
        return { done: true, value: undefined }
      }
      // By hand, for a generator that waits cannot be told to end.
      const iterator: AsyncIterableIterator<UsageDifference, undefined> = {
        next,
        async return() {
          end()
          return { done: true, value: undefined }
        },
        [Symbol.asyncIterator]: () => iterator,
      }
      return iterator
    },
    close() {
      isClosed = true
      for (const { subscribers } of [...watches.values()]) {
        for (const subscriber of [...subscribers]) subscriber.end()
      }
    },
  }
}

const differenceOf = (before: UsageTotals, now: UsageTotals): UsageDifference => ({
  since: before.at,
  until: now.at,
  requests: now.requests - before.requests,
  failedRequests: now.failedRequests - before.failedRequests,
  inputTokens: now.inputTokens - before.inputTokens,
  outputTokens: now.outputTokens - before.outputTokens,
  costNano: now.costNano - before.costNano,
})
