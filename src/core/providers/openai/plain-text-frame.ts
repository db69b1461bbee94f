/** How much of a frame before its text is compared; enough to hold its choice and delta, the rest never changes. */
const lookBehind = 48
const textMember = '"content":"'

const quote = 0x22
const backslash = 0x5c

/**
 * What the text deltas of one stream have in common, taken from the first of them: all before the text, and all after
 * it. A frame that differs from it in nothing but the text is a text delta, too, and ends no choice, carries no usage
 * and no error. Bytes are compared where they stand: of a stream's frames nearly all end here.
 */
export class PlainTextFrame {
  /** What a frame holds beside what the model wrote. */
  readonly overheadBytes: number
  #textStart = 0
  #before: Buffer = Buffer.alloc(0)
  /** From the quote that closes the text up to the end of the frame; empty when the first frame is of no use. */
  #after: Buffer = Buffer.alloc(0)

  /** @param frame - the first frame with output, blank line included; of whatever form */
  constructor(frame: Buffer, overheadBytes: number) {
    this.overheadBytes = overheadBytes
    const textStart = frame.indexOf(textMember) + textMember.length
    const after = frame.subarray(endOfText(frame, textStart))
    // Where the end of a choice is said before its text, the end of the frame would not tell.
    if (textStart <= lookBehind || frame.lastIndexOf(textMember) + textMember.length !== textStart) return
    if (!after.includes('"finish_reason":null') && !after.includes('"finish_reason": null')) return
    this.#textStart = textStart
    // Copies, so that the stream does not keep the chunk they came in.
    this.#before = Buffer.from(frame.subarray(textStart - lookBehind, textStart))
    this.#after = Buffer.from(after)
  }

  /** @returns where the text delta ends that begins at `start`; -1 when what begins there is another frame */
  end(frames: Buffer, start: number): number {
    const textStart = start + this.#textStart
    if (this.#after.length === 0 || !isAt(frames, textStart - lookBehind, this.#before)) return -1
    const textEnd = endOfText(frames, textStart)
    return isAt(frames, textEnd, this.#after) ? textEnd + this.#after.length : -1
  }
}

/** @returns where the quote is that closes the JSON string whose text starts here, or the end of the bytes */
function endOfText(bytes: Buffer, start: number): number {
  const { length } = bytes
  let at = start
  while (at < length && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1
  return Math.min(at, length)
}

/** For a few dozen bytes a loop is cheaper than a call of `compare`. */
function isAt(bytes: Buffer, start: number, wanted: Buffer): boolean {
  const { length } = wanted
  if (start + length > bytes.length) return false
  for (let at = 0; at < length; at++) if (bytes[start + at] !== wanted[at]) return false
  return true
}
