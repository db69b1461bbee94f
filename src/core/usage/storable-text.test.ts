import fc from 'fast-check'
import { expect, test } from 'vitest'
import { storableText } from './storable-text.ts'

test('any text comes back from its JSON, but for what PostgreSQL cannot store', () => {
  const characters = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('"', '\\', '\0', '\ud800', 'é'),
  )
  fc.assert(
    fc.property(fc.array(characters), (parts) => {
      const value = parts.join('')
      expect(JSON.parse(storableText(value))).toBe(value.toWellFormed().replaceAll('\0', '\ufffd'))
    }),
  )
  expect(storableText(null)).toBe('null')
})
