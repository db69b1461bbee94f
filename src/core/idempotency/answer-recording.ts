import type { WrittenAnswer } from './stored-answer.ts'

const chunkBytes = 16 * 1024

/** Takes a copy of an answer while a door writes it. Of an answer that turns out to be too large nothing is kept. */
export class AnswerRecording {
  readonly #bytesMax: number
  #status = 0
  #contentType = ''
  #chunks: Buffer[] = []
  /** Bytes that the last chunk holds. */
  #filled = 0
  #bytes = 0
  #ended = false

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  start(status: number, contentType: string): void {
    this.#status = status
    this.#contentType = contentType
  }

  /** The piece is copied: it may be a small part of a large buffer that would live on with it. */
  bytes(piece: Buffer): void {
    this.#bytes += piece.length
    if (this.#bytes > this.#bytesMax) {
      this.#chunks = []
      return
    }
    const last = this.#chunks[this.#chunks.length - 1]
    const copied = last ? piece.copy(last, this.#filled) : 0
    this.#filled += copied
    if (copied === piece.length) return
    const rest = piece.subarray(copied)
    const chunk = Buffer.allocUnsafeSlow(Math.max(chunkBytes, rest.length))
    this.#filled = rest.copy(chunk)
    this.#chunks.push(chunk)
  }

  /** The answer was written to its end, to a reader that was still there. */
  end(): void {
    this.#ended = true
  }

  /** Undefined unless it was written to its end and is small enough. */
  get answer(): WrittenAnswer | undefined {
    if (!this.#ended || this.#bytes > this.#bytesMax) return undefined
    return { status: this.#status, contentType: this.#contentType, body: Buffer.concat(this.#chunks, this.#bytes) }
  }
}
