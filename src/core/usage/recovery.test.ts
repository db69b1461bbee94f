import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRecordingLog, silent } from '../../../test/support/log.ts'
import {
  createMemoryStore,
  openTestJournal,
  startTestRun,
  temporaryFolder,
} from '../../../test/support/usage-journal.ts'
import { usageEnd, usageIntent } from '../../../test/support/usage-records.ts'
import { createDatabaseClock } from '../clock.ts'
import { adoptSegments, type Segment } from './journal-folder.ts'
import { checkFrame, frameBytes, frameRequestId } from './journal-frame.ts'
import { type Recovery, recoverOrphans } from './recovery.ts'
import type { UsageIntent } from './usage-record.ts'

interface FrameOnDisk {
  file: string
  start: number
  end: number
  kind: string
  requestId: string
}

function framesIn(path: string): FrameOnDisk[] {
  return segmentFiles(path).flatMap((file) => {
    const bytes = readFileSync(file)
    const frames: FrameOnDisk[] = []
    for (let start = 0; start < bytes.length; ) {
      const end = start + frameBytes(bytes, start)
      const kind = checkFrame(bytes, start, bytes.length)
      frames.push({ file, start, end, kind, requestId: frameRequestId(bytes, start) })
      start = end
    }
    return frames
  })
}

function segmentFiles(path: string): string[] {
  const names = readdirSync(path).filter((name) => name.endsWith('.journal'))
  return names.sort().map((name) => join(path, name))
}

/** Runs a process on the folder that dies after `batches` statements, the last of which may commit unheard. */
async function crashingRun(path: string, store: ReturnType<typeof createMemoryStore>, batches: number): Promise<void> {
  let left = batches
  const dead = Promise.withResolvers<void>()
  const run = startTestRun(
    path,
    {
      async apply(json) {
        if (left-- <= 0) {
          if (batches % 2 === 1) await store.apply(json)
          dead.resolve()
          return new Promise<never>(() => {}) // the answer never arrives
        }
        return store.apply(json)
      },
    },
    { writer: { batchRows: 3, batchDelayMs: 1 } },
  )
  await Promise.race([dead.promise, run.writer.flush(2_000)])
  await run.end(0)
}

/** What calls do, in any order: negative numbers end the call of that index if it is open. */
async function writeCalls(path: string, script: readonly number[], segmentBytes: number): Promise<UsageIntent[]> {
  const journal = openTestJournal(path, { settings: { segmentBytes } })
  const calls: UsageIntent[] = []
  const open: UsageIntent[] = []
  for (const step of script) {
    const ended = step < 0 ? open.splice(-step % Math.max(1, open.length), 1)[0] : undefined
    if (ended) await journal.append('end', usageEnd(ended))
    else {
      const intent = usageIntent({ end_user: 'u'.repeat(Math.abs(step)) })
      calls.push(intent)
      open.push(intent)
      await journal.append('intent', intent)
    }
  }
  await journal.close()
  return calls
}

const scripts = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 1, maxLength: 30 })
const segmentSizes = fc.constantFrom(1, 2_000, 1 << 20)
const crashes = fc.array(fc.nat(4), { maxLength: 3 })

/** Every intact call exactly once, ended as its end says if that is intact, as an orphan otherwise. */
function expectRows(store: ReturnType<typeof createMemoryStore>, intact: readonly FrameOnDisk[]): void {
  const ended = new Set(intact.filter((frame) => frame.kind === 'end').map((frame) => frame.requestId))
  const known = new Set(intact.map((frame) => frame.requestId))
  expect([...store.rows.keys()].sort()).toEqual([...known].sort())
  for (const row of store.rows.values()) {
    expect([row.request_id, row.state, row.finish]).toEqual(
      ended.has(row.request_id) ? [row.request_id, 'settled', 'stop'] : [row.request_id, 'estimated', 'orphaned'],
    )
  }
}

async function crashAndReplay(path: string, batchesPerRun: readonly number[]) {
  const store = createMemoryStore()
  for (const batches of batchesPerRun) await crashingRun(path, store, batches)
  const last = startTestRun(path, store)
  expect(await last.end()).toBe(0)
  return store
}

test('cut anywhere and replayed any number of times, every call that is whole becomes exactly one row', async () => {
  await fc.assert(
    fc.asyncProperty(
      scripts,
      segmentSizes,
      crashes,
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (script, segmentBytes, runs, part) => {
        using folder = temporaryFolder()
        await writeCalls(folder.path, script, segmentBytes)
        const frames = framesIn(folder.path)
        const last = segmentFiles(folder.path).at(-1) as string
        const cut = Math.floor(part * statSync(last).size)
        truncateSync(last, cut)

        const store = await crashAndReplay(folder.path, runs)

        expectRows(
          store,
          frames.filter((frame) => frame.file !== last || frame.end <= cut),
        )
      },
    ),
    { numRuns: 60 },
  )
}, 30_000)

test('damaged anywhere and replayed any number of times, every frame but the damaged one counts', async () => {
  await fc.assert(
    fc.asyncProperty(
      scripts,
      segmentSizes,
      crashes,
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.integer({ min: 1, max: 255 }),
      async (script, segmentBytes, runs, part, flip) => {
        using folder = temporaryFolder()
        await writeCalls(folder.path, script, segmentBytes)
        const frames = framesIn(folder.path)
        const hit = frames[Math.floor(part * frames.length)] as FrameOnDisk
        const at = hit.start + (Math.floor(part * 7_919) % (hit.end - hit.start))
        const bytes = readFileSync(hit.file)
        bytes[at] = (bytes[at] as number) ^ flip
        writeFileSync(hit.file, bytes)

        const store = await crashAndReplay(folder.path, runs)

        expectRows(
          store,
          frames.filter((frame) => frame !== hit),
        )
      },
    ),
    { numRuns: 60 },
  )
}, 30_000)

/** What recovery finds in a folder; nothing is applied. */
async function recover(path: string): Promise<Recovery> {
  const journal = openTestJournal(path)
  const recovery = await recoverOrphans({ journal, clock: createDatabaseClock(), log: silent })
  await journal.close()
  return recovery
}

test('only calls without an end are orphans, and only until they have been closed once', async () => {
  using folder = temporaryFolder()
  await writeCalls(folder.path, [1, 2, -1, 3], 1)

  expect(await recover(folder.path)).toEqual({ orphans: 2, rows: 1 })
  expect(await recover(folder.path)).toEqual({ orphans: 0, rows: 3 })
})

test('a call that ends while its intent is copied on is no orphan', async () => {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path, { settings: { segmentBytes: 1, retainedSegmentsMax: 0 } })
  const intent = usageIntent()
  await journal.append('intent', intent)
  const [oldest] = journal.segments as [Segment]

  const ended = journal.append('end', usageEnd(intent)) // gathered, not written
  journal.applied(oldest, oldest.bytes, 0) // so that the oldest segment goes, and its calls are copied
  await ended
  await journal.close()

  expect(await recover(folder.path)).toEqual({ orphans: 0, rows: 1 })
})

test('an orphan is charged for its input at the price of its first candidate', async () => {
  using folder = temporaryFolder()
  const [intent] = await writeCalls(folder.path, [1], 1)
  const store = await crashAndReplay(folder.path, [])

  expect(store.rows.get(intent?.request_id as string)).toMatchObject({
    state: 'estimated',
    finish: 'orphaned',
    usage_source: 'estimated',
    units: { input: 1_200 },
    input_tokens: 1_200,
    provider_cost_nano: '180000',
    charged_nano: '180000',
    attempts: [{ attempt_no: 1, billing: 'estimated', cost_nano: '180000' }],
  })
})

test('a call that runs while another run is recovered is no orphan', async () => {
  using folder = temporaryFolder()
  await writeCalls(folder.path, [1, 2], 1)
  const store = createMemoryStore()
  const run = startTestRun(folder.path, store)
  const intent = usageIntent()
  await run.journal.append('intent', intent)
  await run.writer.flush(5_000)
  expect(store.rows.size).toBe(2)

  await run.journal.append('end', usageEnd(intent))
  expect(await run.end()).toBe(0)
  expect(store.rows.get(intent.request_id)?.state).toBe('settled')
})

test('what is applied is not sent again by the next run, and is when the position is lost', async () => {
  using folder = temporaryFolder()
  const store = createMemoryStore()
  const run = startTestRun(folder.path, store)
  const running = usageIntent() // holds the segment
  await run.journal.append('intent', running)
  for (let call = 0; call < 5; call++) await run.journal.append('end', usageEnd(usageIntent()))
  await run.end()
  expect(store.rows.size).toBe(5)
  using copy = temporaryFolder()
  cpSync(folder.path, copy.path, { recursive: true })
  using other = temporaryFolder()
  cpSync(folder.path, other.path, { recursive: true })
  expect(await recover(other.path)).toEqual({ orphans: 1, rows: 0 })

  const next = startTestRun(folder.path, store)
  await next.end()
  expect(next.writer.stats()).toMatchObject({ applied: 1, repeated: 0 })

  writeFileSync(join(copy.path, 'applied.position'), '')
  const lost = startTestRun(copy.path, store)
  await lost.end()
  expect(lost.writer.stats()).toMatchObject({ applied: 0, repeated: 6 })
})

test('damage is set aside with an alert', async () => {
  using folder = temporaryFolder()
  await writeCalls(folder.path, [1, 2, 3], 1 << 20)
  const [file] = segmentFiles(folder.path)
  const fd = openSync(file as string, 'r+')
  writeSync(fd, 'x', 100)
  closeSync(fd)
  const log = createRecordingLog()
  const run = startTestRun(folder.path, createMemoryStore(), { log })
  await run.end()

  expect(run.writer.stats()).toMatchObject({ applied: 2, damaged: 1 })
  expect(log.lines.filter((line) => line.level === 'error')).toHaveLength(1)
  expect(readdirSync(join(folder.path, 'damaged'))).toHaveLength(1)
})

test('frames of a newer release are kept for it, and looked at again by every start', async () => {
  using folder = temporaryFolder()
  await writeCalls(folder.path, [1, -1], 1 << 20)
  const [file] = segmentFiles(folder.path)
  const bytes = readFileSync(file as string)
  const body = Buffer.from([2, 1, ...Buffer.from('of a version to come')])
  const frame = Buffer.alloc(8 + body.length)
  frame.writeUInt32LE(body.length, 0)
  frame.writeUInt32LE(crc32(body), 4)
  body.copy(frame, 8)
  writeFileSync(file as string, Buffer.concat([frame, bytes, frame]))

  for (let start = 0; start < 3; start++) {
    const store = createMemoryStore()
    const run = startTestRun(folder.path, store)
    expect(await run.end()).toBe(0)
    expect(store.rows.size).toBe(1)
    expect(segmentFiles(folder.path)).toEqual([])
    expect(segmentFiles(join(folder.path, 'kept'))).toHaveLength(1)
  }
})

test('what a former worker left is recovered by the one that adopts it, behind its own', async () => {
  using folder = temporaryFolder()
  const ours = join(folder.path, '0')
  const theirs = join(folder.path, '1')
  await writeCalls(ours, [1, -1, 2], 1)
  await writeCalls(theirs, [1, 2, 3, -1], 1)
  // A crash half way through an adoption: the first file has moved.
  renameSync(segmentFiles(theirs)[0] as string, join(ours, '000000000009.journal'))

  await adoptSegments(theirs, ours)
  const store = await crashAndReplay(ours, [])

  expect(segmentFiles(theirs)).toEqual([])
  expect([...store.rows.values()].map((row) => row.state).sort()).toEqual([
    'estimated',
    'estimated',
    'estimated',
    'settled',
    'settled',
  ])
})

test('what the database refused a former worker is tried again by the one that adopts it', async () => {
  using folder = temporaryFolder()
  const ours = join(folder.path, '0')
  const theirs = join(folder.path, '1')
  await writeCalls(theirs, [1, 2], 1 << 20)
  const [segment] = segmentFiles(theirs) as [string]
  renameSync(segment, join(theirs, 'refused', '1-0-abc.frames'))

  await adoptSegments(theirs, ours)
  expect(readdirSync(join(theirs, 'refused'))).toEqual([])
  const store = await crashAndReplay(ours, [])
  expect(store.rows.size).toBe(2)
})
