import type { Log } from '../../core/log.ts'
import type { Mailbox } from './mailbox.ts'
import { Subscribers } from './subscribers.ts'

/** Rows of a table that only grows, as they come, whoever has written them. */
export interface NewRowsFeed<Row> {
  /** @param wanted - whether this subscriber may have it, and wants it */
  subscribe(wanted: (row: Row) => boolean, slow: { tooSlow(): void }): Mailbox<Row>
  close(): void
}

export interface NewRowsFeedDeps<Row> {
  /** Those of the last so many milliseconds by the database's clock, the earliest first. */
  read(lastMs: number): Promise<readonly Row[]>
  idOf(row: Row): string
  /** Says that there may be something new. @returns what ends that */
  onHint(look: () => void): () => void
  log: Log
  pollMs?: number
}

/** Longer than any change may take: a row carries the time its transaction began, and is seen when that ends. */
const overlapMs = 15_000

export function createNewRowsFeed<Row>({
  read,
  idOf,
  onHint,
  log,
  pollMs = 2_000,
}: NewRowsFeedDeps<Row>): NewRowsFeed<Row> {
  let timer: NodeJS.Timeout | undefined
  let seen: Set<string> | undefined
  let looking: Promise<void> | undefined
  let lookAgain = false
  let lookedAtMs = performance.now()

  const look = async (): Promise<void> => {
    try {
      const sinceMs = overlapMs + (performance.now() - lookedAtMs)
      const startedMs = performance.now()
      const rows = await read(sinceMs)
      const known = seen
      // What was there when the first one came is nothing new.
      const fresh = known ? rows.filter((row) => !known.has(idOf(row))) : []
      seen = new Set(rows.map(idOf))
      lookedAtMs = startedMs
      if (fresh.length > 0) subscribers.tell((wanted) => fresh.filter(wanted))
    } catch (error) {
      log.warn({ err: error }, 'What has changed could not be read for those who watch; tried again.')
    }
  }
  const lookNow = (): void => {
    if (subscribers.size === 0) return
    if (looking) {
      lookAgain = true
      return
    }
    looking = look().finally(() => {
      looking = undefined
      if (!lookAgain) return
      lookAgain = false
      lookNow()
    })
  }
  const subscribers = new Subscribers<Row, (row: Row) => boolean>((count) => {
    if (count === 0) {
      clearInterval(timer)
      timer = undefined
      seen = undefined
    } else if (!timer) {
      lookedAtMs = performance.now()
      timer = setInterval(lookNow, pollMs)
      timer.unref()
    }
  })

  const forgetHints = onHint(lookNow)
  return {
    subscribe(wanted, slow) {
      const mailbox = subscribers.add(wanted, slow)
      if (!seen) lookNow()
      return mailbox
    },
    close() {
      forgetHints()
      subscribers.close()
    },
  }
}
