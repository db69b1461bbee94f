import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { classifySecret, displayOf, generateSecret } from './key-format.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })

describe('generated secrets', () => {
  test('have one width and are recognised as ours, whatever the random bytes', () => {
    fc.assert(
      fc.property(bytes32, (random) => {
        const secret = generateSecret(random)
        expect(secret).toMatch(/^llmgw_[0-9A-Za-z]{49}$/)
        expect(classifySecret(secret)).toBe('ours')
      }),
    )
    expect(generateSecret(new Uint8Array(32))).toHaveLength(55)
    expect(generateSecret(new Uint8Array(32).fill(255))).toHaveLength(55)
  })

  test('differ where their random bytes differ', () => {
    fc.assert(
      fc.property(bytes32, fc.nat(31), fc.integer({ min: 1, max: 255 }), (random, at, flip) => {
        const other = Uint8Array.from(random, (byte, index) => (index === at ? byte ^ flip : byte))
        expect(generateSecret(other)).not.toBe(generateSecret(random))
      }),
    )
  })

  test('never repeat', () => {
    expect(new Set(Array.from({ length: 500 }, () => generateSecret())).size).toBe(500)
  })

  test('keep their form between releases, since they outlive them', () => {
    const secret = generateSecret(Uint8Array.from({ length: 32 }, (_, index) => index))
    expect(secret).toBe('llmgw_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf3AuSkU')
  })
})

describe('classifySecret', () => {
  test('one wrong character is always noticed', () => {
    fc.assert(
      fc.property(
        bytes32,
        fc.integer({ min: 6, max: 54 }),
        fc.constantFrom(...'0Az9_ é'),
        (random, at, replacement) => {
          const secret = generateSecret(random)
          fc.pre(secret[at] !== replacement)
          expect(classifySecret(secret.slice(0, at) + replacement + secret.slice(at + 1))).toBe('ours-bad-checksum')
        },
      ),
    )
  })

  test('a key that was cut or has something appended is one of ours, not whole', () => {
    const secret = generateSecret()
    for (const damaged of [secret.slice(0, -1), `${secret}x`, 'llmgw_', secret + 'x'.repeat(500)]) {
      expect(classifySecret(damaged)).toBe('ours-bad-checksum')
    }
  })

  test('a right checksum does not make a key out of characters that no key has', () => {
    const checked = `llmgw_${'Ā'.repeat(43)}`
    const forged = checked + checksumDigits(crc32(checked))
    expect(forged).toHaveLength(55)
    expect(classifySecret(forged)).toBe('ours-bad-checksum')
  })

  test('20 to 200 visible ASCII characters may be a key that an operator brought along', () => {
    expect(classifySecret('s'.repeat(20))).toBe('foreign')
    expect(classifySecret('~!'.repeat(100))).toBe('foreign')
    expect(classifySecret('LLMGW_not-our-prefix-in-capitals')).toBe('foreign')
  })

  test.each(['', 's'.repeat(19), 's'.repeat(201), `${'s'.repeat(20)} `, `${'s'.repeat(20)}\n`, `${'s'.repeat(20)}é`])(
    '%j cannot be a key',
    (presented) => {
      expect(classifySecret(presented)).toBe('malformed')
    },
  )

  test('length and visible ASCII alone decide about what does not carry our prefix', () => {
    const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)) })
    const almostVisible = fc
      .tuple(visible, fc.constantFrom('', ' ', '\x7f', '\0', 'ÿ', '漢'), visible)
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(almostVisible, fc.integer({ min: 0, max: 210 }), (text, padding) => {
        const presented = text + '='.repeat(padding)
        fc.pre(!presented.startsWith('llmgw_'))
        const expected = /^[\x21-\x7e]{20,200}$/.test(presented) ? 'foreign' : 'malformed'
        expect(classifySecret(presented)).toBe(expected)
      }),
    )
  })
})

describe('displayOf', () => {
  test('shows the prefix, four characters and the last four of ours, and less of what was brought along', () => {
    const secret = generateSecret()
    expect(displayOf(secret)).toEqual({ displayPrefix: secret.slice(0, 10), last4: secret.slice(-4) })
    expect(displayOf('sk-0123456789abcdefghij')).toEqual({ displayPrefix: 'sk-', last4: 'ghij' })
  })
})

function checksumDigits(checksum: number): string {
  const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
  let digits = ''
  for (let rest = checksum; digits.length < 6; rest = Math.floor(rest / 62))
    digits = alphabet.charAt(rest % 62) + digits
  return digits
}
