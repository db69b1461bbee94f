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

/** Is shown the items of one top-level array as the scan passes them. A value is told by its first byte. */
export interface ItemObserver {
  /** The member that is the array. */
  readonly list: string
  item(firstByte: number): void
  /** A member of the item, when the item is an object. */
  member(name: string, firstByte: number, valueBytes: number): void
  itemEnded(): void
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

/** Plain bytes of a string that are looked at one by one before a native search for its end takes over. */
const stepsMax = 1_024

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const letterU = 0x75
const openBrace = 0x7b
const closeBrace = 0x7d

/** What a byte may be inside of a string: one table, since looking a byte up is cheaper than comparing it. */
const traits = new Uint8Array(256)
const plain = 1
const escapable = 2
const hexDigit = 4
for (let byte = 0x20; byte < 256; byte++) if (byte !== quote && byte !== backslash) traits[byte] = plain
for (const byte of Buffer.from('"\\/bfnrt')) traits[byte] = (traits[byte] as number) | escapable
for (const byte of Buffer.from('0123456789abcdefABCDEF')) traits[byte] = (traits[byte] as number) | hexDigit

const scalar = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/

/**
 * Checks that bytes are one JSON object and finds its top-level members, at the cost of reading them once. The one
 * thing it may let pass that a parser refuses is a control character deep inside of a long plain text.
 *
 * A member that occurs twice is refused, also when it is spelled with escapes: two parsers might each take another one,
 * and what we checked would not be what the provider reads.
 *
 * @param bytes - valid UTF-8
 * @throws ScanRefusal
 */
export function scanJsonObject(bytes: Buffer, observer?: ItemObserver): ScannedObject {
  return new Scanner(bytes, observer).scan()
}

class Scanner {
  readonly #bytes: Buffer
  readonly #observer: ItemObserver | undefined
  readonly #spans = new Map<string, Span>()
  readonly #items = new Map<string, number>()
  #at = 0
  /** Of the array that was scanned last. */
  #itemCount = 0
  /** Whether what is being scanned belongs to the observer's list. */
  #isObserved = false
  #textBytes = 0
  #attachments = 0
  /** The quote that the last native search found. */
  #quoteAt = -1

  constructor(bytes: Buffer, observer: ItemObserver | undefined) {
    this.#bytes = bytes
    this.#observer = observer
  }

  scan(): ScannedObject {
    this.#skipSpace()
    if (this.#bytes[this.#at] !== openBrace) throw this.#notAnObject()
    this.#object(1, false)
    this.#skipSpace()
    if (this.#at < this.#bytes.length) throw this.#syntaxError()
    return { spans: this.#spans, items: this.#items, textBytes: this.#textBytes, attachments: this.#attachments }
  }

  /** Bytes that are no JSON at all are told so, rather than that they are no object. */
  #notAnObject(): ScanRefusal {
    this.#value(0, false)
    this.#skipSpace()
    return this.#at < this.#bytes.length ? this.#syntaxError() : new ScanRefusal('shape', 'must be a JSON object')
  }

  #object(depth: number, isConstructor: boolean): void {
    if (depth > depthMax) throw new ScanRefusal('shape', `is nested deeper than ${depthMax} levels`)
    const observer = depth === 3 && this.#isObserved ? this.#observer : undefined
    this.#at++
    this.#skipSpace()
    if (this.#bytes[this.#at] === closeBrace) {
      this.#at++
      return
    }
    for (;;) {
      const name = this.#name(depth === 1 || observer !== undefined)
      if (name === '__proto__') throw new ScanRefusal('shape', 'has a member named __proto__')
      if (isConstructor && name === 'prototype') {
        throw new ScanRefusal('shape', 'has a member named constructor.prototype')
      }
      this.#expect(colon)
      this.#skipSpace()
      if (depth === 1) this.#isObserved = name === this.#observer?.list
      const start = this.#at
      this.#value(depth, name === 'constructor')
      if (depth === 1) this.#addMember(name, start)
      else observer?.member(name, this.#bytes[start] as number, this.#at - start)
      if (this.#endsAfterItem(closeBrace)) return
      this.#skipSpace()
    }
  }

  #addMember(name: string, start: number): void {
    if (this.#spans.has(name)) throw new ScanRefusal('shape', 'has a member twice', name)
    this.#spans.set(name, { start, end: this.#at })
    if (this.#bytes[start] === openBracket) this.#items.set(name, this.#itemCount)
  }

  #array(depth: number): void {
    if (depth > depthMax) throw new ScanRefusal('shape', `is nested deeper than ${depthMax} levels`)
    const observer = depth === 2 && this.#isObserved ? this.#observer : undefined
    let items = 0
    this.#at++
    this.#skipSpace()
    if (this.#bytes[this.#at] === closeBracket) this.#at++
    else {
      do {
        if (++items > arrayItemsMax) {
          throw new ScanRefusal('shape', `has an array of more than ${arrayItemsMax} items`)
        }
        this.#skipSpace()
        observer?.item(this.#bytes[this.#at] ?? 0)
        this.#value(depth, false)
        observer?.itemEnded()
      } while (!this.#endsAfterItem(closeBracket))
    }
    this.#itemCount = items
  }

  #value(depth: number, isConstructor: boolean): void {
    switch (this.#bytes[this.#at]) {
      case quote:
        this.#text()
        break
      case openBrace:
        this.#object(depth + 1, isConstructor)
        break
      case openBracket:
        this.#array(depth + 1)
        break
      default:
        this.#scalar()
    }
  }

  #text(): void {
    const start = this.#at
    this.#skipString()
    const length = this.#at - start - 2
    const isDataUrl =
      length >= dataUrlBytesMin &&
      this.#bytes.toString('latin1', start + 1, start + 1 + dataScheme.length) === dataScheme
    if (isDataUrl) this.#attachments++
    else this.#textBytes += length
  }

  #scalar(): void {
    const start = this.#at
    while (this.#at < this.#bytes.length && !endsScalar(this.#bytes[this.#at] as number)) this.#at++
    if (!scalar.test(this.#bytes.toString('latin1', start, this.#at))) throw this.#syntaxError(start)
  }

  /**
   * @param isAsked - by somebody who acts on it; of other names only those that are refused everywhere matter
   * @returns the name, or an empty one
   */
  #name(isAsked: boolean): string {
    const start = this.#at
    if (this.#bytes[start] !== quote) throw this.#syntaxError()
    const isEscaped = this.#skipString()
    if (isEscaped) return this.#parsedName(start)
    const length = this.#at - start - 2
    const isSuspect = length === '__proto__'.length || length === 'prototype'.length || length === 'constructor'.length
    return isAsked || isSuspect ? this.#bytes.toString('utf8', start + 1, this.#at - 1) : ''
  }

  #parsedName(start: number): string {
    try {
      return JSON.parse(this.#bytes.toString('utf8', start, this.#at)) as string
    } catch {
      throw this.#syntaxError(start)
    }
  }

  /** @returns whether the string has escapes in it */
  #skipString(): boolean {
    const bytes = this.#bytes
    let isEscaped = false
    for (let at = this.#endOfPlain(this.#at + 1); ; at = this.#endOfPlain(at)) {
      const byte = bytes[at]
      if (byte === quote) {
        this.#at = at + 1
        return isEscaped
      }
      if (byte !== backslash) throw this.#syntaxError(at)
      at = this.#endOfEscape(at)
      isEscaped = true
    }
  }

  /** @returns where the plain text that begins here ends: at a quote, a backslash, a control character or the end */
  #endOfPlain(start: number): number {
    const bytes = this.#bytes
    const stepEnd = Math.min(bytes.length, start + stepsMax)
    let at = start
    while (at < stepEnd && ((traits[bytes[at] as number] as number) & plain) !== 0) at++
    return at < stepEnd || at === bytes.length ? at : this.#endOfLongPlain(at)
  }

  #endOfLongPlain(start: number): number {
    // Kept, or a text without quotes would be searched to its end from each of its backslashes.
    if (this.#quoteAt < start) this.#quoteAt = this.#bytes.indexOf(quote, start)
    if (this.#quoteAt === -1) throw this.#syntaxError(this.#bytes.length)
    const backslashAt = this.#bytes.subarray(start, this.#quoteAt).indexOf(backslash)
    return backslashAt === -1 ? this.#quoteAt : start + backslashAt
  }

  #endOfEscape(start: number): number {
    const byte = this.#bytes[start + 1] ?? 0
    if (byte !== letterU) {
      if (((traits[byte] as number) & escapable) === 0) throw this.#syntaxError(start)
      return start + 2
    }
    for (let at = start + 2; at < start + 6; at++) {
      if (((traits[this.#bytes[at] ?? 0] as number) & hexDigit) === 0) throw this.#syntaxError(start)
    }
    return start + 6
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

const dataScheme = 'data:'

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

const endsScalar = (byte: number): boolean =>
  byte <= 0x20 || byte === comma || byte === closeBrace || byte === closeBracket || byte === colon
