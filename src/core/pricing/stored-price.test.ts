import { expect, test } from 'vitest'
import { canonicalRates, parsePrice } from './stored-price.ts'

const base = { serviceTier: 'default', aboveInputTokens: 0 } as const

test('prices that differ only in order are the same', () => {
  const dear = { serviceTier: 'priority', aboveInputTokens: 0, rates: { input: '2' } } as const
  const one = canonicalRates({ tables: [{ ...base, rates: { input: '1', output: '3' } }, dear] })
  const other = canonicalRates({ tables: [dear, { rates: { output: '3', input: '1' }, ...base }] })
  expect(one).toBe(other)
  expect(canonicalRates({ tables: [{ ...base, rates: { input: '1', output: '4' } }, dear] })).not.toBe(one)
})

test('a table without rates makes no difference', () => {
  const tables = [{ ...base, rates: { input: '1' } }]
  expect(canonicalRates({ tables: [...tables, { ...base, aboveInputTokens: 9, rates: {} }] })).toBe(
    canonicalRates({ tables }),
  )
})

test.each([
  ['no tables', {}],
  ['a rate with a fraction', { tables: [{ ...base, rates: { input: '1.5' } }] }],
  ['a negative rate', { tables: [{ ...base, rates: { input: '-1' } }] }],
  ['a rate that is a float', { tables: [{ ...base, rates: { input: 0.1 } }] }],
  ['an unknown tier', { tables: [{ ...base, serviceTier: 'vip', rates: {} }] }],
  ['a size that is no number', { tables: [{ ...base, aboveInputTokens: Number.NaN, rates: {} }] }],
])('a stored price with %s is refused', (_, stored) => {
  expect(() => parsePrice('p', stored as never)).toThrow(RangeError)
})
