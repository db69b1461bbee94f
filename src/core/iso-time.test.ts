import { expect, test } from 'vitest'
import { isoTime } from './iso-time.ts'

test('every moment is told as it is, again and again', () => {
  for (const ms of [1_763_928_000_123, 1_763_928_000_123, 1_763_928_000_124, 0, 1_763_928_000_123]) {
    expect(isoTime(ms)).toBe(new Date(ms).toISOString())
  }
})
