import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { Secret } from '../secret.ts'
import type { KeyEncryptionKey, Keyring } from './keyring.ts'

/** Where a secret lies and what it is for. It opens there only, so that no row can borrow the secret of another. */
export interface SealedPlace {
  /** The organization the row belongs to; `gateway` for what belongs to all of them. */
  readonly tenant: string
  readonly table: string
  readonly rowId: string
  readonly field: string
  /** Where the secret may be sent. */
  readonly origin: string
}

/** As it is stored: useless without the master key. */
export interface SealedSecret {
  /** With the 16 bytes of the tag at its end. */
  readonly ciphertext: Buffer
  /** 12 bytes. */
  readonly nonce: Buffer
  /** The record's own key, encrypted: 12 bytes of nonce, 32 of key, 16 of tag. */
  readonly wrappedDataKey: Buffer
  readonly keyEncryptionKeyId: string
}

/** What goes wrong with sealed secrets, in words fit for an operator; never anything of the secret. */
export class SealedSecretError extends Error {
  readonly reason: 'key_unknown' | 'unreadable'

  constructor(reason: SealedSecretError['reason'], message: string) {
    super(message)
    this.name = 'SealedSecretError'
    this.reason = reason
  }
}

/**
 * Encrypts with AES-256-GCM under a key made for this record alone, which in turn is wrapped by the current
 * key-encryption key. Both are tied to the place: NIST SP 800-38D's additional authenticated data.
 */
export function sealSecret(keyring: Keyring, place: SealedPlace, secret: Secret): SealedSecret {
  const dataKey = randomBytes(dataKeyBytes)
  const nonce = randomBytes(nonceBytes)
  const sealed = {
    ciphertext: encrypt(dataKey, nonce, additionalData('secret', place), Buffer.from(secret.reveal())),
    nonce,
    ...wrapDataKey(keyring.current, place, dataKey),
  }
  dataKey.fill(0)
  return sealed
}

/** @throws SealedSecretError when the key is not known, or anything is not as it was sealed */
export function openSecret(keyring: Keyring, place: SealedPlace, sealed: SealedSecret): Secret {
  const dataKey = unwrapDataKey(keyring, place, sealed)
  try {
    const text = decrypt(dataKey, sealed.nonce, additionalData('secret', place), sealed.ciphertext)
    return new Secret(text.toString())
  } finally {
    dataKey.fill(0)
  }
}

/**
 * Wraps the record's key anew; the ciphertext stays as it is.
 *
 * @throws SealedSecretError as `openSecret`
 */
export function rewrapSecret(
  keyring: Keyring,
  place: SealedPlace,
  sealed: SealedSecret,
): Pick<SealedSecret, 'wrappedDataKey' | 'keyEncryptionKeyId'> {
  const dataKey = unwrapDataKey(keyring, place, sealed)
  const wrapped = wrapDataKey(keyring.current, place, dataKey)
  dataKey.fill(0)
  return wrapped
}

const dataKeyBytes = 32
const nonceBytes = 12
const tagBytes = 16

function wrapDataKey(
  { id, key }: KeyEncryptionKey,
  place: SealedPlace,
  dataKey: Buffer,
): Pick<SealedSecret, 'wrappedDataKey' | 'keyEncryptionKeyId'> {
  const nonce = randomBytes(nonceBytes)
  const wrapped = encrypt(key, nonce, additionalData(`data key ${id}`, place), dataKey)
  return { wrappedDataKey: Buffer.concat([nonce, wrapped]), keyEncryptionKeyId: id }
}

function unwrapDataKey(keyring: Keyring, place: SealedPlace, sealed: SealedSecret): Buffer {
  const { wrappedDataKey, keyEncryptionKeyId: id } = sealed
  const kek = keyring.find(id)
  if (!kek) {
    const message = `It is sealed under the key-encryption key ${id}, which this process does not have (it has ${keyring.ids.join(', ')}).`
    throw new SealedSecretError('key_unknown', message)
  }
  const nonce = wrappedDataKey.subarray(0, nonceBytes)
  const dataKey = decrypt(kek.key, nonce, additionalData(`data key ${id}`, place), wrappedDataKey.subarray(nonceBytes))
  if (dataKey.length === dataKeyBytes) return dataKey
  throw unreadable()
}

function encrypt(key: Buffer, nonce: Buffer, additional: Buffer, plaintext: Buffer): Buffer {
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(additional)
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

function decrypt(key: Buffer, nonce: Buffer, additional: Buffer, sealed: Buffer): Buffer {
  // A nonce of another length is no error to GCM, and a short tag is one that can be guessed.
  if (nonce.length !== nonceBytes || sealed.length < tagBytes) throw unreadable()
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  decipher.setAAD(additional)
  decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - tagBytes)), decipher.final()])
  } catch {
    throw unreadable() // the library's own words would say which step failed
  }
}

const algorithm = 'aes-256-gcm'

const unreadable = (): SealedSecretError =>
  new SealedSecretError(
    'unreadable',
    'It does not open: it was sealed for another row, field or origin, or it was changed since.',
  )

/** JSON keeps the parts apart whatever they contain. */
const additionalData = (purpose: string, { tenant, table, rowId, field, origin }: SealedPlace): Buffer =>
  Buffer.from(JSON.stringify(['llmgw envelope v1', purpose, tenant, table, rowId, field, origin]))
