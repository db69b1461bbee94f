import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { createJournal, type Journal, type JournalSettings, type JournalStats } from './journal.ts'
import { adoptSegments, openJournalFolder } from './journal-folder.ts'
import { recoverOrphans } from './recovery.ts'
import type { AppliedBatch, UsageStore } from './usage.store.ts'
import { createUsageWriter, type UsageWriterSettings, type UsageWriterStats } from './usage-writer.ts'

/** The way of a usage record from the call to the database: journal, recovery and writer of one process. */
export interface UsageSpool {
  append: Journal['append']
  stats(): JournalStats & { writer: UsageWriterStats }
  /** Moves what the journal holds to the database; @returns how many records are left in the journal */
  flush(deadlineMs: number): Promise<number>
  close(deadlineMs?: number): Promise<number>
}

export interface UsageSpoolDeps {
  /** The folder of all journals of this data folder. */
  path: string
  /** Which journal is ours: stable across restarts, and unique among the processes of this data folder. */
  owner: string
  /** Owners that no longer exist (workers no longer started): what they left becomes ours. */
  formerOwners?: readonly string[]
  /** Over a pool of its own; the database may be down at any time, now included. */
  store: UsageStore
  /** Told of every batch that the database has taken. */
  applied?: (batch: AppliedBatch, records: Buffer) => void
  clock: Clock
  log: Log
  journalSettings?: Partial<JournalSettings>
  writerSettings?: Partial<UsageWriterSettings>
}

const closeDeadlineMs = 5_000

/**
 * Takes records as soon as this resolves; what earlier runs left is recovered and applied meanwhile.
 *
 * @throws the file system's error: without a journal no call may be served
 */
export async function openUsageSpool(deps: UsageSpoolDeps): Promise<UsageSpool> {
  const { clock, log } = deps
  const path = join(deps.path, deps.owner)
  for (const owner of deps.formerOwners ?? []) await adoptSegments(join(deps.path, owner), path)
  const folder = openJournalFolder(path)
  const journal = createJournal({ folder, clock, log, settings: deps.journalSettings })
  const recovered = recoverOrphans({ journal, clock, log }).then(() => {})
  const writer = createUsageWriter({
    journal,
    store: deps.store,
    applied: deps.applied,
    clock,
    log,
    recovered,
    settings: deps.writerSettings,
  })
  return {
    append: journal.append,
    stats: () => ({ ...journal.stats(), writer: writer.stats() }),
    flush: (deadlineMs) => writer.flush(deadlineMs),
    async close(deadlineMs = closeDeadlineMs) {
      const left = await writer.close(deadlineMs)
      await journal.close()
      return left
    },
  }
}
