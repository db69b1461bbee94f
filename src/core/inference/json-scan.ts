/** Where the value of a member stands in the bytes of a JSON object: from `start` up to, not including, `end`. */
export interface Span {
  start: number
  end: number
}

/** What one pass over the bytes of a JSON object finds, without building a single value of it. */
export interface ScannedObject {
  /** The top-level members. */
  spans: ReadonlyMap<string, Span>
  /** Items of the top-level members that are arrays. */
  items: ReadonlyMap<string, number>
  /** Bytes of all strings that are values, data URLs aside. */
  textBytes: number
  /** Strings that are data URLs: images, audio, documents. */
  attachments: number
}

/** `syntax`: it is no JSON; `shape`: it is, and we do not take it. `message` continues "The request body …". */
export class ScanRefusal extends Error {
  readonly kind: 'syntax' | 'shape'
  /** The member at fault, where one is. */
  readonly member: string | undefined

  constructor(kind: 'syntax' | 'shape', message: string, member?: string) {
    super(message)
    this.kind = kind
    this.member = member
  }
}

const depthMax = 32
const arrayItemsMax = 10_000
const dataUrlBytesMin = 1_024

/** Bytes looked at one by one before a search, and after a search that met an escaped quote. */
const stepsAtFirst = 64
const stepsAfterSearch = 8_192

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

const scalar = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/

/**
 * Checks the structure of a JSON object and finds its top-level members, at the cost of reading it once: long strings
 * are mostly skipped by a native search. What is inside of strings (escapes, control characters) is not checked.
 *
 * A member that occurs twice is refused, also when it is spelled with escapes: two parsers might each take another one,
 * and what we checked would not be what the provider reads.
 *
 * @throws ScanRefusal
 */
export function scanJsonObject(bytes: Buffer): ScannedObject {
  return new Scanner(bytes).scan()
}

class Scanner {
  readonly #bytes: Buffer
  readonly #spans = new Map<string, Span>()
  readonly #items = new Map<string, number>()
  #at = 0
  #textBytes = 0
  #attachments = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  scan(): ScannedObject {
    this.#skipSpace()
    if (this.#bytes[this.#at] !== openBrace) throw new ScanRefusal('shape', 'must be a JSON object')
    this.#object(1, false)
    this.#skipSpace()
    if (this.#at < this.#bytes.length) throw this.#syntaxError()
    return { spans: this.#spans, items: this.#items, textBytes: this.#textBytes, attachments: this.#attachments }
  }

  #object(depth: number, isConstructor: boolean): void {
    if (depth > depthMax) throw new ScanRefusal('shape', `is nested deeper than ${depthMax} levels`)
    this.#at++
    this.#skipSpace()
    if (this.#bytes[this.#at] === closeBrace) {
      this.#at++
      return
    }
    for (;;) {
      const name = this.#name()
      if (name === '__proto__') throw new ScanRefusal('shape', 'has a member named __proto__')
      if (isConstructor && name === 'prototype') {
        throw new ScanRefusal('shape', 'has a member named constructor.prototype')
      }
      this.#expect(colon)
      this.#skipSpace()
      const start = this.#at
      const items = this.#value(depth, name === 'constructor')
      if (depth === 1) this.#addMember(name, { start, end: this.#at }, items)
      if (this.#endsAfterItem(closeBrace)) return
      this.#skipSpace()
    }
  }

  #addMember(name: string, span: Span, items: number): void {
    if (this.#spans.has(name)) throw new ScanRefusal('shape', 'has a member twice', name)
    this.#spans.set(name, span)
    if (items >= 0) this.#items.set(name, items)
  }

  /** @returns how many items the array has */
  #array(depth: number): number {
    if (depth > depthMax) throw new ScanRefusal('shape', `is nested deeper than ${depthMax} levels`)
    this.#at++
    this.#skipSpace()
    if (this.#bytes[this.#at] === closeBracket) {
      this.#at++
      return 0
    }
    for (let items = 1; ; items++) {
      if (items > arrayItemsMax) throw new ScanRefusal('shape', `has an array of more than ${arrayItemsMax} items`)
      this.#skipSpace()
      this.#value(depth, false)
      if (this.#endsAfterItem(closeBracket)) return items
    }
  }

  /** @returns the items of an array, -1 for any other value */
  #value(depth: number, isConstructor: boolean): number {
    switch (this.#bytes[this.#at]) {
      case quote: {
        const start = this.#at
        this.#skipString()
        const length = this.#at - start - 2
        if (length >= dataUrlBytesMin && this.#bytes.toString('latin1', start + 1, start + 6) === 'data:') {
          this.#attachments++
        } else {
          this.#textBytes += length
        }
        return -1
      }
      case openBrace:
        this.#object(depth + 1, isConstructor)
        return -1
      case openBracket:
        return this.#array(depth + 1)
      default:
        this.#scalar()
        return -1
    }
  }

  #scalar(): void {
    const start = this.#at
    while (this.#at < this.#bytes.length && !endsScalar(this.#bytes[this.#at] as number)) this.#at++
    if (!scalar.test(this.#bytes.toString('latin1', start, this.#at))) throw this.#syntaxError(start)
  }

  #name(): string {
    const start = this.#at
    if (this.#bytes[start] !== quote) throw this.#syntaxError()
    this.#skipString()
    for (let i = start; i < this.#at; i++) {
      const byte = this.#bytes[i] as number
      if (byte !== backslash && byte < 0x80) continue
      try {
        return JSON.parse(this.#bytes.toString('utf8', start, this.#at)) as string
      } catch {
        throw this.#syntaxError(start)
      }
    }
    return this.#bytes.toString('latin1', start + 1, this.#at - 1)
  }

  /**
   * Texts with quotes in them have one every few words, texts without have none at all. So bytes are looked at one by
   * one for a while, which is what short strings and the former need, and then a native search takes over.
   */
  #skipString(): void {
    const bytes = this.#bytes
    let at = this.#at + 1
    for (let steps = stepsAtFirst; ; steps = stepsAfterSearch) {
      const stepEnd = Math.min(bytes.length, at + steps)
      while (at < stepEnd) {
        const byte = bytes[at++]
        if (byte === backslash) at++
        else if (byte === quote) {
          this.#at = at
          return
        }
      }
      // Between two looks the text is in no escape, so the next quote or backslash decides.
      const nextQuote = bytes.indexOf(quote, at)
      if (nextQuote === -1) throw this.#syntaxError(bytes.length)
      let backslashes = 0
      while (nextQuote - 1 - backslashes >= at && bytes[nextQuote - 1 - backslashes] === backslash) backslashes++
      at = nextQuote + 1
      if (backslashes % 2 === 0) {
        this.#at = at
        return
      }
    }
  }

  /** @returns true after the closing byte, false after a comma */
  #endsAfterItem(close: number): boolean {
    this.#skipSpace()
    const byte = this.#bytes[this.#at]
    if (byte !== close && byte !== comma) throw this.#syntaxError()
    this.#at++
    return byte === close
  }

  #expect(byte: number): void {
    this.#skipSpace()
    if (this.#bytes[this.#at] !== byte) throw this.#syntaxError()
    this.#at++
  }

  #skipSpace(): void {
    const bytes = this.#bytes
    while (isSpace(bytes[this.#at])) this.#at++
  }

  #syntaxError(at = this.#at): ScanRefusal {
    return new ScanRefusal('syntax', `is not valid JSON (at byte ${at})`)
  }
}

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

const endsScalar = (byte: number): boolean =>
  byte <= 0x20 || byte === comma || byte === closeBrace || byte === closeBracket || byte === colon
