/**
 * A process that journals calls and moves them to the database, as fast as that goes, until it is killed. Each line it
 * writes is one acknowledged record: `i <request id>` or `e <request id>`. Arguments: folder, database URL.
 */
import { writeSync } from 'node:fs'
import pg from 'pg'
import { createDatabaseClock } from '../../src/core/clock.ts'
import { createUsageStore } from '../../src/core/usage/usage.store.ts'
import { openUsageSpool } from '../../src/core/usage/usage-spool.ts'
import { warningsOnly } from '../support/log.ts'
import { usageEnd, usageIntent } from '../support/usage-records.ts'

const [path = '', url = ''] = process.argv.slice(2)
const spool = await openUsageSpool({
  path,
  owner: '0',
  store: createUsageStore(new pg.Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 2_000 })),
  clock: createDatabaseClock(),
  log: { ...warningsOnly, warn: () => {} }, // that there are orphans is the point
  journalSettings: { segmentBytes: 64 << 10, retainedSegmentsMax: 2 },
  writerSettings: { batchRows: 50, batchDelayMs: 5, replayRowsPerSecond: 1e6 },
})

const acknowledge = (line: string) => writeSync(1, `${line}\n`)

async function makeCalls(): Promise<never> {
  for (;;) {
    const intent = usageIntent()
    await spool.append('intent', intent)
    acknowledge(`i ${intent.request_id}`)
    // The writer keeps up, so that a kill meets it at work, too: applying, deleting segments, copying long calls on.
    do await new Promise(setImmediate)
    while (spool.stats().pendingRecords > 200)
    await spool.append('end', usageEnd(intent))
    acknowledge(`e ${intent.request_id}`)
  }
}

/** A call that outlives every segment it could lie in. */
async function beginLongCall(): Promise<void> {
  const intent = usageIntent()
  await spool.append('intent', intent)
  acknowledge(`i ${intent.request_id}`)
}

await Promise.all(Array.from({ length: 4 }, beginLongCall))
await Promise.all(Array.from({ length: 16 }, makeCalls))
