import type { Segment } from './journal-folder.ts'
import { frameBytes, framePayloadOffset, frameRequestId } from './journal-frame.ts'

export interface RecordPosition {
  segment: Segment
  offset: number
}

/**
 * End records on their way to the database, as the JSON array that the statement takes: payloads are copied out of
 * their frames and never parsed. Reused from batch to batch.
 */
export interface UsageBatch {
  readonly size: number
  /** Takes the record of the frame at `at`; a request id that the batch already has is left out. */
  add(bytes: Buffer, at: number, position: RecordPosition): void
  /** Records `from` up to `to` as a JSON array. Valid until the next `add` or `clear`. */
  json(from: number, to: number): Buffer
  /** One record's own text, and where it came from. */
  record(index: number): { text: string; position: RecordPosition }
  clear(): void
}

const comma = 0x2c
const bracketOpen = 0x5b
const bracketClose = 0x5d

export function createUsageBatch(): UsageBatch {
  let bytes = Buffer.alloc(1 << 20)
  let length = 0
  const starts: number[] = []
  const positions: RecordPosition[] = []
  const requestIds = new Set<string>()

  function end(index: number): number {
    return index + 1 < starts.length ? (starts[index + 1] as number) - 1 : length
  }

  return {
    get size() {
      return starts.length
    },
    add(frame, at, position) {
      const requestId = frameRequestId(frame, at)
      // The statement must not meet the same row twice; the first end of a call is the one that counts.
      if (requestIds.has(requestId)) return
      requestIds.add(requestId)
      const payloadEnd = at + frameBytes(frame, at)
      const payloadBytes = payloadEnd - at - framePayloadOffset
      // One byte before each record for the bracket or comma, one behind the last for the bracket that closes.
      if (length + payloadBytes + 2 > bytes.length) bytes = Buffer.concat([bytes], 2 * (bytes.length + payloadBytes))
      bytes[length] = comma
      starts.push(length + 1)
      positions.push(position)
      length += 1 + frame.copy(bytes, length + 1, at + framePayloadOffset, payloadEnd)
    },
    json(from, to) {
      const first = (starts[from] as number) - 1
      const last = end(to - 1)
      // A part of the batch needs its own brackets, where the whole one keeps its commas.
      const array =
        from === 0 && to === starts.length
          ? bytes.subarray(first, last + 1)
          : Buffer.from(bytes.subarray(first, last + 1))
      array[0] = bracketOpen
      array[array.length - 1] = bracketClose
      return array
    },
    record: (index) => ({
      text: bytes.toString('utf8', starts[index], end(index)),
      position: positions[index] as RecordPosition,
    }),
    clear() {
      length = 0
      starts.length = 0
      positions.length = 0
      requestIds.clear()
    },
  }
}
