import type { writeSync } from 'node:fs'
import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Log } from '../log.ts'
import { endAddition } from './end-addition.ts'
import { intentText } from './intent-text.ts'
import type { JournalFolder, Segment } from './journal-folder.ts'
import { type FrameKind, frameBytes, frameBytesBound, frameKind, journalText, writeFrame } from './journal-frame.ts'
import { createOpenCalls } from './open-calls.ts'
import { createSegmentFiles } from './segment-files.ts'
import type { UsageEnd, UsageIntent } from './usage-record.ts'

/**
 * The local journal of what calls began and how they ended: the first place usage is written to, and what a crash
 * leaves behind. Segments are files in one folder that hold a contiguous end of the log: only the oldest is ever
 * deleted, once all of it is in the database and no call that began in it is still running. Hence an intent on disk
 * without an end on disk is a call that never ended, and recovery needs to ask nobody.
 */
export interface Journal {
  /**
   * Resolves once the record was handed to the operating system, where it survives the death of this process.
   * Records of one turn of the event loop are written together.
   *
   * @throws GatewayError `usage_spool_full` (as a rejection) when an intent cannot be taken: the call must not be
   * dispatched. An end is refused only when neither disk nor memory has room for it: the call then ends as an orphan.
   */
  append(kind: 'intent', record: UsageIntent): Promise<void>
  append(kind: 'end', record: UsageEnd): Promise<void>
  /** Oldest first; the last one is being written. The same array for the life of the journal. */
  readonly segments: readonly Segment[]
  /** The one that moves records to the database; it is asked and told below. */
  attach(consumer: JournalConsumer): void
  /** Everything before `offset` of this segment is in the database; `rows` end records are done with since the last report. */
  applied(segment: Segment, offset: number, rows: number): void
  /** Recovery has appended an end for every intent that earlier runs left open; it found `rows` ends to be applied. */
  recovered(rows: number): void
  setAside: JournalFolder['setAside']
  /** Writes what is gathered, at once. */
  flush(): void
  stats(): JournalStats
  /** Writes and syncs everything, and deletes what is in the database. Appending afterwards is a bug. */
  close(): Promise<void>
}

export interface JournalConsumer {
  /** Records were written. Called once per write, also when there were only intents. */
  appended(pendingRecords: number): void
  /** Whether the database takes records at present: then a full disk need not stop the gateway. */
  healthy(): boolean
}

export interface JournalStats {
  /** `memory`: the disk takes nothing and the database does; `refusing`: neither, or the spool is full. */
  state: 'ok' | 'memory' | 'refusing'
  appendedIntents: number
  appendedEnds: number
  /** Calls that began and have not ended. */
  open: number
  /** End records that are not in the database. */
  pendingRecords: number
  /** Bytes in all segments, those included that wait for a running call. */
  bytes: number
  /** The fuller of the two caps, 1 being full. */
  fill: number
  segments: number
  lastError: string | undefined
}

export interface JournalSettings {
  segmentBytes: number
  syncDelayMs: number
  spoolBytesMax: number
  spoolRecordsMax: number
  /** What is kept in memory while the disk takes nothing. */
  memoryBytesMax: number
  /** How many applied segments may wait for calls that began in them before those calls' intents are copied on. */
  retainedSegmentsMax: number
  /** Between attempts to go back to the disk. */
  diskRetryMs: number
}

export const journalDefaults: JournalSettings = {
  segmentBytes: 8 << 20,
  syncDelayMs: 50,
  spoolBytesMax: 1 << 30,
  spoolRecordsMax: 1_000_000,
  memoryBytesMax: 16 << 20,
  retainedSegmentsMax: 8,
  diskRetryMs: 1_000,
}

export interface JournalDeps {
  folder: JournalFolder
  clock: Clock
  log: Log
  settings?: Partial<JournalSettings> | undefined
  /** How bytes reach a file; tests give one that fails. */
  write?: typeof writeSync
}

const batchBytes = 1 << 20
const memorySegmentBytes = 1 << 20
const warnFill = 0.8

/** What is written at once. */
interface Batch {
  bytes: number
  intents: { intent: UsageIntent; text: string }[]
  endedIds: string[]
  intentsWritten: PromiseWithResolvers<void> | undefined
  endsWritten: PromiseWithResolvers<void> | undefined
}

export function createJournal({ folder, clock, log, settings, write: writeBytes }: JournalDeps): Journal {
  const limits = { ...journalDefaults, ...settings }
  const segments: Segment[] = [...folder.inherited]
  const openCalls = createOpenCalls()
  const files = createSegmentFiles({ folder, log, syncDelayMs: limits.syncDelayMs, write: writeBytes })
  let live = startSegment()
  let consumer: JournalConsumer | undefined
  let recovering = folder.inherited.length > 0

  // What is gathered in this turn of the event loop.
  let buffer = Buffer.allocUnsafeSlow(batchBytes)
  let gathered = 0
  let intents: Batch['intents'] = []
  let endedIds: string[] = []
  let intentsWritten: PromiseWithResolvers<void> | undefined
  let endsWritten: PromiseWithResolvers<void> | undefined
  let scheduled = false

  let appendedIntents = 0
  let appendedEnds = 0
  let pendingRecords = 0
  let totalBytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
  let state: JournalStats['state'] = 'ok'
  let lastError: string | undefined
  let warned = false
  let diskTriedMs = 0
  let closed = false
  let retiring: Promise<void> | undefined

  function append(kind: FrameKind, record: UsageIntent | UsageEnd): Promise<void> {
    if (closed) return refused('The usage journal is closed.')
    if (kind === 'intent' && fill() >= 1) return refused('The usage spool is full.')
    try {
      // The overloads of `append` tie the record's type to the kind.
      return kind === 'intent'
        ? appendIntent(record as UsageIntent, intentText(record as UsageIntent))
        : appendEnd(record as UsageEnd)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  function appendIntent(intent: UsageIntent, text: string): Promise<void> {
    write('intent', text)
    intents.push({ intent, text })
    intentsWritten ??= handled()
    return intentsWritten.promise
  }

  function appendEnd(end: UsageEnd): Promise<void> {
    const call = openCalls.get(end.request_id)
    const addition = call && endAddition(end, call.intent)
    if (addition === undefined) write('end', journalText(end))
    else write('end', call?.text ?? '', addition)
    endedIds.push(end.request_id)
    endsWritten ??= handled()
    return endsWritten.promise
  }

  function write(kind: FrameKind, text: string, addition?: string): void {
    const bound = frameBytesBound(text, addition)
    if (gathered + bound > buffer.length) makeRoom(bound)
    gathered = writeFrame(buffer, gathered, kind, text, addition)
    if (scheduled) return
    scheduled = true
    setImmediate(flush)
  }

  function makeRoom(bytes: number): void {
    flush()
    if (bytes > buffer.length) buffer = Buffer.allocUnsafeSlow(bytes)
  }

  function flush(): void {
    scheduled = false
    if (gathered === 0) return
    const batch: Batch = { bytes: gathered, intents, endedIds, intentsWritten, endsWritten }
    gathered = 0
    intents = []
    endedIds = []
    intentsWritten = undefined
    endsWritten = undefined
    const onDisk = !live.memory || returnToDisk()
    if (!onDisk || !tryWrite(live, buffer, batch.bytes)) {
      keepInMemory(batch)
      return
    }
    totalBytes += batch.bytes
    recordIntents(batch.intents)
    recordEnds(batch.endedIds)
    batch.intentsWritten?.resolve()
    batch.endsWritten?.resolve()
    if (live.bytes >= limits.segmentBytes) live = startSegment()
    afterWrite()
  }

  function recordIntents(written: Batch['intents']): void {
    for (const { intent, text } of written) {
      openCalls.set({ intent, text, sequence: live.sequence }) // a copy carried on replaces the one in an older segment
    }
    appendedIntents += written.length
  }

  function recordEnds(ids: readonly string[]): void {
    for (const id of ids) openCalls.delete(id)
    appendedEnds += ids.length
    pendingRecords += ids.length
  }

  function afterWrite(): void {
    if (!warned && fill() >= warnFill) {
      warned = true
      log.error({ pendingRecords, bytes: totalBytes }, 'The usage spool is nearly full: the database takes no records.')
    } else if (warned && fill() < warnFill / 2) warned = false
    consumer?.appended(pendingRecords)
  }

  function tryWrite(segment: Segment, bytes: Buffer, length: number): boolean {
    try {
      files.write(segment, bytes, length)
      if (state !== 'ok') log.warn({ folder: folder.path }, 'The usage journal is written to disk again.')
      state = 'ok'
      return true
    } catch (error) {
      lastError = String(error)
      if (state === 'ok') log.error({ err: error, folder: folder.path }, 'The usage journal cannot be written to disk.')
      return false
    }
  }

  /**
   * The disk takes nothing. An end has nowhere else to go and is kept in memory, where the writer finds it; a call may
   * begin only while the database takes what it will cost.
   */
  function keepInMemory(batch: Batch): void {
    const takeIntents = consumer?.healthy() ?? false
    const frames = takeIntents ? Buffer.from(buffer.subarray(0, batch.bytes)) : endFrames(buffer, batch.bytes)
    const fits = memoryBytes() + frames.length <= limits.memoryBytesMax
    state = takeIntents && fits ? 'memory' : 'refusing'
    if (fits && frames.length > 0) {
      copyToMemory(frames)
      if (takeIntents) recordIntents(batch.intents)
      recordEnds(batch.endedIds)
    }
    const refusal = new GatewayError('usage_spool_full', 'Usage cannot be recorded at present.', {
      retryAfterMs: 1_000,
    })
    settle(batch.intentsWritten, takeIntents && fits, refusal)
    settle(batch.endsWritten, fits, refusal)
    afterWrite()
  }

  function copyToMemory(frames: Buffer): void {
    if (!live.memory || live.bytes + frames.length > live.memory.length) {
      // An untouched segment becomes the memory segment; a file that has frames is left as it is.
      if (live.memory || live.bytes > 0) live = startSegment()
      live.memory = Buffer.alloc(Math.max(memorySegmentBytes, frames.length))
    }
    frames.copy(live.memory, live.bytes)
    live.bytes += frames.length
    totalBytes += frames.length
  }

  function memoryBytes(): number {
    return segments.reduce((sum, segment) => sum + (segment.memory ? segment.bytes : 0), 0)
  }

  /** Writes what is held in memory to its files, in order, once in a while. @returns whether nothing is held any more */
  function returnToDisk(): boolean {
    if (clock.monotonicMs() - diskTriedMs < limits.diskRetryMs) return false
    diskTriedMs = clock.monotonicMs()
    for (const segment of segments) {
      if (!segment.memory) continue
      const { bytes, memory } = segment
      segment.bytes = 0
      if (!tryWrite(segment, memory, bytes)) {
        segment.bytes = bytes
        return false
      }
      segment.memory = undefined
      if (segment !== live) files.seal(segment)
    }
    return true
  }

  function startSegment(): Segment {
    const previous = segments.at(-1)
    if (previous) files.seal(previous)
    const segment = folder.newSegment(clock.nowMs())
    segments.push(segment)
    return segment
  }

  function fill(): number {
    return Math.max(totalBytes / limits.spoolBytesMax, (pendingRecords + openCalls.size) / limits.spoolRecordsMax)
  }

  function applied(segment: Segment, offset: number, rows: number): void {
    segment.appliedBytes = offset
    pendingRecords -= rows
    try {
      folder.saveApplied({ sequence: segment.sequence, offset })
    } catch (error) {
      lastError = String(error) // a start then sends more again, which changes nothing
    }
    if (segments[0] !== live && isApplied(segments[0])) retireSoon()
  }

  function retireSoon(): void {
    retiring ??= retire()
      .catch((error: unknown) => {
        lastError = String(error)
        log.warn({ err: error }, 'A finished usage journal segment could not be deleted yet.')
      })
      .finally(() => {
        retiring = undefined
      })
  }

  /** Deletes the oldest segments, as many as nothing needs any more. */
  async function retire(everything = false): Promise<void> {
    for (;;) {
      const oldest = segments[0]
      if (!oldest || recovering || !isApplied(oldest) || (oldest === live && !everything)) return
      if (openCalls.has(oldest.sequence)) {
        const waiting = segments.findIndex((segment) => !isApplied(segment))
        if (everything || (waiting >= 0 ? waiting : segments.length) <= limits.retainedSegmentsMax) return
        await carryOpenCalls(oldest)
        await files.sync()
      } else if (oldest.inherited) await files.sync() // the ends that recovery appended replace what is deleted now
      await files.release(oldest)
      if (!oldest.memory) await folder.retire(oldest)
      segments.shift()
      totalBytes -= oldest.bytes
    }
  }

  /** Copies the intents of calls that still run to the end of the log, so that one long call does not hold every segment. */
  async function carryOpenCalls(segment: Segment): Promise<void> {
    flush() // an end that is gathered but not written must not find itself before the copy of its intent
    const copies = openCalls.of(segment.sequence).map(({ intent, text }) => appendIntent(intent, text))
    flush()
    await Promise.all(copies)
    appendedIntents -= copies.length
  }

  async function close(): Promise<void> {
    flush()
    closed = true
    diskTriedMs = Number.NEGATIVE_INFINITY
    if (segments.some((segment) => segment.memory && !isApplied(segment)) && !returnToDisk()) {
      log.error(
        { pendingRecords, lastError },
        'Usage that was held in memory could not be written to disk and is lost.',
      )
    }
    await retiring
    await retire(true).catch((error: unknown) => log.warn({ err: error }, 'The usage journal was not tidied up.'))
    await files.close()
    folder.close()
  }

  return {
    append,
    segments,
    attach(attached) {
      consumer = attached
    },
    applied,
    recovered(rows) {
      pendingRecords += rows
      recovering = false
      if (segments[0] !== live && isApplied(segments[0])) retireSoon()
    },
    setAside: folder.setAside,
    flush,
    stats: () => ({
      state: state === 'ok' && fill() >= 1 ? 'refusing' : state,
      appendedIntents,
      appendedEnds,
      open: openCalls.size,
      pendingRecords,
      bytes: totalBytes,
      fill: fill(),
      segments: segments.length,
      lastError: lastError ?? files.lastError(),
    }),
    close,
  }
}

function isApplied(segment: Segment | undefined): boolean {
  return segment !== undefined && segment.appliedBytes >= segment.bytes
}

function endFrames(bytes: Buffer, length: number): Buffer {
  const frames: Buffer[] = []
  for (let offset = 0; offset < length; ) {
    const next = offset + frameBytes(bytes, offset)
    if (frameKind(bytes, offset) === 'end') frames.push(bytes.subarray(offset, next))
    offset = next
  }
  return Buffer.concat(frames)
}

function settle(waiting: PromiseWithResolvers<void> | undefined, taken: boolean, refusal: GatewayError): void {
  if (taken) waiting?.resolve()
  else waiting?.reject(refusal)
}

/** Shared by all appends of a write. Whoever does not wait for it must not bring the process down. */
function handled(): PromiseWithResolvers<void> {
  const waiting = Promise.withResolvers<void>()
  waiting.promise.catch(() => {})
  return waiting
}

function refused(message: string): Promise<never> {
  return Promise.reject(new GatewayError('usage_spool_full', message, { retryAfterMs: 1_000 }))
}
