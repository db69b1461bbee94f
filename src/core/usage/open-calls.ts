import type { UsageIntent } from './usage-record.ts'

/** A call that began and has not ended. */
export interface OpenCall {
  intent: UsageIntent
  /** The intent as it was journaled. */
  text: string
  /** Of the segment that holds the intent. */
  sequence: number
}

/**
 * Calls by request id, and by the segment that holds their intents.
 *
 * Not a Map: one with this much coming and going is made anew every few dozen deletions, and each dead table keeps the
 * next one alive, with all it held, until a full garbage collection. Under load that made a tenth of all memory of
 * requests outlive them. Here calls stand in small arrays that are never replaced.
 */
export interface OpenCalls {
  readonly size: number
  get(requestId: string): OpenCall | undefined
  /** Replaces a call of the same id. */
  set(call: OpenCall): void
  delete(requestId: string): void
  /** Of one segment, in no order. */
  of(sequence: number): OpenCall[]
  has(sequence: number): boolean
}

const buckets = 4_096

export function createOpenCalls(): OpenCalls {
  const table: OpenCall[][] = Array.from({ length: buckets }, () => [])
  /** Few, and they come and go with segments. */
  const countBySequence = new Map<number, number>()
  let size = 0

  const count = (sequence: number, change: number): void => {
    const next = (countBySequence.get(sequence) ?? 0) + change
    if (next === 0) countBySequence.delete(sequence)
    else countBySequence.set(sequence, next)
    size += change
  }
  const remove = (requestId: string): void => {
    const bucket = bucketOf(table, requestId)
    for (let at = 0; at < bucket.length; at++) {
      const call = bucket[at] as OpenCall
      if (call.intent.request_id !== requestId) continue
      const last = bucket.pop() as OpenCall
      if (last !== call) bucket[at] = last
      count(call.sequence, -1)
      return
    }
  }

  return {
    get size() {
      return size
    },
    get: (requestId) => bucketOf(table, requestId).find(({ intent }) => intent.request_id === requestId),
    set(call) {
      remove(call.intent.request_id)
      bucketOf(table, call.intent.request_id).push(call)
      count(call.sequence, 1)
    },
    delete: remove,
    of: (sequence) => table.flatMap((bucket) => bucket.filter((call) => call.sequence === sequence)),
    has: (sequence) => countBySequence.has(sequence),
  }
}

/** The last three digits of a request id are random; of hexadecimal ones these bits are the value. */
function bucketOf(table: readonly OpenCall[][], requestId: string): OpenCall[] {
  const end = requestId.length
  const at =
    (hexValue(requestId.charCodeAt(end - 3)) << 8) |
    (hexValue(requestId.charCodeAt(end - 2)) << 4) |
    hexValue(requestId.charCodeAt(end - 1))
  return table[at] as OpenCall[]
}

/** Of any character some number below 16. */
const hexValue = (code: number): number => ((code & 0xf) + (code > 0x39 ? 9 : 0)) & 0xf
