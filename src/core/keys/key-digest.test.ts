import { createHmac, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createKeyDigester, equalDigests, pepperIdOf } from './key-digest.ts'

const current = Buffer.alloc(32, 1)
const previous = Buffer.alloc(32, 2)

describe('createKeyDigester', () => {
  test('is HMAC-SHA-256, for any pepper and any secret, in any order', () => {
    const pepper = fc.uint8Array({ minLength: 32, maxLength: 130 })
    const secret = fc.string({ unit: 'grapheme-ascii', maxLength: 200 })
    fc.assert(
      fc.property(pepper, fc.array(secret, { minLength: 1, maxLength: 5 }), (key, secrets) => {
        const digester = createKeyDigester([key])
        for (const each of secrets) {
          expect(Buffer.from(digester.digest(each), 'latin1').toString('hex')).toBe(
            createHmac('sha256', key).update(each).digest('hex'),
          )
        }
      }),
    )
  })

  test('looks for older keys under the peppers they were made with', () => {
    const digests = createKeyDigester([current, previous]).digests('a-secret-of-some-length')
    expect(digests.map(({ pepperId }) => pepperId)).toEqual([pepperIdOf(current), pepperIdOf(previous)])
    expect(digests[1]?.bytes).toEqual(createHmac('sha256', previous).update('a-secret-of-some-length').digest())
  })

  test('refuses to run without a pepper, or with a short one', () => {
    expect(() => createKeyDigester([])).toThrow(RangeError)
    expect(() => createKeyDigester([randomBytes(31)])).toThrow('at least 32 bytes')
    expect(() => createKeyDigester([current, randomBytes(8)])).toThrow('at least 32 bytes')
  })

  test('refuses what is longer than a secret may be', () => {
    expect(() => createKeyDigester([current]).digest('x'.repeat(201))).toThrow(RangeError)
  })
})

test('a pepper is named by eight hex digits that differ between peppers', () => {
  expect(pepperIdOf(current)).toMatch(/^[0-9a-f]{8}$/)
  expect(pepperIdOf(current)).not.toBe(pepperIdOf(previous))
})

test('digests are equal when all of their bytes are', () => {
  expect(equalDigests(Buffer.from('abc'), Buffer.from('abc'))).toBe(true)
  expect(equalDigests(Buffer.from('abc'), Buffer.from('abd'))).toBe(false)
  expect(equalDigests(Buffer.from('abc'), Buffer.from('ab'))).toBe(false)
})
