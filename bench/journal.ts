/**
 * What accounting costs: CPU per append, by kind, and how fast the writer moves records to the database.
 *
 *     node bench/journal.ts                       appends only
 *     DATABASE_URL=postgresql://... node bench/journal.ts    and the writer, against a migrated database
 *
 * BENCH_RECORDS (100000) is how many calls are journaled, BENCH_DIR where (a disk, not a tmpfs, for honest figures).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { createDatabaseClock } from '../src/core/clock.ts'
import type { Log } from '../src/core/log.ts'
import { createJournal } from '../src/core/usage/journal.ts'
import { openJournalFolder } from '../src/core/usage/journal-folder.ts'
import { createUsageStore } from '../src/core/usage/usage.store.ts'
import { openUsageSpool } from '../src/core/usage/usage-spool.ts'
import { usageEnd, usageIntent } from '../test/support/usage-records.ts'

const openCalls = 2_000
const records = Number(process.env.BENCH_RECORDS ?? 100_000)
const path = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'llmgw-bench-'))
const clock = createDatabaseClock()
const print = (line: string) => process.stdout.write(`${line}\n`)
const complain = (fields: object, message: string) => print(`${message} ${JSON.stringify(fields)}`)
const log: Log = { debug: () => {}, info: complain, warn: complain, error: complain }

try {
  benchStringify()
  for (const perTurn of [1, 8, 64]) await benchAppends(perTurn)
  const url = process.env.DATABASE_URL
  if (url) await benchWriter(url)
} finally {
  rmSync(path, { recursive: true })
}

/** What the records' JSON alone costs, on this machine as it is loaded now. */
function benchStringify(): void {
  const cpuUs = { intent: 0, end: 0 }
  let characters = 0
  for (let done = 0; done < records; done += openCalls) {
    const intents = Array.from({ length: openCalls }, () => usageIntent())
    const ends = intents.map((intent) => usageEnd(intent))
    for (const [kind, items] of [
      ['intent', intents],
      ['end', ends],
    ] as const) {
      const before = process.threadCpuUsage()
      for (const item of items) characters += JSON.stringify(item).length
      const { user, system } = process.threadCpuUsage(before)
      cpuUs[kind] += user + system
    }
  }
  const each = (us: number) => (us / records).toFixed(2)
  print(`JSON.stringify alone: intent ${each(cpuUs.intent)} us, end ${each(cpuUs.end)} us (${characters} characters)`)
}

/** `perTurn`: how many calls share a turn of the event loop, hence a write. */
async function benchAppends(perTurn: number): Promise<void> {
  const folder = openJournalFolder(join(path, `append-${perTurn}`))
  const journal = createJournal({ folder, clock, log, settings: { spoolRecordsMax: 1e9, spoolBytesMax: 1e12 } })
  const cpuUs = { intent: 0, end: 0 }
  for (let done = -records / 10; done < records; done += openCalls) {
    if (done <= 0) cpuUs.intent = cpuUs.end = 0 // warmed up
    const intents = Array.from({ length: openCalls }, () => usageIntent())
    const ends = intents.map((intent) => usageEnd(intent))
    cpuUs.intent += await appendCpuUs(intents, perTurn, (intent) => journal.append('intent', intent))
    cpuUs.end += await appendCpuUs(ends, perTurn, (end) => journal.append('end', end))
  }
  const { appendedEnds } = journal.stats()
  const measured = appendedEnds - Math.ceil(records / 10 / openCalls) * openCalls
  const each = (us: number) => (us / measured).toFixed(2)
  print(`${perTurn} per write: intent ${each(cpuUs.intent)} us, end ${each(cpuUs.end)} us CPU per append`)
  await journal.close()
}

async function appendCpuUs<T>(
  items: readonly T[],
  perTurn: number,
  append: (item: T) => Promise<void>,
): Promise<number> {
  const before = process.threadCpuUsage() // syncing is other threads' work
  let written: Promise<void> | undefined
  for (let at = 0; at < items.length; at++) {
    written = append(items[at] as T)
    if ((at + 1) % perTurn === 0) await written // shared by all appends of a write
  }
  await written
  const { user, system } = process.threadCpuUsage(before)
  return user + system
}

async function benchWriter(url: string): Promise<void> {
  const pool = new pg.Pool({ connectionString: url, max: 2, connectionTimeoutMillis: 2_000 })
  const spool = await openUsageSpool({
    path,
    owner: 'writer',
    store: createUsageStore(pool),
    clock,
    log,
    writerSettings: { batchRows: Number(process.env.BENCH_BATCH_ROWS ?? 500), batchDelayMs: 1e9 },
    journalSettings: { spoolRecordsMax: 1e9 },
  })
  const reservedAt = new Date().toISOString()
  // The first rows pay for connecting and compiling.
  for (const count of [5_000, records]) {
    const intents = Array.from({ length: count }, () => usageIntent({ reserved_at: reservedAt }))
    for (const intent of intents) spool.append('end', usageEnd(intent))
    const before = process.threadCpuUsage()
    const startMs = performance.now()
    const left = await spool.flush(600_000)
    const seconds = (performance.now() - startMs) / 1_000
    const { user, system } = process.threadCpuUsage(before)
    if (left > 0) throw new Error(`${left} records are left`)
    if (count < records) continue
    print(`writer: ${(count / seconds).toFixed(0)} rows/s, ${((user + system) / count).toFixed(2)} us CPU per row here`)
  }
  await spool.close()
  await pool.end()
}
