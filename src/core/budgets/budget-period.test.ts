import { expect, test } from 'vitest'
import type { BudgetPeriod } from './budget.ts'
import { budgetPeriodAt } from './budget-period.ts'

const bounds = (period: BudgetPeriod, zone: string, at: string): string[] => {
  const { startMs, endMs } = budgetPeriodAt(period, zone, Date.parse(at))
  return [startMs, endMs].map((ms) => (ms === undefined ? 'never' : new Date(ms).toISOString().replace('.000Z', 'Z')))
}

test.each<[BudgetPeriod, string, string, string, string]>([
  ['hour', 'UTC', '2026-11-30T23:59:59.999Z', '2026-11-30T23:00:00Z', '2026-12-01T00:00:00Z'],
  ['day', 'UTC', '2026-11-30T23:59:59.999Z', '2026-11-30T00:00:00Z', '2026-12-01T00:00:00Z'],
  ['week', 'UTC', '2026-11-30T00:00:00Z', '2026-11-30T00:00:00Z', '2026-12-07T00:00:00Z'],
  ['week', 'UTC', '2026-11-29T23:59:59.999Z', '2026-11-23T00:00:00Z', '2026-11-30T00:00:00Z'],
  ['month', 'UTC', '2026-11-30T23:59:59.999Z', '2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z'],
  ['month', 'UTC', '2026-12-01T00:00:00Z', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
  ['month', 'UTC', '2028-02-29T12:00:00Z', '2028-02-01T00:00:00Z', '2028-03-01T00:00:00Z'],
  ['quarter', 'UTC', '2026-12-31T23:59:59.999Z', '2026-10-01T00:00:00Z', '2027-01-01T00:00:00Z'],
  ['quarter', 'UTC', '2027-01-01T00:00:00Z', '2027-01-01T00:00:00Z', '2027-04-01T00:00:00Z'],
  ['total', 'UTC', '2026-12-31T23:59:59.999Z', '1970-01-01T00:00:00Z', 'never'],
])('a %s in %s at %s begins at %s and ends at %s', (period, zone, at, start, end) => {
  expect(bounds(period, zone, at)).toEqual([start, end])
})

test('a month in Berlin begins at its own midnight, in winter and in summer time', () => {
  expect(bounds('month', 'Europe/Berlin', '2026-10-31T23:30:00Z')).toEqual([
    '2026-10-31T23:00:00Z',
    '2026-11-30T23:00:00Z',
  ])
  expect(bounds('month', 'Europe/Berlin', '2026-10-15T00:00:00Z')).toEqual([
    '2026-09-30T22:00:00Z',
    '2026-10-31T23:00:00Z',
  ])
})

test('days on which clocks change have 23 and 25 hours', () => {
  expect(bounds('day', 'Europe/Berlin', '2026-03-29T12:00:00Z')).toEqual([
    '2026-03-28T23:00:00Z',
    '2026-03-29T22:00:00Z',
  ])
  expect(bounds('day', 'Europe/Berlin', '2026-10-25T12:00:00Z')).toEqual([
    '2026-10-24T22:00:00Z',
    '2026-10-25T23:00:00Z',
  ])
})

test('a day whose midnight is skipped begins when clocks go on, and one that has it twice begins at the first', () => {
  // Chile goes from 24:00 on Saturday to 01:00 on Sunday; Cuba from 01:00 back to 00:00.
  expect(bounds('day', 'America/Santiago', '2026-09-06T12:00:00Z')[0]).toBe('2026-09-06T04:00:00Z')
  expect(bounds('day', 'America/Havana', '2026-11-01T12:00:00Z')[0]).toBe('2026-11-01T04:00:00Z')
})

test('hours follow zones that are half an hour off', () => {
  expect(bounds('hour', 'Asia/Kolkata', '2026-11-30T10:45:00Z')).toEqual([
    '2026-11-30T10:30:00Z',
    '2026-11-30T11:30:00Z',
  ])
})

test('every instant lies in its period, and the next period begins where it ends', () => {
  for (const zone of ['UTC', 'Europe/Berlin', 'America/Santiago', 'Australia/Lord_Howe', 'Pacific/Apia']) {
    for (const period of ['day', 'week', 'month', 'quarter'] as const) {
      for (let at = Date.UTC(2026, 0); at < Date.UTC(2027, 0); at += 61 * 3_600_000 + 123_457) {
        const { startMs, endMs } = budgetPeriodAt(period, zone, at)
        expect(startMs).toBeLessThanOrEqual(at)
        expect(endMs).toBeGreaterThan(at)
        expect(budgetPeriodAt(period, zone, endMs as number).startMs).toBe(endMs)
        expect(budgetPeriodAt(period, zone, (endMs as number) - 1).startMs).toBe(startMs)
      }
    }
  }
})
