/** How much of a frame before its text is compared; enough to hold its choice and delta, the rest never changes. */
const lookBehind = 48
const textMember = '"content":"'

/**
 * What the text deltas of one stream have in common, taken from the first of them: all before the text, and all after
 * it. A frame with the same ends is a text delta, too, and ends no choice, carries no usage and no error.
 */
export class PlainTextFrame {
  /** What a frame holds beside what the model wrote. */
  readonly overheadBytes: number
  #textStart = 0
  #before = ''
  #after = ''

  /** @param frame - the first frame with output, blank line included; of whatever form */
  constructor(frame: string, overheadBytes: number) {
    this.overheadBytes = overheadBytes
    const textStart = frame.indexOf(textMember) + textMember.length
    const after = frame.slice(endOfText(frame, textStart))
    // Where the end of a choice is said before its text, the end of the frame would not tell.
    if (textStart <= lookBehind || frame.lastIndexOf(textMember) + textMember.length !== textStart) return
    if (!after.includes('"finish_reason":null') && !after.includes('"finish_reason": null')) return
    this.#textStart = textStart
    this.#before = frame.slice(textStart - lookBehind, textStart)
    this.#after = after
  }

  /** @returns the bytes of the text, escapes included; -1 when the frame is another one */
  textBytes(text: string, start: number, end: number): number {
    const textStart = start + this.#textStart
    const textEnd = end - this.#after.length
    if (this.#after === '' || textEnd < textStart) return -1
    if (text.slice(textEnd, end) !== this.#after) return -1
    return text.slice(textStart - lookBehind, textStart) === this.#before ? textEnd - textStart : -1
  }
}

/** @returns the index of the quote that closes the JSON string whose text starts here */
function endOfText(frame: string, start: number): number {
  let at = start
  while (at < frame.length && frame[at] !== '"') at += frame[at] === '\\' ? 2 : 1
  return at
}
