/** Fields 3 of StreamResponse, and 1 and 2 of TextEvent, with their wire types. */
const textTag = (3 << 3) | 2
const indexTag = (1 << 3) | 0
const contentTag = (2 << 3) | 2

/** `StreamResponse { text: { index, text } }`: by far the most frequent message of a stream, so it is written by hand. */
export function encodeTextEvent(index: number, text: string): Buffer {
  const textBytes = Buffer.byteLength(text)
  const indexBytes = index === 0 ? 0 : 1 + varintBytes(index)
  const eventBytes = indexBytes + (textBytes === 0 ? 0 : 1 + varintBytes(textBytes) + textBytes)
  const message = Buffer.allocUnsafe(1 + varintBytes(eventBytes) + eventBytes)
  message[0] = textTag
  let at = writeVarint(message, eventBytes, 1)
  if (index !== 0) {
    message[at] = indexTag
    at = writeVarint(message, index, at + 1)
  }
  if (textBytes !== 0) {
    message[at] = contentTag
    message.write(text, writeVarint(message, textBytes, at + 1), 'utf8')
  }
  return message
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest > 0x7f; rest >>>= 7) bytes++
  return bytes
}

/** @returns where the next field begins */
function writeVarint(into: Buffer, value: number, start: number): number {
  let at = start
  let rest = value
  for (; rest > 0x7f; rest >>>= 7) into[at++] = (rest & 0x7f) | 0x80
  into[at++] = rest
  return at
}
