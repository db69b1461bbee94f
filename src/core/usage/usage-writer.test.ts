import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { createRecordingLog } from '../../../test/support/log.ts'
import {
  createMemoryStore,
  databaseError,
  openTestJournal,
  startTestRun,
  temporaryFolder,
} from '../../../test/support/usage-journal.ts'
import { usageEnd, usageIntent } from '../../../test/support/usage-records.ts'
import type { Journal } from './journal.ts'
import type { UsageEnd } from './usage-record.ts'

function ends(count: number): UsageEnd[] {
  return Array.from({ length: count }, () => usageEnd(usageIntent()))
}

async function appendAll(journal: Journal, records: readonly UsageEnd[]): Promise<void> {
  await Promise.all(records.map((record) => journal.append('end', record)))
}

test('records reach the database unchanged, in order, by themselves', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore()
  const run = startTestRun(folder.path, store)
  const records = ends(20)
  await appendAll(run.journal, records)

  await vi.waitUntil(() => store.rows.size === 20)

  expect([...store.rows.values()]).toEqual(records)
  await vi.waitUntil(() => run.writer.stats().lagMs === 0)
  expect(run.writer.stats()).toMatchObject({ applied: 20, repeated: 0, batches: 1 })
  expect(await run.end()).toBe(0)
  expect(readdirSync(folder.path).filter((name) => name.endsWith('.journal'))).toEqual([])
})

test('a full batch does not wait, and no batch is larger than it may be', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore()
  const run = startTestRun(folder.path, store, { writer: { batchDelayMs: 1e9, batchRows: 50 } })
  await appendAll(run.journal, ends(120))

  await vi.waitUntil(() => store.rows.size === 100)

  expect(store.batches).toEqual([50, 50])
  expect(await run.end()).toBe(0)
  expect(store.rows.size).toBe(120)
})

test('a database that fails gets the same batch again until it takes it, in order, and nothing is doubled', async () => {
  using folder = temporaryFolder()
  const log = createRecordingLog()
  let failures = 5
  const store = createMemoryStore(() => {
    if (failures-- > 0) throw databaseError('57P01', 'terminating connection')
  })
  const run = startTestRun(folder.path, store, { log })
  const records = ends(3)
  await appendAll(run.journal, records)
  await vi.waitUntil(() => store.rows.size === 3)

  expect(store.batches).toEqual([3, 3, 3, 3, 3, 3])
  expect([...store.rows.values()]).toEqual(records)
  expect(log.lines.map((line) => line.level)).toEqual(['warn', 'info'])
  await run.end()
})

test('a commit whose outcome is unknown is repeated and changes nothing', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore()
  let lost = 1
  const run = startTestRun(folder.path, {
    async apply(json) {
      const applied = await store.apply(json)
      if (lost-- > 0) throw new Error('Connection terminated unexpectedly')
      return applied
    },
  })
  await appendAll(run.journal, ends(4))
  await run.end()

  expect(store.rows.size).toBe(4)
  expect(run.writer.stats()).toMatchObject({ applied: 0, repeated: 4 })
})

test('a record the database refuses is set aside without its texts being lost, and all others are applied', async () => {
  using folder = temporaryFolder()
  const log = createRecordingLog()
  const records = ends(100)
  const poison = new Set([records[13]?.request_id, records[99]?.request_id])
  const store = createMemoryStore((batch) => {
    if (batch.some((record) => poison.has(record.request_id))) throw databaseError('22P02', 'invalid input syntax')
  })
  const run = startTestRun(folder.path, store, { log })
  await appendAll(run.journal, records)
  expect(await run.end()).toBe(0)

  expect(store.rows.size).toBe(98)
  expect(run.writer.stats()).toMatchObject({ applied: 98, refused: 2 })
  expect(log.lines.filter((line) => line.level === 'error')).toHaveLength(2)
  expect(readdirSync(join(folder.path, 'refused'))).toHaveLength(2)

  poison.clear() // a release with the right schema, say
  const next = startTestRun(folder.path, store)
  expect(await next.end()).toBe(0)
  expect(store.rows.size).toBe(100)
  expect(readdirSync(join(folder.path, 'refused'))).toHaveLength(0)
})

test('a call is charged although the text a client sent cannot be stored', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore((batch) => {
    if (batch.some((record) => record.client_request_id)) throw databaseError('54000', 'index row size exceeds')
  })
  const run = startTestRun(folder.path, store)
  const record = usageEnd(usageIntent({ client_request_id: 'x'.repeat(3_000) }))
  await appendAll(run.journal, [record])
  await run.end()

  expect(store.rows.get(record.request_id)).toMatchObject({ client_request_id: null, provider_cost_nano: '360000' })
  expect(readdirSync(join(folder.path, 'damaged'))).toHaveLength(1)
})

test('a batch that is too much for a statement is halved', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore((batch) => {
    if (batch.length > 30) throw databaseError('57014', 'canceling statement due to statement timeout')
  })
  const run = startTestRun(folder.path, store)
  await appendAll(run.journal, ends(100))
  await run.end()

  expect(store.rows.size).toBe(100)
  expect(run.writer.stats().refused).toBe(0)
})

test('the same request id twice is one record, the first', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore()
  const run = startTestRun(folder.path, store)
  const first = usageEnd(usageIntent())
  await appendAll(run.journal, [first, { ...first, provider_cost_nano: '1' }])
  expect(await run.end()).toBe(0)

  expect([...store.rows.values()]).toEqual([first])
})

test('a backlog is replayed at its rate, and every record written meanwhile adds to the allowance', async () => {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path)
  await appendAll(journal, ends(400))
  await journal.close()

  const store = createMemoryStore()
  const writer = { replayRowsPerSecond: 100, batchRows: 20, catchUpMs: 1e9 }
  const startMs = performance.now()
  const run = startTestRun(folder.path, store, { writer })
  await vi.waitUntil(() => store.rows.size >= 40)
  const elapsedMs = performance.now() - startMs
  expect(elapsedMs).toBeGreaterThan(350)
  expect(store.rows.size).toBeLessThan(100)

  await appendAll(run.journal, ends(300))
  const before = store.rows.size
  await vi.waitUntil(() => store.rows.size >= before + 300, { timeout: 900 })
  expect(run.writer.stats().lagMs).toBeGreaterThan(0)
  expect(await run.end()).toBe(0) // draining knows no rate
  expect(store.rows.size).toBe(700)
})

test('a flush while the database is down gives up at its deadline and says how much is left', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore(() => {
    throw databaseError('08006')
  })
  const run = startTestRun(folder.path, store)
  await appendAll(run.journal, ends(7))

  expect(await run.writer.flush(30)).toBe(7)
  expect(run.writer.stats()).toMatchObject({ applied: 0, lastError: expect.stringContaining('no') })
  expect(await run.end(30)).toBe(7)

  const next = startTestRun(folder.path, createMemoryStore())
  expect(await next.end()).toBe(0)
})

test('closing does not wait for a database that does not answer', async () => {
  using folder = temporaryFolder()
  const run = startTestRun(folder.path, { apply: () => new Promise(() => {}) })
  await appendAll(run.journal, ends(2))

  expect(await run.end(20)).toBe(2)
})

test('what is held in memory while the disk is full is applied like everything else', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore()
  const write = () => {
    throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
  }
  const run = startTestRun(folder.path, store, { journal: { write } })
  for (let round = 0; round < 5; round++) {
    const records = ends(700)
    for (const record of records) await run.journal.append('end', record)
    await vi.waitUntil(() => store.rows.has(records.at(-1)?.request_id as string))
  }
  expect(await run.end()).toBe(0)
  expect(store.rows.size).toBe(3_500)
})
