import { hkdfSync } from 'node:crypto'

/** Wraps data keys, and nothing else. */
export interface KeyEncryptionKey {
  /** Such as `kek-0f3a…`: derived from the master key, so that all who have the same one say the same; no secret. */
  readonly id: string
  /** 32 bytes. */
  readonly key: Buffer
}

/** The key-encryption keys of this process: new secrets take the current one, earlier ones are opened with any. */
export interface Keyring {
  readonly current: KeyEncryptionKey
  /** The current one and the others, without repetition. */
  readonly ids: readonly string[]
  find(id: string): KeyEncryptionKey | undefined
}

/**
 * @param master - 32 bytes; what protects secrets that are written from now on
 * @param others - master keys from before it, or the one that will follow it; secrets sealed under them can be read
 */
export function createKeyring(master: Buffer, others: readonly Buffer[] = []): Keyring {
  const current = deriveKeyEncryptionKey(master)
  const known = new Map([current, ...others.map(deriveKeyEncryptionKey)].map((key) => [key.id, key]))
  return { current, ids: [...known.keys()], find: (id) => known.get(id) }
}

/** Key and id come of one derivation (HKDF, RFC 5869) under two labels: neither tells of the other or of the master. */
export function deriveKeyEncryptionKey(master: Buffer): KeyEncryptionKey {
  return {
    id: `kek-${derive(master, 'id', 8).toString('hex')}`,
    key: derive(master, 'key', 32),
  }
}

const derive = (master: Buffer, label: string, bytes: number): Buffer =>
  Buffer.from(hkdfSync('sha256', master, '', `llmgw key-encryption key v1 ${label}`, bytes))
