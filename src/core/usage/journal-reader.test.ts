import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openTestJournal, temporaryFolder } from '../../../test/support/usage-journal.ts'
import { usageEnd, usageIntent } from '../../../test/support/usage-records.ts'
import type { Segment } from './journal-folder.ts'
import { frameBytes, frameRequestId } from './journal-frame.ts'
import { createSegmentReader } from './journal-reader.ts'

interface WrittenSegment {
  bytes: Buffer
  frames: { start: number; end: number; requestId: string }[]
}

/** A segment as the journal writes it, one end of the given size after the other. */
async function writtenSegment(userLengths: readonly number[]): Promise<WrittenSegment> {
  using folder = temporaryFolder()
  const journal = openTestJournal(folder.path)
  const ends = userLengths.map((length) => usageEnd(usageIntent({ end_user: 'ü'.repeat(length) })))
  await Promise.all(ends.map((end) => journal.append('end', end)))
  await journal.close()
  const bytes = readFileSync(join(folder.path, '000000000001.journal'))
  const frames: WrittenSegment['frames'] = []
  for (let start = 0; start < bytes.length; ) {
    const end = start + frameBytes(bytes, start)
    frames.push({ start, end, requestId: frameRequestId(bytes, start) })
    start = end
  }
  return { bytes, frames }
}

function inMemory(bytes: Buffer): Segment {
  return {
    sequence: 1,
    path: 'not a file',
    bytes: bytes.length,
    appliedBytes: 0,
    memory: bytes,
    startedAtMs: 0,
    inherited: true,
    keep: false,
  }
}

async function readAll(segment: Segment) {
  const reader = createSegmentReader(segment, 0)
  const requestIds: string[] = []
  const others: { type: string; offset: number; length: number }[] = []
  for (;;) {
    const run = await reader.read()
    if (!run) break
    if (run.type !== 'frames') {
      others.push({ type: run.type, offset: run.offset, length: run.bytes.length })
      continue
    }
    for (let at = run.start; at < run.end; at += frameBytes(run.bytes, at))
      requestIds.push(frameRequestId(run.bytes, at))
  }
  await reader.close()
  return { requestIds, others }
}

test('cut at any byte, exactly the frames before the cut are read, and the rest is torn, not damaged', async () => {
  const { bytes, frames } = await writtenSegment([0, 3, 10])

  for (let cut = 0; cut <= bytes.length; cut++) {
    const { requestIds, others } = await readAll(inMemory(bytes.subarray(0, cut)))

    const whole = frames.filter((frame) => frame.end <= cut)
    expect(requestIds).toEqual(whole.map((frame) => frame.requestId))
    const left = cut - (whole.at(-1)?.end ?? 0)
    expect(others).toEqual(left === 0 ? [] : [{ type: 'torn', offset: cut - left, length: left }])
  }
})

test('with any byte changed, every other frame is read and all that is not is reported', async () => {
  const { bytes, frames } = await writtenSegment([0, 400, 3])

  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] as number) ^ flip
      const { requestIds, others } = await readAll(inMemory(damaged))

      const hit = frames.find((frame) => at >= frame.start && at < frame.end)
      expect(requestIds).toEqual(frames.filter((frame) => frame !== hit).map((frame) => frame.requestId))
      expect(others).toEqual([
        { type: expect.any(String), offset: hit?.start, length: (hit?.end ?? 0) - (hit?.start ?? 0) },
      ])
      if (hit !== frames.at(-1)) expect(others[0]?.type).toBe('damaged')
    }),
    { numRuns: 500 },
  )
})

test('several changed bytes lose at most the frames they lie in', async () => {
  const { bytes, frames } = await writtenSegment([0, 90, 3, 0, 200, 0])

  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(bytes.length - 1), { minLength: 1, maxLength: 4 }), async (offsets) => {
      const damaged = Buffer.from(bytes)
      for (const at of offsets) damaged[at] = (damaged[at] as number) ^ 0xff
      const { requestIds } = await readAll(inMemory(damaged))

      const whole = frames.filter((frame) => !offsets.some((at) => at >= frame.start && at < frame.end))
      expect(requestIds).toEqual(whole.map((frame) => frame.requestId))
    }),
    { numRuns: 300 },
  )
})

test('zeros where a file grew before its data arrived are a torn tail', async () => {
  const { bytes, frames } = await writtenSegment([0])
  const { requestIds, others } = await readAll(inMemory(Buffer.concat([bytes, Buffer.alloc(5_000)])))

  expect(requestIds).toEqual([frames[0]?.requestId])
  expect(others).toEqual([{ type: 'torn', offset: bytes.length, length: 5_000 }])
})

test('frames longer than a block, and cut by its end, are read from a file', async () => {
  const { bytes, frames } = await writtenSegment([100_000, 10, 160_000, ...Array.from({ length: 300 }, () => 50)])
  using folder = temporaryFolder()
  const path = join(folder.path, 'segment')
  writeFileSync(path, bytes)

  const { requestIds, others } = await readAll({ ...inMemory(bytes), path, memory: undefined })

  expect(bytes.length).toBeGreaterThan(600_000)
  expect(requestIds).toEqual(frames.map((frame) => frame.requestId))
  expect(others).toEqual([])
})
