import { expect, test } from 'vitest'
import type { RebuildOptions, RebuildResult } from '../core/usage/rebuild-rollups.ts'
import { rebuildUsageCommand, type UsageRebuildCommandOptions } from './usage-rebuild.ts'

const day = (text: string) => new Date(`${text}T00:00:00Z`)
const rebuilt = (changes: Partial<Extract<RebuildResult, { status: 'rebuilt' }>> = {}): RebuildResult => ({
  status: 'rebuilt',
  from: day('2026-10-31'),
  to: day('2026-11-02'),
  records: 12,
  differences: [],
  daysWithoutRecords: [],
  ...changes,
})
const differences = [
  { table: 'usage_hourly', bucket: day('2026-10-31'), rows: 2, requests: 3n, costNano: -1_500_000_000n },
  { table: 'monthly_usage_summary', bucket: day('2026-10-01'), rows: 1, requests: -1n, costNano: 0n },
]

async function run(result: RebuildResult, options: UsageRebuildCommandOptions = {}) {
  const lines: string[] = []
  const asked: RebuildOptions[] = []
  const status = await rebuildUsageCommand(
    {
      rebuild: async (wanted) => {
        asked.push(wanted)
        return result
      },
      print: (line) => lines.push(line),
    },
    options,
  )
  return { status, lines, asked }
}

test('says what was wrong, by how much, and that it is right now', async () => {
  const { status, lines } = await run(rebuilt({ differences, daysWithoutRecords: [day('2026-10-30')] }))
  expect(status).toBe(0)
  expect(lines).toEqual([
    '12 records from 2026-10-31 until 2026-11-02 were compared with the rollups.',
    '3 rows were wrong and are right now.',
    '  2026-10-31  usage_hourly           2 rows, +3 requests, -$1.5',
    '  2026-10     monthly_usage_summary  1 rows, -1 requests, +$0',
    'Left as they are, since their records are gone: 2026-10-30.',
  ])
})

test('a dry run changes nothing, says so, and fails when something is wrong', async () => {
  const { status, lines, asked } = await run(rebuilt({ differences }), { dryRun: true, from: day('2026-10-31') })
  expect(asked).toEqual([{ from: day('2026-10-31'), to: undefined, apply: false }])
  expect(lines[1]).toBe('3 rows are wrong. Nothing was changed.')
  expect(status).toBe(1)
  expect((await run(rebuilt(), { dryRun: true })).status).toBe(0)
})

test.each<[RebuildResult, 0 | 1, RegExp]>([
  [rebuilt(), 0, /All rollups are right/],
  [{ status: 'empty' }, 0, /no usage in that time/],
  [{ status: 'busy' }, 1, /Another process/],
  [
    { status: 'dropped', droppedBefore: day('2026-09-01') },
    1,
    /before 2026-09-01 have been dropped.*\n.*--from 2026-09-01/,
  ],
])('%j', async (result, status, says) => {
  const done = await run(result)
  expect(done.status).toBe(status)
  expect(done.lines.join('\n')).toMatch(says)
})

test('prints everything as JSON when asked', async () => {
  const { lines } = await run(rebuilt({ differences }), { json: true })
  expect(JSON.parse(lines.join(''))).toMatchObject({
    status: 'rebuilt',
    differences: [{ costNano: '-1500000000' }, {}],
  })
})
