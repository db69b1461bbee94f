/** One event of a stream as WHATWG defines it; `id` and `retry` are of no use to a client that never reconnects. */
export interface ServerSentEvent {
  /** The `event` field; `message` where there was none. */
  name: string
  /** All `data` lines, joined by line feeds. */
  data: string
}

export interface SseDecoder {
  /** Why decoding stopped: what came is no stream we are willing to hold. No events follow. */
  readonly refusal: string | undefined
  push(bytes: Buffer): ServerSentEvent[]
  /**
   * The stream has ended. WHATWG drops an event without its blank line; providers leave that line out, so here it
   * counts, and whoever reads it finds out whether it is whole.
   */
  end(): ServerSentEvent[]
}

/** One line, and all lines of one event together, may have this many bytes. */
const lineBytesMax = 1024 * 1024

const heldBytesMin = 1024
/** What one long line needed is not kept for the rest of the stream. */
const heldBytesKept = 64 * 1024
const empty: Buffer = Buffer.alloc(0)

const lf = 0x0a
const cr = 0x0d

/**
 * Decodes server-sent events from bytes that may be cut anywhere.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function createSseDecoder(): SseDecoder {
  return new Decoder()
}

class Decoder implements SseDecoder {
  refusal: string | undefined
  /** The beginning of a line whose end has not come yet: copied, so that no chunk is kept for its last bytes. */
  #held = empty
  #heldBytes = 0
  /** The last chunk ended in CR: a line feed that comes first in the next one belongs to it. */
  #afterCr = false
  #atStart = true
  #name = ''
  #data: string | undefined
  #eventBytes = 0
  #events: ServerSentEvent[] = []

  push(bytes: Buffer): ServerSentEvent[] {
    let at = this.#afterCr && bytes[0] === lf ? 1 : 0
    if (bytes.length > 0) this.#afterCr = false
    let nextLf = bytes.indexOf(lf, at)
    let nextCr = bytes.indexOf(cr, at)
    while (!this.refusal && (nextLf !== -1 || nextCr !== -1)) {
      const end = nextCr === -1 || (nextLf !== -1 && nextLf < nextCr) ? nextLf : nextCr
      this.#line(bytes, at, end)
      at = end + 1
      if (end === nextCr) {
        if (at === bytes.length) this.#afterCr = true
        else if (bytes[at] === lf) at++
        nextCr = bytes.indexOf(cr, at)
      }
      if (nextLf !== -1 && nextLf < at) nextLf = bytes.indexOf(lf, at)
    }
    if (at < bytes.length) this.#keep(bytes.subarray(at))
    return this.#taken()
  }

  end(): ServerSentEvent[] {
    if (this.refusal) return []
    if (this.#heldBytes > 0) this.#line(empty, 0, 0)
    this.#dispatch()
    return this.#taken()
  }

  #taken(): ServerSentEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  #keep(piece: Buffer): void {
    const bytes = this.#heldBytes + piece.length
    if (!this.#mayHold(bytes)) return
    if (bytes > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#held.length, heldBytesMin))
      this.#held.copy(larger, 0, 0, this.#heldBytes)
      this.#held = larger
    }
    piece.copy(this.#held, this.#heldBytes)
    this.#heldBytes = bytes
  }

  #mayHold(lineBytes: number): boolean {
    if (lineBytes + this.#eventBytes > lineBytesMax) {
      this.refusal ??= 'a line of more than 1 MiB'
      this.#held = empty
    }
    return this.refusal === undefined
  }

  /** The line that begins with what is held, and ends in `bytes` at `end`. */
  #line(bytes: Buffer, start: number, end: number): void {
    const lineBytes = this.#heldBytes + end - start
    if (!this.#mayHold(lineBytes)) return
    let line: string
    if (this.#heldBytes > 0) {
      this.#keep(bytes.subarray(start, end))
      line = this.#held.toString('utf8', 0, lineBytes)
      this.#heldBytes = 0
      if (this.#held.length > heldBytesKept) this.#held = empty
    } else {
      line = bytes.toString('utf8', start, end)
    }
    if (this.#atStart) {
      this.#atStart = false
      if (line.startsWith('\ufeff')) line = line.slice(1)
    }
    this.#field(line, lineBytes)
  }

  #field(line: string, lineBytes: number): void {
    if (line === '') {
      this.#dispatch()
    } else if (line.startsWith('data:')) {
      const value = line.slice(line.charCodeAt(5) === 0x20 ? 6 : 5)
      this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`
      this.#eventBytes += lineBytes
    } else if (line.startsWith('event:')) {
      this.#name = line.slice(line.charCodeAt(6) === 0x20 ? 7 : 6)
    } else if (line === 'data') {
      this.#data = this.#data === undefined ? '' : `${this.#data}\n`
      this.#eventBytes += lineBytes
    } else if (line === 'event') {
      this.#name = ''
    }
  }

  #dispatch(): void {
    if (this.#data !== undefined) this.#events.push({ name: this.#name || 'message', data: this.#data })
    this.#data = undefined
    this.#name = ''
    this.#eventBytes = 0
  }
}
