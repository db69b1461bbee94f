import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

/**
 * What a virtual key looks like: `llmgw_`, 32 random bytes in base62, and a checksum, all of fixed width. The prefix
 * lets secret scanners find a leaked key; the checksum turns a cut or mistyped one away before anything is looked up.
 */
export const secretPrefix = 'llmgw_'

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const digitOf: readonly number[] = Array.from({ length: 128 }, (_, code) => alphabet.indexOf(String.fromCharCode(code)))
const randomByteCount = 32
const randomWidth = 43 // 62^43 > 2^256
const checksumWidth = 6 // 62^6 > 2^32
const checkedWidth = secretPrefix.length + randomWidth
const secretWidth = checkedWidth + checksumWidth

/** Secrets that an operator brought along from elsewhere. */
export const foreignLengthMin = 20
export const foreignLengthMax = 200

export type SecretClass = 'ours' | 'ours-bad-checksum' | 'foreign' | 'malformed'

/** @param random - 32 bytes; the system's generator unless a test says otherwise */
export function generateSecret(random: Uint8Array = randomBytes(randomByteCount)): string {
  if (random.length !== randomByteCount) throw new RangeError(`A secret takes ${randomByteCount} random bytes.`)
  const checked = secretPrefix + base62(BigInt(`0x${Buffer.from(random).toString('hex')}`), randomWidth)
  return checked + base62(BigInt(crc32(checked)), checksumWidth)
}

/**
 * Tells from its form alone whether a presented secret can be a key.
 *
 * @returns `ours`: made by a gateway, checksum right; `ours-bad-checksum`: carries our prefix and is not whole;
 *   `foreign`: 20 to 200 visible ASCII characters; `malformed`: nothing that could ever be a key
 */
export function classifySecret(presented: string): SecretClass {
  if (!presented.startsWith(secretPrefix)) return isVisible(presented) ? 'foreign' : 'malformed'
  const isOurs =
    presented.length === secretWidth &&
    isVisible(presented) &&
    numberAt(presented, checkedWidth, checksumWidth) === crc32(presented.slice(0, checkedWidth))
  return isOurs ? 'ours' : 'ours-bad-checksum'
}

/** What a key is recognised by in lists and messages; far too little to guess the rest from. */
export function displayOf(secret: string): { displayPrefix: string; last4: string } {
  const shown = secret.startsWith(secretPrefix) ? secretPrefix.length + 4 : 3
  return { displayPrefix: secret.slice(0, shown), last4: secret.slice(-4) }
}

function isVisible(presented: string): boolean {
  if (presented.length < foreignLengthMin || presented.length > foreignLengthMax) return false
  for (let at = 0; at < presented.length; at++) {
    const code = presented.charCodeAt(at)
    if (code < 0x21 || code > 0x7e) return false
  }
  return true
}

function base62(value: bigint, width: number): string {
  let digits = ''
  for (let rest = value; rest > 0n; rest /= 62n) digits = alphabet[Number(rest % 62n)] + digits
  return digits.padStart(width, '0')
}

/** Reads base62 in plain numbers, for it runs at every request; -1 when a character is none of the alphabet. */
function numberAt(text: string, from: number, width: number): number {
  let value = 0
  for (let at = from; at < from + width; at++) {
    const digit = digitOf[text.charCodeAt(at)] ?? -1
    if (digit < 0) return -1
    value = value * 62 + digit
  }
  return value
}
