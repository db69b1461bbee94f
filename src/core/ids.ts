import { randomFillSync } from 'node:crypto'

/** Makes ids; injected, so that tests can predict them. */
export type IdSource = (nowMs: number) => string

const poolBytes = 10 * 1024
const hex: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/**
 * UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then 74 random bits. Rows sort by creation.
 * Random bytes are drawn a kilobyte at a time, since a system call for each id would be the dearest part of making one.
 */
export function createUuidV7Source(): IdSource {
  const pool = Buffer.alloc(poolBytes)
  let next = poolBytes
  // Many ids in a row are of one millisecond when there is much to do.
  let timeMs = Number.NaN
  let time = ''
  return (nowMs) => {
    if (next === poolBytes) {
      randomFillSync(pool)
      next = 0
    }
    const at = next
    next += 10
    if (nowMs !== timeMs) {
      const hexTime = nowMs.toString(16).padStart(12, '0')
      time = `${hexTime.slice(0, 8)}-${hexTime.slice(8)}`
      timeMs = nowMs
    }
    const h = (offset: number): string => hex[pool[at + offset] as number] as string
    const version = hex[((pool[at] as number) & 0x0f) | 0x70]
    const variant = hex[((pool[at + 2] as number) & 0x3f) | 0x80]
    return `${time}-${version}${h(1)}-${variant}${h(3)}-${h(4)}${h(5)}${h(6)}${h(7)}${h(8)}${h(9)}`
  }
}
