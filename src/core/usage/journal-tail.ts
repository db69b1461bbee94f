import type { Log } from '../log.ts'
import type { Journal } from './journal.ts'
import type { Segment } from './journal-folder.ts'
import { frameBytes, frameKind } from './journal-frame.ts'
import { createSegmentReader, type JournalRun, type SegmentReader } from './journal-reader.ts'
import type { UsageBatch } from './usage-batch.ts'

/** Follows a journal from what is not applied yet to what is being written. */
export interface JournalTail {
  /**
   * Adds end records to the batch until it has `rowsMax` more, or the segment ends, or nothing more is written.
   * What cannot be read is set aside on the way.
   *
   * @returns how far that was; undefined when there was nothing new
   * @throws the file system's error; the next call goes on where this one stopped
   */
  collect(batch: UsageBatch, rowsMax: number): Promise<Collected | undefined>
  /** Whether everything written so far was collected. */
  atEnd(): boolean
  readonly segment: Segment
  damaged(): number
  close(): Promise<void>
}

export interface Collected {
  segment: Segment
  /** Everything of the segment before this was collected. */
  offset: number
  /** End records up to there, since the last call. */
  rows: number
}

export function createJournalTail({ journal, log }: { journal: Journal; log: Log }): JournalTail {
  let reader = readerOf(journal.segments[0] as Segment) // a journal always has the segment it writes to
  let run: Extract<JournalRun, { type: 'frames' }> | undefined
  let at = 0
  let offset = reader.segment.appliedBytes
  // Kept across calls, so that a failed read loses nothing that was collected before it.
  let rows = 0
  let moved = false
  let damaged = 0
  let readFailures = 0

  async function collect(batch: UsageBatch, rowsMax: number): Promise<Collected | undefined> {
    for (;;) {
      run ??= await nextRun()
      if (!run) {
        if (moved) return collected()
        if (!(await nextSegment())) return undefined
        continue
      }
      if (!takeFrames(run, batch, rowsMax)) return collected()
      run = undefined
    }
  }

  async function nextRun(): Promise<typeof run> {
    for (;;) {
      const found = await readOrSkip()
      if (!found) return undefined
      moved = true
      if (found.type === 'frames') {
        at = found.start
        return found
      }
      offset = found.offset + found.bytes.length
      await dropRun(found.type, found.bytes, found.offset)
    }
  }

  /** A segment that cannot be read, time after time, must not hold up all that come after it. */
  async function readOrSkip(): Promise<JournalRun | undefined> {
    const { segment } = reader
    try {
      const found = await reader.read()
      readFailures = 0
      return found
    } catch (error) {
      if (++readFailures < readFailuresMax) throw error
      readFailures = 0
      segment.keep = true
      damaged++
      log.error(
        { err: error, segment: segment.path },
        'A usage journal segment cannot be read; it is kept and skipped.',
      )
      await reader.close()
      offset = segment.bytes
      reader = createSegmentReader(segment, offset)
      moved = true
      return undefined
    }
  }

  /** @returns false when the batch was full before the run ended */
  function takeFrames(frames: NonNullable<typeof run>, batch: UsageBatch, rowsMax: number): boolean {
    const { segment } = reader
    while (at < frames.end) {
      const kind = frameKind(frames.bytes, at)
      const start = frames.offset + at - frames.start
      if (kind === 'end') {
        if (rows >= rowsMax) return false
        batch.add(frames.bytes, at, { segment, offset: start })
        rows++
      } else if (kind === 'unknown') keepUnknown(segment)
      at += frameBytes(frames.bytes, at)
      offset = frames.offset + at - frames.start
    }
    return true
  }

  function keepUnknown(segment: Segment): void {
    if (segment.keep) return
    segment.keep = true
    log.error({ segment: segment.path }, 'A usage journal segment has records of a newer release; it is kept for that.')
  }

  async function dropRun(type: 'damaged' | 'torn', bytes: Buffer, from: number): Promise<void> {
    const { segment } = reader
    const fields = { segment: segment.path, offset: from, bytes: bytes.length }
    if (type === 'torn') {
      log.warn(fields, 'The usage journal ends in a write that was never finished.')
      return
    }
    damaged++
    log.error(fields, 'Part of the usage journal is damaged and was set aside; calls in it may be missing.')
    try {
      await journal.setAside('damaged', { sequence: segment.sequence, offset: from }, bytes)
    } catch (error) {
      segment.keep = true
      log.error({ ...fields, err: error }, 'The damaged part could not be set aside; its segment is kept.')
    }
  }

  function collected(): Collected {
    const result = { segment: reader.segment, offset, rows }
    rows = 0
    moved = false
    return result
  }

  function following(): Segment | undefined {
    // A segment that is gone was the oldest, so what follows it is the oldest now.
    return journal.segments[journal.segments.indexOf(reader.segment) + 1]
  }

  async function nextSegment(): Promise<boolean> {
    const next = following()
    // It may have been written to once more between the read and the start of the next one.
    if (!next || offset < reader.segment.bytes) return false
    await reader.close()
    reader = readerOf(next)
    offset = next.appliedBytes
    return true
  }

  return {
    collect,
    atEnd: () => !moved && !run && offset >= reader.segment.bytes && !following(),
    get segment() {
      return reader.segment
    },
    damaged: () => damaged,
    close: () => reader.close(),
  }
}

const readFailuresMax = 5

function readerOf(segment: Segment): SegmentReader {
  return createSegmentReader(segment, segment.appliedBytes)
}
