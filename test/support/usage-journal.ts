import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDatabaseClock } from '../../src/core/clock.ts'
import type { Log } from '../../src/core/log.ts'
import { createJournal, type Journal, type JournalDeps } from '../../src/core/usage/journal.ts'
import { openJournalFolder } from '../../src/core/usage/journal-folder.ts'
import { recoverOrphans } from '../../src/core/usage/recovery.ts'
import type { UsageStore } from '../../src/core/usage/usage.store.ts'
import type { UsageEnd } from '../../src/core/usage/usage-record.ts'
import { createUsageWriter, type UsageWriter, type UsageWriterSettings } from '../../src/core/usage/usage-writer.ts'
import { silent } from './log.ts'

/** A folder that is gone when the block ends. */
export function temporaryFolder(): Disposable & { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'llmgw-journal-'))
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}

export function openTestJournal(path: string, deps: Partial<JournalDeps> = {}): Journal {
  return createJournal({ folder: openJournalFolder(path), clock: createDatabaseClock(), log: silent, ...deps })
}

export interface TestRunOptions {
  journal?: Partial<JournalDeps>
  writer?: Partial<UsageWriterSettings>
  log?: Log
}

/** One run of a process: its journal, recovery and writer. Ending it with a deadline of 0 is as good as a crash. */
export function startTestRun(path: string, store: UsageStore, options: TestRunOptions = {}): TestRun {
  const log = options.log ?? silent
  const clock = createDatabaseClock()
  const journal = openTestJournal(path, { log, ...options.journal })
  const recovered = recoverOrphans({ journal, clock, log }).then(() => {})
  const settings = { retryDelayMs: 1, replayRowsPerSecond: 1e9, ...options.writer }
  const writer = createUsageWriter({ journal, store, clock, log, recovered, settings })
  return {
    journal,
    writer,
    async end(deadlineMs = 10_000) {
      const left = await writer.close(deadlineMs)
      await journal.close()
      return left
    },
  }
}

export interface TestRun {
  journal: Journal
  writer: UsageWriter
  end(deadlineMs?: number): Promise<number>
}

/** Keeps the promise of the database's store: a row that is there is never changed. */
export function createMemoryStore(
  before: (records: readonly UsageEnd[]) => void | Promise<void> = () => {},
): UsageStore & {
  rows: Map<string, UsageEnd>
  batches: number[]
} {
  const rows = new Map<string, UsageEnd>()
  const batches: number[] = []
  return {
    rows,
    batches,
    async apply(json) {
      const records = JSON.parse(json.toString('utf8')) as UsageEnd[]
      batches.push(records.length)
      await before(records)
      const added = records.filter((record) => !rows.has(record.request_id))
      for (const record of added) rows.set(record.request_id, record)
      return { changed: added.length, periods: [], alerts: [] }
    },
  }
}

/** What PostgreSQL throws. */
export function databaseError(code: string, message = 'no'): Error {
  return Object.assign(new Error(message), { code })
}
