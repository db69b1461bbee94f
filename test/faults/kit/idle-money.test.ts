import { expect, test } from 'vitest'
import { longestIdleBeforeRefusal, type SpentBudget } from './idle-money.ts'

const budget = (scopeId: string, limitNano: bigint, calls: SpentBudget['calls']): SpentBudget => ({
  scopeId,
  limitNano,
  calls,
})

const refused = [{ refusedMs: 1_000, worstNano: 10n, scopeIds: ['key', 'team'] }]

test('money that a call under way has reserved is not idle', () => {
  const calls = [{ startMs: 100, endMs: 2_000, worstNano: 95n, costNano: 5n }]
  expect(longestIdleBeforeRefusal([budget('key', 100n, calls)], refused)).toEqual({ longestMs: 0 })
})

test('what a call has left over is idle from its end on', () => {
  const calls = [{ startMs: 100, endMs: 600, worstNano: 95n, costNano: 5n }]
  expect(longestIdleBeforeRefusal([budget('key', 100n, calls)], refused)).toEqual({ longestMs: 400 })
})

test('it is idle no more when another call takes it, and again from the end of that one on', () => {
  const calls = [
    { startMs: 100, endMs: 600, worstNano: 95n, costNano: 5n },
    { startMs: 700, endMs: 900, worstNano: 90n, costNano: 1n },
  ]
  expect(longestIdleBeforeRefusal([budget('key', 100n, calls)], refused)).toEqual({ longestMs: 100 })
})

test('there must be room in every budget at once, and budgets of others do not count', () => {
  const short = [{ startMs: 100, endMs: 600, worstNano: 95n, costNano: 5n }]
  const long = [{ startMs: 100, endMs: 850, worstNano: 95n, costNano: 5n }]
  const budgets = [budget('key', 100n, short), budget('team', 100n, long), budget('other', 1n, long)]
  expect(longestIdleBeforeRefusal(budgets, refused)).toEqual({ longestMs: 150 })
})

test('a refused call has taken nothing', () => {
  const calls = [
    { startMs: 100, endMs: 600, worstNano: 95n, costNano: 5n },
    { startMs: 650, endMs: 990, worstNano: 95n, costNano: 0n },
  ]
  expect(longestIdleBeforeRefusal([budget('key', 100n, calls)], refused)).toEqual({ longestMs: 400 })
})
