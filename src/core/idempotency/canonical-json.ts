/**
 * The one form of all spellings of a JSON value: no white space between tokens, members sorted by their names, texts with
 * the shortest escapes. Numbers stay as they are written: 1 and 1.0 may mean different things to a provider, and a
 * number that is parsed and printed may become another one. Members that share a name keep their order.
 *
 * @param bytes - UTF-8 JSON whose structure has been checked (see json-scan.ts)
 * @returns never longer than `bytes`
 */
export function canonicalJson(bytes: Buffer): Buffer {
  return new Canonicalizer(bytes).run()
}

/** Objects with more members than this stay in the order in which they came: sorting must not become the work. */
const sortedMembersMax = 10_000

/** Bytes of a text that are looked at one by one before a native search takes over. */
const steppedBytes = 64

const quote = 0x22
const comma = 0x2c
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** Where a member stands in the output; its name ends at `nameEnd`. */
interface Member {
  start: number
  nameEnd: number
  end: number
}

class Canonicalizer {
  readonly #bytes: Buffer
  readonly #out: Buffer
  #at = 0
  #end = 0
  #escapeAt = -1

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#out = Buffer.allocUnsafe(bytes.length)
  }

  run(): Buffer {
    this.#value()
    return this.#out.subarray(0, this.#end)
  }

  #value(): void {
    switch (this.#next()) {
      case quote:
        this.#text()
        break
      case openBrace:
        this.#object()
        break
      case openBracket:
        this.#array()
        break
      default:
        this.#scalar()
    }
  }

  #object(): void {
    this.#copyByte()
    const start = this.#end
    const members: Member[] = []
    let isSorted = true
    while (this.#next() !== closeBrace) {
      const member = { start: this.#end, nameEnd: 0, end: 0 }
      this.#text()
      member.nameEnd = this.#end
      this.#next()
      this.#copyByte() // the colon
      this.#value()
      member.end = this.#end
      const previous = members[members.length - 1]
      isSorted &&= previous === undefined || this.#order(previous, member) <= 0
      members.push(member)
      if (this.#next() === comma) this.#copyByte()
    }
    if (!isSorted && members.length <= sortedMembersMax) this.#sort(start, members)
    this.#copyByte()
  }

  /** Puts the members that the output has from `start` on in order; they and their commas take the same room. */
  #sort(start: number, members: Member[]): void {
    const out = this.#out
    const asTheyCame = Buffer.from(out.subarray(start, this.#end))
    members.sort((a, b) => this.#order(a, b))
    let end = start
    for (const member of members) {
      if (end > start) out[end++] = comma
      end += asTheyCame.copy(out, end, member.start - start, member.end - start)
    }
  }

  /** By the bytes of the names: names are short, and a native comparison would cost more to call than to make. */
  #order(a: Member, b: Member): number {
    const out = this.#out
    const length = Math.min(a.nameEnd - a.start, b.nameEnd - b.start)
    for (let i = 0; i < length; i++) {
      const difference = (out[a.start + i] as number) - (out[b.start + i] as number)
      if (difference !== 0) return difference
    }
    return a.nameEnd - a.start - (b.nameEnd - b.start)
  }

  #array(): void {
    this.#copyByte()
    while (this.#next() !== closeBracket) {
      this.#value()
      if (this.#next() === comma) this.#copyByte()
    }
    this.#copyByte()
  }

  /** A text, or the name of a member. Most are short and copied byte by byte; long ones are searched and copied whole. */
  #text(): void {
    const bytes = this.#bytes
    const start = this.#at
    const stepsEnd = Math.min(bytes.length, start + steppedBytes)
    let at = start + 1
    while (at < stepsEnd && bytes[at] !== quote && bytes[at] !== backslash) at++
    if (bytes[at] === quote && at < stepsEnd) {
      for (let i = start; i <= at; i++) this.#out[this.#end++] = bytes[i] as number
      this.#at = at + 1
      return
    }
    let close = at - 1
    do {
      close = bytes.indexOf(quote, close + 1)
      if (close < 0) throw endsEarly()
    } while (isEscaped(bytes, close))
    this.#at = close + 1
    // Only escapes have several spellings.
    const spelled = this.#nextEscape(at) < close ? shortestSpelling(bytes, start, this.#at) : undefined
    this.#end +=
      spelled === undefined
        ? bytes.copy(this.#out, this.#end, start, this.#at)
        : this.#out.write(spelled, this.#end, 'utf8')
  }

  /** Remembered, so that texts without escapes are not all searched up to the next one with some. */
  #nextEscape(from: number): number {
    if (this.#escapeAt < from) {
      const found = this.#bytes.indexOf(backslash, from)
      this.#escapeAt = found < 0 ? this.#bytes.length : found
    }
    return this.#escapeAt
  }

  #scalar(): void {
    const bytes = this.#bytes
    const start = this.#at
    while (this.#at < bytes.length && !endsScalar(bytes[this.#at] as number)) this.#at++
    if (this.#at === start) throw endsEarly()
    this.#end += bytes.copy(this.#out, this.#end, start, this.#at)
  }

  #copyByte(): void {
    this.#out[this.#end++] = this.#bytes[this.#at++] as number
  }

  /** @returns the first byte of the next token */
  #next(): number {
    const bytes = this.#bytes
    let byte = bytes[this.#at]
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = bytes[++this.#at]
    if (byte === undefined) throw endsEarly()
    return byte
  }
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let backslashes = 0
  while (bytes[at - 1 - backslashes] === backslash) backslashes++
  return backslashes % 2 === 1
}

/**
 * Never longer than what it stands for: JSON.stringify escapes only what has to be.
 *
 * @returns undefined where an escape is broken; the provider may look at such a text, nobody can read it
 */
function shortestSpelling(bytes: Buffer, start: number, end: number): string | undefined {
  try {
    return JSON.stringify(JSON.parse(bytes.toString('utf8', start, end)))
  } catch {
    return undefined
  }
}

const endsScalar = (byte: number): boolean =>
  byte <= 0x20 || byte === comma || byte === closeBrace || byte === closeBracket

const endsEarly = (): Error => new Error('Not JSON, though its structure was checked.')
