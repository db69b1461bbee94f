import { expect, test } from 'vitest'
import { moment } from './moment.ts'

test.each([
  ['2026-11-01', '2026-11-01T00:00:00.000Z'],
  ['2028-02-29', '2028-02-29T00:00:00.000Z'],
  ['2026-11-01T08:30Z', '2026-11-01T08:30:00.000Z'],
  ['2026-11-01T00:30:00.250+02:00', '2026-10-31T22:30:00.250Z'],
])('%s', (text, read) => {
  expect(moment(text).toISOString()).toBe(read)
})

test.each([
  '',
  'today',
  '2026-11',
  '2026-02-30',
  '2026-13-01',
  '2026-02-30T00:00:00Z',
  '2026-11-01T08:00',
  '1.11.2026',
])('"%s" is refused', (text) => {
  expect(() => moment(text)).toThrow(/Expected a date/)
})
