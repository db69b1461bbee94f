export interface JsonArrayDecoder {
  /** Why decoding stopped: what came is no list we are willing to hold. Nothing follows. */
  readonly refusal: string | undefined
  /** The list, or the only object, has been closed. */
  readonly isClosed: boolean
  /** @returns the texts of the objects that are complete now */
  push(bytes: Buffer): string[]
}

/** One object may have this many bytes. */
const objectBytesMax = 1024 * 1024

const [quote, backslash, comma, open, close, openList, closeList] = Buffer.from('"\\,{}[]') as unknown as number[]
const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/** Splits a JSON list of objects into its objects as their bytes come, cut anywhere. One object alone will do, too. */
export function createJsonArrayDecoder(): JsonArrayDecoder {
  return new Decoder()
}

class Decoder implements JsonArrayDecoder {
  refusal: string | undefined
  isClosed = false
  #held: Buffer[] = []
  #heldBytes = 0
  #inList = false
  #depth = 0
  #inString = false
  #afterBackslash = false

  push(bytes: Buffer): string[] {
    const objects: string[] = []
    let start = this.#depth > 0 ? 0 : -1
    for (let at = 0; at < bytes.length && !this.refusal; at++) {
      const byte = bytes[at]
      if (this.#depth === 0) {
        if (this.#begins(byte)) start = at
      } else if (this.#ends(byte)) {
        this.#keep(bytes.subarray(start, at + 1))
        if (!this.refusal) objects.push(this.#taken())
        start = -1
        if (!this.#inList) this.isClosed = true
      }
    }
    if (start !== -1 && !this.refusal) this.#keep(bytes.subarray(start))
    return objects
  }

  /** Between two objects. */
  #begins(byte: number | undefined): boolean {
    if (byte === open && !this.isClosed) {
      this.#depth = 1
      return true
    }
    if (byte === openList && !this.#inList && !this.isClosed) this.#inList = true
    else if (byte === closeList && this.#inList && !this.isClosed) this.isClosed = true
    else if (!isSpace(byte) && !(byte === comma && this.#inList)) this.refusal = 'it is no list of objects'
    return false
  }

  /** Inside an object. */
  #ends(byte: number | undefined): boolean {
    if (this.#inString) {
      if (this.#afterBackslash) this.#afterBackslash = false
      else if (byte === backslash) this.#afterBackslash = true
      else if (byte === quote) this.#inString = false
    } else if (byte === quote) {
      this.#inString = true
    } else if (byte === open || byte === openList) {
      this.#depth++
    } else if (byte === close || byte === closeList) {
      this.#depth--
      return this.#depth === 0
    }
    return false
  }

  #keep(piece: Buffer): void {
    this.#heldBytes += piece.length
    if (this.#heldBytes > objectBytesMax) {
      this.refusal = 'an object of more than 1 MiB'
      this.#held = []
      return
    }
    // Copied, so that no chunk is kept for its last bytes.
    this.#held.push(Buffer.from(piece))
  }

  #taken(): string {
    const text = Buffer.concat(this.#held, this.#heldBytes).toString('utf8')
    this.#held = []
    this.#heldBytes = 0
    return text
  }
}
