import {
  closeSync,
  constants,
  existsSync,
  fsync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs'
import { rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'

/** A file of frames, or the bytes of one while the disk takes none. Segments are ordered by their sequence number. */
export interface Segment {
  readonly sequence: number
  path: string
  /** How many bytes hold frames; what a failed write left behind them is not part of the segment. */
  bytes: number
  /** Everything before this offset is in the database. */
  appliedBytes: number
  /** The frames, while they could not be written to the file. */
  memory: Buffer | undefined
  /** When its first frame was written, as far as known, in milliseconds since the epoch. */
  startedAtMs: number
  /** Left by an earlier run. */
  readonly inherited: boolean
  /** Holds something that must not be deleted: it moves to `kept/` instead, and every start looks at it again. */
  keep: boolean
}

export interface JournalPosition {
  sequence: number
  offset: number
}

/** The files of one journal. One process owns the folder; the lock on the data folder sees to that. */
export interface JournalFolder {
  readonly path: string
  /** What earlier runs left, oldest first. */
  readonly inherited: readonly Segment[]
  newSegment(startedAtMs: number): Segment
  /** Remembers what is in the database, so that a start does not send it again. Losing it costs time, not correctness. */
  saveApplied(position: JournalPosition): void
  /** Deletes a segment, or moves it to `kept/` when something in it must stay. */
  retire(segment: Segment): Promise<void>
  /**
   * Stores bytes that could not be applied: `damaged` for a person to look at, `refused` (whole frames) to be tried again
   * at the next start. Setting the same bytes aside again changes nothing.
   */
  setAside(reason: SetAsideReason, position: JournalPosition, bytes: Buffer): Promise<void>
  /** Makes the names of new segments survive a power failure. */
  syncNames(): Promise<void>
  close(): void
}

export type SetAsideReason = 'damaged' | 'refused'

const segmentName = /^(\d{12})\.journal$/
const positionFile = 'applied.position'

/** Opens the folder, made if need be. @throws the file system's error: without a journal there is no accounting */
export function openJournalFolder(path: string): JournalFolder {
  for (const name of ['damaged', 'refused', 'kept']) mkdirSync(join(path, name), { recursive: true, mode: 0o700 })
  requeueRefused(path)
  const position = readPosition(join(path, positionFile))
  const positionFd = openSync(join(path, positionFile), constants.O_RDWR | constants.O_CREAT, 0o600)
  const folderFd = openSync(path, 'r')
  const inherited = [
    ...listSegments(path).map(({ sequence, file }) => inheritedSegment(sequence, file, position)),
    ...listSegments(join(path, 'kept')).map(({ sequence, file }) => inheritedSegment(sequence, file, undefined)),
  ].sort((a, b) => a.sequence - b.sequence)
  let positionSaved = position?.sequence ?? 0
  let sequenceNext = lastSequence(path) + 1

  return {
    path,
    inherited,
    newSegment(startedAtMs) {
      const sequence = sequenceNext++
      return {
        sequence,
        path: segmentPath(path, sequence),
        bytes: 0,
        appliedBytes: 0,
        memory: undefined,
        startedAtMs,
        inherited: false,
        keep: false,
      }
    },
    saveApplied({ sequence, offset }) {
      if (sequence < positionSaved) return // a kept segment, looked at again
      positionSaved = sequence
      const text = `${sequence} ${offset}`
      const line = `${text} ${crc32(text)}`.padEnd(60)
      writeSync(positionFd, `${line}\n`, 0)
    },
    async retire(segment) {
      // A segment that was never written to has no file.
      if (!segment.keep) return unlinkIfThere(segment.path)
      const kept = segmentPath(join(path, 'kept'), segment.sequence)
      if (kept !== segment.path) await rename(segment.path, kept)
    },
    async setAside(reason, { sequence, offset }, bytes) {
      // Named after place and content, so that every replay of the same damage ends in the same file.
      const name = `${sequence}-${offset}-${crc32(bytes).toString(16)}.frames`
      await writeFile(join(path, reason, name), bytes, { mode: 0o600 })
    },
    syncNames: () => promisify(fsync)(folderFd),
    close() {
      closeSync(positionFd)
      closeSync(folderFd)
    },
  }
}

/**
 * Moves the segments of a folder that nobody owns any more (a worker that is no longer started) behind those of
 * another. Call it before that folder is opened. A crash half way leaves the rest where it was, still in order: the
 * next start goes on, and recovers only then.
 */
export async function adoptSegments(from: string, into: string): Promise<void> {
  if (existsSync(join(from, 'refused'))) requeueRefused(from)
  mkdirSync(into, { recursive: true, mode: 0o700 })
  let sequence = lastSequence(into)
  const orphaned = [...listSegments(from), ...listSegments(join(from, 'kept'))].sort((a, b) => a.sequence - b.sequence)
  for (const { file } of orphaned) await rename(file, segmentPath(into, ++sequence))
}

/** What the database refused becomes segments again: what was wrong (a schema behind its release) may be right by now. */
function requeueRefused(path: string): void {
  let sequence = lastSequence(path)
  for (const name of readdirSync(join(path, 'refused')).sort()) {
    renameSync(join(path, 'refused', name), segmentPath(path, ++sequence))
  }
}

function lastSequence(path: string): number {
  const position = readPosition(join(path, positionFile))
  const segments = [...listSegments(path), ...listSegments(join(path, 'kept'))]
  return segments.reduce((last, { sequence }) => Math.max(last, sequence), position?.sequence ?? 0)
}

function inheritedSegment(sequence: number, path: string, position: JournalPosition | undefined): Segment {
  const { size, birthtimeMs } = statSync(path)
  let appliedBytes = 0
  if (position && sequence < position.sequence) appliedBytes = size
  else if (position && sequence === position.sequence) appliedBytes = Math.min(size, position.offset)
  return {
    sequence,
    path,
    bytes: size,
    appliedBytes,
    memory: undefined,
    startedAtMs: birthtimeMs,
    inherited: true,
    keep: false,
  }
}

function segmentPath(folder: string, sequence: number): string {
  return join(folder, `${String(sequence).padStart(12, '0')}.journal`)
}

function listSegments(folder: string): { sequence: number; file: string }[] {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch {
    return [] // not there yet
  }
  return names.flatMap((name) => {
    const match = segmentName.exec(name)
    return match ? [{ sequence: Number(match[1]), file: join(folder, name) }] : []
  })
}

function readPosition(file: string): JournalPosition | undefined {
  let line: string
  try {
    line = readFileSync(file, 'latin1')
  } catch {
    return undefined
  }
  const match = /^((\d+) (\d+)) (\d+) *\n/.exec(line)
  if (!match || crc32(match[1] as string) !== Number(match[4])) return undefined
  return { sequence: Number(match[2]), offset: Number(match[3]) }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
