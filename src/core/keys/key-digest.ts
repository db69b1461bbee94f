import { hash, timingSafeEqual } from 'node:crypto'

/**
 * The only form in which secrets are kept: HMAC-SHA-256 under a pepper that is not in the database, so that a dump of
 * it alone neither reveals a key nor lets anybody test guesses.
 */
export interface KeyDigester {
  /** Names the current pepper in `api_keys.pepper_id`. */
  readonly pepperId: string
  /**
   * The digest under the current pepper, as 32 latin1 characters: the cheapest full-length key of a map.
   *
   * @param secret - at most 200 ASCII characters, as `classifySecret` lets through
   */
  digest(secret: string): string
  /** The digests under every pepper, the current one first: what a look-up in the database has to try. */
  digests(secret: string): KeyDigest[]
}

export interface KeyDigest {
  pepperId: string
  bytes: Buffer
}

const pepperBytesMin = 32
const blockBytes = 64
const digestBytes = 32
const secretBytesMax = 200
const outerHashesMax = 10_000

/**
 * @param peppers - the current one first, then those that older keys were made with; at least 32 bytes each
 * @throws RangeError when there is none or one is too short
 */
export function createKeyDigester(peppers: readonly Uint8Array[]): KeyDigester {
  const macs = peppers.map((pepper) => ({ pepperId: pepperIdOf(pepper), mac: createMac(pepper) }))
  const [current] = macs
  if (!current) throw new RangeError('The gateway needs a pepper to recognise keys with.')
  return {
    pepperId: current.pepperId,
    digest: current.mac,
    digests: (secret) => macs.map(({ pepperId, mac }) => ({ pepperId, bytes: Buffer.from(mac(secret), 'latin1') })),
  }
}

/** The first 8 hex digits of the pepper's SHA-256: says which pepper, and nothing about it. */
export function pepperIdOf(pepper: Uint8Array): string {
  return hash('sha256', pepper, 'hex').slice(0, 8)
}

/** Compares without telling by its timing how much was equal. */
export function equalDigests(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/**
 * HMAC-SHA-256 (RFC 2104) with both padded keys laid out once: two one-shot hashes over buffers that are reused.
 * `createHmac` builds an object for each message, which costs three times as much (2.1 us against 0.7 us).
 */
function createMac(pepper: Uint8Array): (message: string) => string {
  if (pepper.length < pepperBytesMin) throw new RangeError(`A pepper has at least ${pepperBytesMin} bytes.`)
  const key = pepper.length > blockBytes ? hash('sha256', pepper, 'buffer') : pepper
  const inner = Buffer.alloc(blockBytes + secretBytesMax)
  const outer = Buffer.alloc(blockBytes + digestBytes)
  for (let at = 0; at < blockBytes; at++) {
    inner[at] = (key[at] ?? 0) ^ 0x36
    outer[at] = (key[at] ?? 0) ^ 0x5c
  }
  // One view for each length, since making a view costs as much as hashing.
  const innerOfLength = Array.from({ length: secretBytesMax + 1 }, (_, length) =>
    inner.subarray(0, blockBytes + length),
  )
  // Of secrets in use the second hash follows from the first one, which says as little about them.
  const outerHashes = new Map<string, string>()
  return (message) => {
    const view = innerOfLength[message.length]
    if (!view) throw new RangeError(`A secret has at most ${secretBytesMax} characters.`)
    inner.write(message, blockBytes, 'latin1')
    const innerHash = hash('sha256', view, 'binary')
    const known = outerHashes.get(innerHash)
    if (known !== undefined) return known
    outer.write(innerHash, blockBytes, 'latin1')
    const outerHash = hash('sha256', outer, 'binary')
    if (outerHashes.size === outerHashesMax) outerHashes.clear()
    outerHashes.set(innerHash, outerHash)
    return outerHash
  }
}
