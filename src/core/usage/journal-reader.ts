import { type FileHandle, open } from 'node:fs/promises'
import type { Segment } from './journal-folder.ts'
import { checkFrame, findFrame, frameBytes } from './journal-frame.ts'

/**
 * What a read found. `frames`: whole frames with good checksums, back to back in `bytes[start, end)`, to be walked with
 * `frameBytes`; valid until the next read. `damaged`: bytes that are no frame, with good ones or other data behind.
 * `torn`: the tail of a write that never finished; nobody was told that it had.
 */
export type JournalRun =
  | { type: 'frames'; bytes: Buffer; start: number; end: number; offset: number }
  | { type: 'damaged'; bytes: Buffer; offset: number }
  | { type: 'torn'; bytes: Buffer; offset: number }

export interface SegmentReader {
  readonly segment: Segment
  /**
   * The next run at or behind the reader's offset.
   *
   * @returns undefined at the end of what has been written so far; more may come while the segment is written to
   * @throws the file system's error; the same read may then be tried again
   */
  read(): Promise<JournalRun | undefined>
  close(): Promise<void>
}

const blockBytes = 256 * 1024

/** Reads a segment from `offset`, block by block, up to its good bytes. */
export function createSegmentReader(segment: Segment, offset: number): SegmentReader {
  let file: FileHandle | undefined
  let block = Buffer.allocUnsafeSlow(blockBytes)
  /** Where in the segment `block[0]` is, and how much of the block is filled and already handed out. */
  let blockOffset = offset
  let filled = 0
  let taken = 0

  async function read(): Promise<JournalRun | undefined> {
    for (;;) {
      discardTaken()
      const limit = segment.bytes
      await fillBlock(limit)
      if (filled === 0) return undefined
      const end = endOfFrames()
      if (end > 0) {
        taken = end
        return { type: 'frames', bytes: block, start: 0, end, offset: blockOffset }
      }
      const whole = blockOffset + filled >= limit
      if (whole || checkFrame(block, 0, filled) === 'bad') return skipDamage(limit)
      block = Buffer.concat([block], block.length * 2) // one frame longer than the block
    }
  }

  function discardTaken(): void {
    if (taken === 0) return
    block.copyWithin(0, taken, filled)
    blockOffset += taken
    filled -= taken
    taken = 0
  }

  async function fillBlock(limit: number): Promise<void> {
    while (filled < block.length && blockOffset + filled < limit) {
      const wanted = Math.min(block.length - filled, limit - blockOffset - filled)
      const got = await readAt(block, filled, wanted, blockOffset + filled)
      if (got === 0) throw new Error(`A usage journal segment is shorter than it was: ${segment.path}`)
      filled += got
    }
  }

  async function readAt(into: Buffer, at: number, length: number, position: number): Promise<number> {
    if (segment.memory) return segment.memory.copy(into, at, position, position + length)
    file ??= await open(segment.path, 'r')
    return (await file.read(into, at, length, position)).bytesRead
  }

  function endOfFrames(): number {
    let at = 0
    for (;;) {
      const check = checkFrame(block, at, filled)
      if (check === 'bad' || check === 'cut') return at
      at += frameBytes(block, at)
    }
  }

  /** Finds the next frame behind bytes that are none. Rare, so it may hold the rest of the segment in memory. */
  async function skipDamage(limit: number): Promise<JournalRun> {
    const from = blockOffset
    const rest = Buffer.alloc(limit - from)
    for (let at = 0; at < rest.length; ) {
      const got = await readAt(rest, at, rest.length - at, from + at)
      if (got === 0) throw new Error(`A usage journal segment is shorter than it was: ${segment.path}`)
      at += got
    }
    const next = findFrame(rest, 1, rest.length)
    blockOffset = from + (next ?? rest.length)
    filled = 0
    const bytes = rest.subarray(0, next ?? rest.length)
    // A write cut short leaves the start of a frame, or zeros where the file grew before its data arrived.
    const torn = next === undefined && (checkFrame(rest, 0, rest.length) === 'cut' || rest.every((byte) => byte === 0))
    return { type: torn ? 'torn' : 'damaged', bytes, offset: from }
  }

  return {
    segment,
    read,
    async close() {
      await file?.close()
      file = undefined
    },
  }
}
