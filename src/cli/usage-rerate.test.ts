import { expect, test } from 'vitest'
import type { RerateOptions, RerateResult } from '../core/usage/rerate.ts'
import { rerateUsageCommand, type UsageRerateCommandOptions } from './usage-rerate.ts'

const options = {
  from: new Date('2026-11-01T00:00:00Z'),
  to: new Date('2026-12-01T00:00:00Z'),
  model: 'gpt-4o',
} satisfies UsageRerateCommandOptions

const rerated = (changes: Partial<Extract<RerateResult, { status: 'rerated' }>> = {}): RerateResult => ({
  status: 'rerated',
  calls: 3,
  changed: 2,
  withoutPrice: 0,
  inconsistent: 0,
  unpriced: 0,
  oldNano: 5_000_000_000n,
  newNano: 4_000_000_000n,
  groups: [
    {
      keyId: 'k1',
      keyName: 'checkout',
      provider: 'openai',
      calls: 2,
      oldNano: 4_000_000_000n,
      newNano: 2_500_000_000n,
    },
    { keyId: 'k2', keyName: undefined, provider: 'azure', calls: 1, oldNano: 1_000_000_000n, newNano: 1_500_000_000n },
  ],
  overspent: [],
  ...changes,
})

async function run(result: RerateResult, more: Partial<UsageRerateCommandOptions> = {}) {
  const lines: string[] = []
  const asked: RerateOptions[] = []
  const deps = {
    rerate: async (wanted: RerateOptions) => {
      asked.push(wanted)
      return result
    },
    print: (line: string) => void lines.push(line),
  }
  return { status: await rerateUsageCommand(deps, { ...options, ...more }), lines, asked }
}

test('without --apply it only computes, and says what it would come to', async () => {
  const { status, lines, asked } = await run(rerated())
  expect(asked).toEqual([{ ...options, provider: undefined, apply: false }])
  expect(lines).toEqual([
    '3 calls were billed for this model in that time; 2 would change.',
    'They cost $5 and would cost $4 at the other price: -$1.',
    '  checkout (openai): 2 calls, $4 -> $2.5, -$1.5',
    '  k2 (azure): 1 calls, $1 -> $1.5, +$0.5',
    'Nothing was changed. Run it with --apply to enter the difference into the ledger.',
  ])
  expect(status).toBe(0)
})

test('with --apply it says what was done, and which budgets are overspent by it', async () => {
  const overspent = [
    {
      id: 'p',
      budgetId: 'b',
      periodStart: options.from,
      mode: 'hard' as const,
      limitNano: 1_000_000_000n,
      committedNano: 1_250_000_000n,
    },
  ]
  const { lines, asked } = await run(rerated({ overspent }), { apply: true, provider: 'openai' })
  expect(asked).toEqual([{ ...options, provider: 'openai', apply: true }])
  expect(lines.slice(0, 2)).toEqual([
    '3 calls were billed for this model in that time; 2 were changed.',
    'They cost $5 and cost $4 now: -$1.',
  ])
  expect(lines.slice(-2)).toEqual([
    'Budgets that are above their limit:',
    '  b (hard, from 2026-11-01T00:00:00.000Z): $1.25 of $1',
  ])
})

test.each<[what: string, RerateResult, RegExp]>([
  ['no price', rerated({ withoutPrice: 2 }), /2 calls were left alone: no price/],
  ['no agreement', rerated({ inconsistent: 1 }), /1 calls were left alone: their record/],
  ['no records', { status: 'dropped', droppedBefore: options.to }, /before 2026-12-01 have been dropped/],
])('what could not be done is told by words and exit code: %s', async (_, result, says) => {
  const { status, lines } = await run(result)
  expect(status).toBe(1)
  expect(lines.join('\n')).toMatch(says)
})

test('prints everything as JSON when asked', async () => {
  const { lines } = await run(rerated(), { json: true })
  expect(JSON.parse(lines.join(''))).toMatchObject({ oldNano: '5000000000', groups: [{ keyName: 'checkout' }, {}] })
})
