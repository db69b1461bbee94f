import { expect, test } from 'vitest'
import { CallIds } from './call-ids.ts'

test('an id keeps its name where it can, is cut where it must be, and two never share one', () => {
  const ids = new CallIds(8)
  expect(ids.of('call_1')).toBe('call_1')
  expect(ids.of('call.1')).toBe('call_1_2')
  expect(ids.of('call:1')).toBe('call_1_3')
  expect(ids.of('call.1')).toBe('call_1_2')
  expect(ids.of('longer-than-eight')).toBe('longer-t')
  expect(ids.of('longer-than-nine')).toBe('longer_2')
})
