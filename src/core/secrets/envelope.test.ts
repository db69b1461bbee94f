import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Secret } from '../secret.ts'
import { openSecret, rewrapSecret, type SealedPlace, type SealedSecret, sealSecret } from './envelope.ts'
import { createKeyring, deriveKeyEncryptionKey } from './keyring.ts'

const master = Buffer.alloc(32, 'a master key')
const laterMaster = Buffer.alloc(32, 'a later master key')
const keyring = createKeyring(master)
const place: SealedPlace = {
  tenant: 'gateway',
  table: 'provider_credentials',
  rowId: '0192e4a0-0000-7000-8000-000000000001',
  field: 'apiKey',
  origin: 'https://api.openai.com:443',
}
const text = 'sk-secret-0123456789'
const seal = (): SealedSecret => sealSecret(keyring, place, new Secret(text))

describe('what is sealed', () => {
  test('opens in its place, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (given) => {
        const sealed = sealSecret(keyring, place, new Secret(given))
        expect(openSecret(keyring, place, sealed).reveal()).toBe(given.toWellFormed())
      }),
    )
  })

  test('shares nothing with another sealing of the same, neither nonces nor keys', () => {
    const sealings = Array.from({ length: 50 }, seal)
    for (const part of [
      (sealed: SealedSecret) => sealed.nonce,
      (sealed: SealedSecret) => sealed.ciphertext,
      (sealed: SealedSecret) => sealed.wrappedDataKey.subarray(0, 12),
      (sealed: SealedSecret) => sealed.wrappedDataKey.subarray(12),
    ]) {
      expect(new Set(sealings.map((sealed) => part(sealed).toString('hex'))).size).toBe(sealings.length)
    }
    expect(sealings[0]).toMatchObject({ keyEncryptionKeyId: keyring.current.id })
    expect(sealings[0]?.nonce).toHaveLength(12)
    expect(sealings[0]?.wrappedDataKey).toHaveLength(12 + 32 + 16)
    expect(sealings[0]?.ciphertext).toHaveLength(text.length + 16)
  })

  test.each(Object.keys(place) as (keyof SealedPlace)[])('does not open with another %s', (part) => {
    const sealed = seal()
    const elsewhere = { ...place, [part]: `${place[part]}x` }
    expect(() => openSecret(keyring, elsewhere, sealed)).toThrow(/another row, field or origin/)
    expect(() => rewrapSecret(keyring, elsewhere, sealed)).toThrow(/another row, field or origin/)
  })

  test('does not open where its parts are split differently between the fields', () => {
    const sealed = sealSecret(keyring, { ...place, table: 'a', rowId: 'b","c' }, new Secret(text))
    const shifted = { ...place, table: 'a","b', rowId: 'c' }
    expect(() => openSecret(keyring, shifted, sealed)).toThrow(expect.objectContaining({ reason: 'unreadable' }))
  })

  test.each(['ciphertext', 'nonce', 'wrappedDataKey'] as const)(
    'does not open with any bit of its %s flipped',
    (part) => {
      const sealed = seal()
      for (let bit = 0; bit < sealed[part].length * 8; bit++) {
        const changed = Buffer.from(sealed[part])
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
        expect(() => openSecret(keyring, place, { ...sealed, [part]: changed })).toThrow(
          expect.objectContaining({ reason: 'unreadable' }),
        )
      }
    },
  )

  test.each(['ciphertext', 'nonce', 'wrappedDataKey'] as const)(
    'does not open with its %s cut or lengthened',
    (part) => {
      const sealed = seal()
      const bytes = sealed[part]
      const lengths = Array.from({ length: bytes.length }, (_, length) => bytes.subarray(0, length))
      for (const changed of [...lengths, Buffer.concat([bytes, Buffer.alloc(1)])]) {
        expect(() => openSecret(keyring, place, { ...sealed, [part]: changed })).toThrow(
          expect.objectContaining({ reason: 'unreadable' }),
        )
      }
    },
  )

  test('does not open with the ciphertext or the data key of another secret in the same place', () => {
    const [one, another] = [seal(), seal()]
    const mixed = [
      { ...one, ciphertext: another.ciphertext, nonce: another.nonce },
      { ...one, wrappedDataKey: another.wrappedDataKey },
    ]
    for (const sealed of mixed) expect(() => openSecret(keyring, place, sealed)).toThrow(/does not open/)
  })

  test('is not part of what is said about it', () => {
    const sealed = seal()
    for (const bytes of [sealed.ciphertext, sealed.wrappedDataKey]) expect(bytes.includes(text)).toBe(false)
    expect(`${openSecret(keyring, place, sealed)}`).toBe('[secret]')
  })
})

describe('key-encryption keys', () => {
  test('come of the master key alone', () => {
    expect(deriveKeyEncryptionKey(master)).toEqual(deriveKeyEncryptionKey(Buffer.from(master)))
    expect(deriveKeyEncryptionKey(master).id).toMatch(/^kek-[0-9a-f]{16}$/)
    expect(deriveKeyEncryptionKey(laterMaster).id).not.toBe(keyring.current.id)
    expect(deriveKeyEncryptionKey(master).key).not.toEqual(master)
    expect(deriveKeyEncryptionKey(master).key).toHaveLength(32)
  })

  test('that are not there are named, with those that are', () => {
    const other = createKeyring(randomBytes(32))
    let error: unknown
    try {
      openSecret(other, place, seal())
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ reason: 'key_unknown' })
    expect(String(error)).toContain(keyring.current.id)
    expect(String(error)).toContain(other.current.id)
  })

  test('cannot pass for one another', () => {
    const both = createKeyring(laterMaster, [master])
    const sealed = { ...seal(), keyEncryptionKeyId: both.current.id }
    expect(() => openSecret(both, place, sealed)).toThrow(/does not open/)
  })

  test('are replaced by wrapping the data key anew, after which the earlier one opens nothing', () => {
    const sealed = seal()
    const both = createKeyring(laterMaster, [master, laterMaster])
    expect(both.ids).toEqual([deriveKeyEncryptionKey(laterMaster).id, keyring.current.id])
    const rewrapped = { ...sealed, ...rewrapSecret(both, place, sealed) }
    expect(rewrapped.ciphertext).toEqual(sealed.ciphertext)
    expect(rewrapped.keyEncryptionKeyId).toBe(both.current.id)
    expect(openSecret(createKeyring(laterMaster), place, rewrapped).reveal()).toBe(text)
    expect(() => openSecret(keyring, place, rewrapped)).toThrow(expect.objectContaining({ reason: 'key_unknown' }))
  })
})
