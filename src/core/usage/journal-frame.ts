import { crc32 } from 'node:zlib'
import { storable } from './storable-text.ts'
import type { UsageEnd, UsageIntent } from './usage-record.ts'

/**
 * One record as it lies in a journal segment, little-endian:
 *
 *     0  u32  length of what follows the checksum
 *     4  u32  crc32 of what follows
 *     8  u8   format version
 *     9  u8   kind: 1 intent, 2 end
 *    10       payload: UTF-8 JSON of a UsageIntent or UsageEnd, `request_id` first
 *
 * The length and the checksum are the same in every version, so that a release can step over what a newer one wrote.
 * JSON text holds no byte below 0x20, hence no payload can look like a frame to whoever searches for the next one.
 */
export const frameFormatVersion = 1
export const framePayloadOffset = 10
export const frameBytesMax = 1 << 20
const bodyOffset = 8
const comma = 0x2c

export const frameKinds = { intent: 1, end: 2 } as const
export type FrameKind = keyof typeof frameKinds

/** The database takes this text as it is; every journaled payload starts like this. */
const payloadStart = '{"request_id":"'
const requestIdOffset = framePayloadOffset + payloadStart.length
const requestIdLength = 36
/** No character takes more than three bytes per UTF-16 unit. */
const textLengthMax = Math.floor((frameBytesMax - 2) / 3)
const payloadBytesMin = payloadStart.length + requestIdLength + 2

/** What a provider sends has no bound of ours, neither in length nor in depth; this much is kept for inspection. */
const implausibleUsageCharacters = 4_096

/**
 * The JSON text that is journaled and later given to the database unchanged.
 *
 * @throws RangeError when the record cannot be journaled at all (a caller's bug): too long, or its request id no UUID
 */
export function journalText(record: UsageIntent | UsageEnd): string {
  let text = JSON.stringify('implausible_usage' in record && record.implausible_usage ? inspectable(record) : record)
  // Only escapes of the form \uXXXX can stand for them, and most records have none.
  if (text.includes('\\u')) text = JSON.stringify(storable(JSON.parse(text)))
  if (!text.startsWith(payloadStart)) {
    const { request_id, ...rest } = JSON.parse(text) as UsageEnd // as we just wrote it
    text = JSON.stringify({ request_id, ...rest })
  }
  return journalable(text)
}

/** @throws RangeError as `journalText`, whose text this must be */
export function journalable(text: string): string {
  if (text.length > textLengthMax) throw new RangeError('A usage record is too long for the journal.')
  if (text[payloadStart.length + requestIdLength] !== '"') throw new RangeError('A request id is not a UUID.')
  return text
}

function inspectable(record: UsageEnd): UsageEnd {
  let text: string
  try {
    text = JSON.stringify(record.implausible_usage)
  } catch {
    text = '' // nested deeper than the stack
  }
  const kept = text !== '' && text.length <= implausibleUsageCharacters
  return kept ? record : { ...record, implausible_usage: { omitted_characters: text.length } }
}

/** An upper bound of the frame's bytes, known before its text is encoded. */
export function frameBytesBound(text: string, addition = ''): number {
  return framePayloadOffset + (text.length + addition.length) * 3
}

/**
 * @param text - a JSON object
 * @param addition - another one, whose members are added to it
 * @returns the offset behind the frame; `into` must have room for `frameBytesBound(text, addition)`
 */
export function writeFrame(into: Buffer, offset: number, kind: FrameKind, text: string, addition = ''): number {
  let end = offset + framePayloadOffset + into.write(text, offset + framePayloadOffset, 'utf8')
  if (addition !== '') {
    const joint = end - 1 // where one object's closing brace meets the other's opening one
    end = joint + into.write(addition, joint, 'utf8')
    into[joint] = comma
  }
  const body = offset + bodyOffset
  into[body] = frameFormatVersion
  into[body + 1] = frameKinds[kind]
  into.writeUInt32LE(end - body, offset)
  into.writeUInt32LE(crc32(into.subarray(body, end)), offset + 4)
  return end
}

/**
 * What lies at an offset. `cut`: the bytes end before the frame does; `bad`: no frame of any version starts here;
 * `unknown`: a whole frame that this release cannot read.
 */
export type FrameCheck = 'intent' | 'end' | 'unknown' | 'cut' | 'bad'

/** Looks at the frame at `offset`, in bytes that are valid up to `limit`; its checksum included. */
export function checkFrame(bytes: Buffer, offset: number, limit: number): FrameCheck {
  if (limit - offset < bodyOffset) return 'cut'
  const length = bytes.readUInt32LE(offset)
  if (length < 2 || length > frameBytesMax) return 'bad'
  const body = offset + bodyOffset
  const end = body + length
  if (end > limit) return 'cut'
  if (crc32(bytes.subarray(body, end)) !== bytes.readUInt32LE(offset + 4)) return 'bad'
  return frameKind(bytes, offset)
}

/** Of a frame that `checkFrame` found whole. */
export function frameKind(bytes: Buffer, offset: number): FrameKind | 'unknown' {
  if (bytes[offset + bodyOffset] !== frameFormatVersion) return 'unknown'
  if (bytes[offset + bodyOffset + 1] === frameKinds.end) return 'end'
  return bytes[offset + bodyOffset + 1] === frameKinds.intent ? 'intent' : 'unknown'
}

/** How many bytes the frame at `offset` takes; only after `checkFrame` found it whole. */
export function frameBytes(bytes: Buffer, offset: number): number {
  return bodyOffset + bytes.readUInt32LE(offset)
}

export function frameRequestId(bytes: Buffer, offset: number): string {
  return bytes.toString('latin1', offset + requestIdOffset, offset + requestIdOffset + requestIdLength)
}

/**
 * Searches for the next whole frame of our own version.
 *
 * @returns its offset, or undefined when there is none before `limit`
 */
export function findFrame(bytes: Buffer, from: number, limit: number): number | undefined {
  for (let offset = from; offset + framePayloadOffset + payloadBytesMin <= limit; offset++) {
    if (bytes[offset + bodyOffset] !== frameFormatVersion) continue
    const check = checkFrame(bytes, offset, limit)
    if (check === 'intent' || check === 'end') return offset
  }
  return undefined
}
