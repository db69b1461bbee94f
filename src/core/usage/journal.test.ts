import { readdirSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { createRecordingLog } from '../../../test/support/log.ts'
import { openTestJournal, temporaryFolder } from '../../../test/support/usage-journal.ts'
import { usageEnd, usageIntent } from '../../../test/support/usage-records.ts'
import { GatewayError } from '../errors.ts'
import type { Journal } from './journal.ts'
import { openJournalFolder } from './journal-folder.ts'

const refusal = expect.objectContaining({ code: 'usage_spool_full' })

function segmentFiles(path: string): string[] {
  return readdirSync(path)
    .filter((name) => name.endsWith('.journal'))
    .sort()
}

/** Reports everything as applied, as the writer does once the database has it. */
function applyAll(journal: Journal): void {
  for (const segment of [...journal.segments]) journal.applied(segment, segment.bytes, 0)
  const live = journal.segments.at(-1)
  if (live) journal.applied(live, live.bytes, journal.stats().pendingRecords)
}

function noSpace(): never {
  throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}

test('an append resolves once its bytes are in the file, and those of one turn are one write', async () => {
  using folder = temporaryFolder()
  const write = vi.fn(writeSync)
  const journal = openTestJournal(folder.path, { write: write as unknown as typeof writeSync }) // a mock has no overloads
  const intent = usageIntent()

  const written = [journal.append('intent', intent), journal.append('end', usageEnd(intent))]
  expect(write).not.toHaveBeenCalled()
  await Promise.all(written)

  expect(write).toHaveBeenCalledTimes(1)
  expect(statSync(join(folder.path, '000000000001.journal')).size).toBe(journal.stats().bytes)
  expect(journal.stats()).toMatchObject({ appendedIntents: 1, appendedEnds: 1, open: 0, pendingRecords: 1 })
  await journal.close()
})

test('more than fits the buffer in one turn is written, too', async () => {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path)

  await Promise.all(Array.from({ length: 3_000 }, () => journal.append('end', usageEnd(usageIntent()))))

  expect(journal.stats()).toMatchObject({ appendedEnds: 3_000 })
  expect(journal.stats().bytes).toBeGreaterThan(3 << 20)
  await journal.close()
})

test('a segment is deleted when it is applied and no call that began in it still runs', async () => {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path, { settings: { segmentBytes: 1 } })
  const running = usageIntent()
  await journal.append('end', usageEnd(usageIntent()))
  await journal.append('intent', running)
  await journal.append('end', usageEnd(usageIntent()))

  applyAll(journal)
  await vi.waitUntil(() => segmentFiles(folder.path).length === 2)
  expect(segmentFiles(folder.path)[0]).toBe('000000000002.journal')

  await journal.append('end', usageEnd(running))
  applyAll(journal)
  await vi.waitUntil(() => segmentFiles(folder.path).length === 0)
  await journal.close()
})

test('one long call holds no more segments than it may: its intent is copied on', async () => {
  using folder = temporaryFolder()
  const settings = { segmentBytes: 1, retainedSegmentsMax: 3 }
  const journal = openTestJournal(folder.path, { settings })
  const running = usageIntent()
  await journal.append('intent', running)
  for (let call = 0; call < 20; call++) {
    await journal.append('end', usageEnd(usageIntent()))
    applyAll(journal)
  }
  await vi.waitUntil(() => journal.segments.length <= 5)

  expect(journal.stats()).toMatchObject({ open: 1, appendedIntents: 1 })
  await journal.close()
  const left = segmentFiles(folder.path).map((name) => join(folder.path, name))
  expect(left.length).toBeGreaterThan(0)
  expect(left.some((file) => readFileSync(file, 'utf8').includes(running.request_id))).toBe(true)
})

test('closing leaves nothing behind when everything is applied', async () => {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path)
  await journal.append('end', usageEnd(usageIntent()))
  applyAll(journal)
  await journal.close()

  expect(segmentFiles(folder.path)).toEqual([])
  await expect(journal.append('intent', usageIntent())).rejects.toEqual(refusal)
  // And the next run does not use a number again, whose records a position on disk calls applied.
  expect(openJournalFolder(folder.path).newSegment(0).sequence).toBe(2)
})

test('a full spool refuses calls, warns before, and still takes the ends of calls that run', async () => {
  using folder = temporaryFolder()
  const log = createRecordingLog()
  const journal = openTestJournal(folder.path, { log, settings: { spoolRecordsMax: 10 } })
  const intents = Array.from({ length: 10 }, () => usageIntent())
  for (const intent of intents.slice(0, 7)) await journal.append('intent', intent)
  expect(log.lines).toEqual([])
  for (const intent of intents.slice(7)) await journal.append('intent', intent)

  expect(log.lines).toEqual([
    expect.objectContaining({ level: 'error', message: expect.stringContaining('nearly full') }),
  ])
  await expect(journal.append('intent', usageIntent())).rejects.toEqual(refusal)
  expect(journal.stats().state).toBe('refusing')
  for (const intent of intents) await journal.append('end', usageEnd(intent))
  expect(journal.stats()).toMatchObject({ open: 0, pendingRecords: 10 })

  applyAll(journal)
  await journal.append('intent', usageIntent())
  await journal.close()
})

test('the cap in bytes counts what earlier runs left', async () => {
  using folder = temporaryFolder()
  const first = openTestJournal(folder.path)
  await first.append('end', usageEnd(usageIntent()))
  await first.close()

  const journal = openTestJournal(folder.path, { settings: { spoolBytesMax: 1_000 } })
  await expect(journal.append('intent', usageIntent())).rejects.toEqual(refusal)
  await journal.close()
})

test('a write that fails half way refuses the call, leaves no trace, and the next write is whole', async () => {
  using folder = temporaryFolder()
  let full = false
  // A short write, longer than the first frame, then nothing more.
  const write = ((fd: number, bytes: Buffer, offset: number, length: number, position: number) => {
    if (full && offset > 0) noSpace()
    return writeSync(fd, bytes, offset, full ? 700 : length, position)
  }) as typeof writeSync
  const log = createRecordingLog()
  const journal = openTestJournal(folder.path, { log, write })
  await journal.append('intent', usageIntent())
  const { bytes } = journal.stats()

  full = true
  const refused = await Promise.allSettled([
    journal.append('intent', usageIntent()),
    journal.append('intent', usageIntent()),
  ])
  expect(refused.map((result) => result.status)).toEqual(['rejected', 'rejected'])
  expect(refused[0]).toMatchObject({ reason: expect.any(GatewayError) })
  expect(statSync(join(folder.path, '000000000001.journal')).size).toBe(bytes)
  expect(journal.stats()).toMatchObject({
    state: 'refusing',
    open: 1,
    bytes,
    lastError: expect.stringContaining('ENOSPC'),
  })
  expect(log.lines.filter((line) => line.level === 'error')).toHaveLength(1)

  full = false
  await journal.append('intent', usageIntent())
  expect(journal.stats()).toMatchObject({ state: 'ok', open: 2 })
  await journal.close()
})

test('with a full disk, calls go on while the database takes usage, and what was held goes to disk later', async () => {
  using folder = temporaryFolder()
  let full = true
  const write = ((...args: Parameters<typeof writeSync>) => (full ? noSpace() : writeSync(...args))) as typeof writeSync
  let healthy = true
  const journal = openTestJournal(folder.path, { write, settings: { diskRetryMs: 0 } })
  journal.attach({ appended: () => {}, healthy: () => healthy })
  const intent = usageIntent()

  await journal.append('intent', intent)
  expect(journal.stats()).toMatchObject({ state: 'memory', open: 1 })

  healthy = false
  await expect(journal.append('intent', usageIntent())).rejects.toEqual(refusal)
  await journal.append('end', usageEnd(intent)) // it has nowhere else to go
  expect(journal.stats()).toMatchObject({ state: 'refusing', open: 0, pendingRecords: 1 })

  full = false
  await journal.append('intent', usageIntent())
  expect(journal.stats()).toMatchObject({ state: 'ok', open: 1 })
  const onDisk = segmentFiles(folder.path).map((name) => statSync(join(folder.path, name)).size)
  expect(onDisk.reduce((sum, size) => sum + size, 0)).toBe(journal.stats().bytes)
  await journal.close()
})

test('what is held in memory has a bound, ends included', async () => {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path, {
    write: noSpace,
    settings: { memoryBytesMax: 3_000, diskRetryMs: 0 },
  })
  journal.attach({ appended: () => {}, healthy: () => true })
  await journal.append('end', usageEnd(usageIntent()))
  await journal.append('end', usageEnd(usageIntent()))

  await expect(journal.append('end', usageEnd(usageIntent()))).rejects.toEqual(refusal)
  expect(journal.stats().pendingRecords).toBe(2)
  await journal.close()
})

test('a position on disk that makes no sense is not believed', async () => {
  using folder = temporaryFolder()
  const first = openTestJournal(folder.path)
  await first.append('end', usageEnd(usageIntent()))
  await first.close()
  for (const text of ['', '1 999 1\n', '9 0', 'x'.repeat(100)]) {
    writeFileSync(join(folder.path, 'applied.position'), text)
    expect(openJournalFolder(folder.path).inherited.map((segment) => segment.appliedBytes)).toEqual([0])
  }
})
