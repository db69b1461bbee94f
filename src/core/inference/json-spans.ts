/** Where the value of a member stands in the bytes of a JSON object: from `start` up to, not including, `end`. */
export interface Span {
  start: number
  end: number
}

export class DuplicateMemberError extends Error {
  readonly member: string
  constructor(member: string) {
    super(`The member ${JSON.stringify(member)} occurs twice.`)
    this.member = member
  }
}

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

/**
 * Finds the top-level members of a JSON object without building values, so that single members can be changed and the
 * rest forwarded as it came.
 *
 * @param bytes - a JSON object that a parser has already accepted: nothing is validated here
 * @throws DuplicateMemberError when a name occurs twice, also when it is spelled with escapes: two parsers might each
 *   take another one, and what we checked would not be what the provider reads
 */
export function topLevelSpans(bytes: Buffer): Map<string, Span> {
  const spans = new Map<string, Span>()
  let at = afterSpace(bytes, 0) + 1
  for (;;) {
    at = afterSpace(bytes, at)
    if (at >= bytes.length || bytes[at] === closeBrace) return spans
    const keyEnd = endOfString(bytes, at)
    const name = memberName(bytes, at, keyEnd)
    const start = afterSpace(bytes, afterSpace(bytes, keyEnd) + 1)
    const end = endOfValue(bytes, start)
    if (spans.has(name)) throw new DuplicateMemberError(name)
    spans.set(name, { start, end })
    at = afterSpace(bytes, end)
    if (bytes[at] !== closeBrace) at++
  }
}

function memberName(bytes: Buffer, start: number, end: number): string {
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number
    if (byte === backslash || byte > 0x7f) return JSON.parse(bytes.toString('utf8', start, end)) as string
  }
  return bytes.toString('latin1', start + 1, end - 1)
}

function afterSpace(bytes: Buffer, start: number): number {
  let at = start
  while (at < bytes.length && (bytes[at] as number) <= 0x20) at++
  return at
}

/** @returns the index after the closing quote of the string that opens at `open` */
function endOfString(bytes: Buffer, open: number): number {
  // Short strings are the rule in the structure of a request: look at a few bytes here before asking for a search.
  const near = Math.min(bytes.length, open + 33)
  for (let i = open + 1; i < near; i++) {
    const byte = bytes[i]
    if (byte === quote) return i + 1
    if (byte === backslash) i++
  }
  let from = open + 1
  for (;;) {
    const at = bytes.indexOf(quote, from)
    if (at === -1) return bytes.length
    let backslashes = 0
    while (bytes[at - 1 - backslashes] === backslash) backslashes++
    if (backslashes % 2 === 0) return at + 1
    from = at + 1
  }
}

function endOfValue(bytes: Buffer, start: number): number {
  const first = bytes[start]
  if (first === quote) return endOfString(bytes, start)
  let at = start
  if (first !== openBrace && first !== openBracket) {
    while (at < bytes.length && !endsScalar(bytes[at] as number)) at++
    return at
  }
  let depth = 0
  while (at < bytes.length) {
    const byte = bytes[at]
    if (byte === quote) {
      at = endOfString(bytes, at)
      continue
    }
    at++
    if (byte === openBrace || byte === openBracket) depth++
    else if ((byte === closeBrace || byte === closeBracket) && --depth === 0) break
  }
  return at
}

const endsScalar = (byte: number): boolean =>
  byte <= 0x20 || byte === 0x2c || byte === closeBrace || byte === closeBracket
