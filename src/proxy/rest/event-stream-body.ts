import type { ServerResponse } from 'node:http'

/** A piece of this size goes out as it is: copying it would cost more than is saved. */
const copiedBytesMax = 16 * 1024

const cr = 0x0d
const lf = 0x0a
const zero = 0x30
const lastChunkBytes = 5

/**
 * The body of an event stream. Pieces that come in one turn of the event loop leave together, as one chunk in one
 * buffer. `node:http` would send each of them as a chunk, and each chunk as four buffers that are gathered, counted and
 * freed one by one; so it is told, while it is handed our chunks, that there is nothing to add.
 */
export class EventStreamBody {
  readonly #response: ServerResponse
  /** False for clients of HTTP/1.0, who read until the connection closes. */
  readonly #isChunked: boolean
  #pieces: Buffer[] = []
  #bytes = 0

  /** @param response - its head is written, and nothing else */
  constructor(response: ServerResponse) {
    this.#response = response
    this.#isChunked = response.chunkedEncoding
  }

  /** @returns false when the reader is slow; what this turn still brings is taken nevertheless */
  write(piece: Buffer): boolean {
    if (this.#bytes === 0) process.nextTick(flush, this)
    this.#pieces.push(piece)
    this.#bytes += piece.length
    return !this.#response.writableNeedDrain
  }

  flush(): void {
    const response = this.#response
    if (this.#bytes === 0 || response.writableEnded || response.destroyed) return
    if (this.#pieces.length === 1 && this.#bytes > copiedBytesMax) response.write(this.#pieces[0])
    else {
      response.chunkedEncoding = false
      response.write(this.#gathered(false))
      response.chunkedEncoding = this.#isChunked
    }
    this.#pieces = []
    this.#bytes = 0
  }

  end(last: Buffer): void {
    this.#pieces.push(last)
    this.#bytes += last.length
    if (this.#bytes === 0) {
      this.#response.end()
      return
    }
    this.#response.chunkedEncoding = false
    this.#response.end(this.#gathered(true))
  }

  /** @param isLast - the chunk that says that no more will come follows it */
  #gathered(isLast: boolean): Buffer {
    const length = this.#isChunked ? this.#bytes.toString(16) : ''
    const framing = this.#isChunked ? length.length + 4 + (isLast ? lastChunkBytes : 0) : 0
    const gathered = Buffer.allocUnsafe(this.#bytes + framing)
    let at = 0
    if (this.#isChunked) {
      for (; at < length.length; at++) gathered[at] = length.charCodeAt(at)
      at = endLine(gathered, at)
    }
    for (const piece of this.#pieces) {
      gathered.set(piece, at)
      at += piece.length
    }
    if (!this.#isChunked) return gathered
    at = endLine(gathered, at)
    if (!isLast) return gathered
    gathered[at] = zero
    endLine(gathered, endLine(gathered, at + 1))
    return gathered
  }
}

const flush = (body: EventStreamBody): void => body.flush()

/** @returns the index behind the line's end */
function endLine(bytes: Buffer, at: number): number {
  bytes[at] = cr
  bytes[at + 1] = lf
  return at + 2
}
