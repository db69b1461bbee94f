import { expect, test } from 'vitest'
import type { CatalogSyncReport, CatalogSyncResult } from '../core/catalog/sync.ts'
import type { StoredRateTable } from '../core/pricing/price.ts'
import { type CatalogSyncCommandOptions, syncCatalogCommand } from './catalog-sync.ts'

const emptyReport: CatalogSyncReport = {
  added: [],
  changed: [],
  announced: [],
  deprecated: [],
  missing: [],
  returned: [],
  priceWithdrawn: [],
  unchanged: 0,
  listedBefore: 0,
  listedNoMore: 0,
  skipped: [],
  notes: [],
}

const succeeded = (report: Partial<CatalogSyncReport> = {}, isChanged = true): CatalogSyncResult => ({
  status: 'succeeded',
  syncId: 's',
  counts: { added: 1, changed: 2, unchanged: 3, deprecated: 4, skipped: 5 },
  report: { ...emptyReport, ...report },
  isChanged,
})

async function run(result: CatalogSyncResult, options: CatalogSyncCommandOptions = {}) {
  const lines: string[] = []
  const asked: unknown[] = []
  const status = await syncCatalogCommand(
    {
      sync: async (request) => {
        asked.push(request)
        return result
      },
      print: (line) => lines.push(line),
    },
    options,
  )
  return { status, lines, asked }
}

const table = (rates: StoredRateTable['rates'], over: Partial<StoredRateTable> = {}): StoredRateTable => ({
  serviceTier: 'default',
  aboveInputTokens: 0,
  rates,
  ...over,
})

test('says what changed, from which price to which', async () => {
  const { status, lines } = await run(
    succeeded({
      added: ['openai/gpt-9'],
      changed: [
        {
          model: 'openai/gpt-4o',
          before: [table({ input: '2500000000', output: '10000000000', request: '5000000000000' })],
          after: [
            table({ input: '2000000000', output: '10000000000', input_audio_ms: '100000000' }),
            table({ input: '4000000000' }, { serviceTier: 'priority', aboveInputTokens: 272_000 }),
          ],
        },
      ],
      announced: [
        { model: 'g/m', effectiveFrom: '2027-01-01T00:00:00.000Z', tables: [table({ input: '1500000000' })] },
      ],
      deprecated: [{ model: 'o/old', deprecationDate: '2026-12-31' }],
      missing: ['o/gone'],
      skipped: [
        { key: 'a', reason: 'not a model' },
        { key: 'b', reason: 'no provider' },
        { key: 'c', reason: 'no provider' },
      ],
    }),
  )
  expect(status).toBe(0)
  expect(lines).toEqual([
    'The catalog was synced: 1 added, 2 changed, 3 unchanged, 4 deprecated or gone, 5 skipped.',
    '',
    'Added:',
    '  openai/gpt-9',
    '',
    'Changed prices:',
    '  openai/gpt-4o: input $2.5 per million -> $2 per million',
    '  openai/gpt-4o: request $0.005 each -> unknown',
    '  openai/gpt-4o: input_audio_ms unknown -> $0.006 a minute',
    '  openai/gpt-4o: priority, above 272000 tokens, input unknown -> $4 per million',
    '',
    'Announced prices:',
    '  g/m, from 2027-01-01: input $1.5 per million',
    '',
    'Deprecated:',
    '  o/old, from 2026-12-31',
    '',
    'No longer listed:',
    '  o/gone',
    '',
    'Skipped:',
    '      2  no provider (b, c)',
    '      1  not a model (a)',
  ])
})

test('says how many more there are than it prints', async () => {
  const { lines } = await run(succeeded({ added: Array.from({ length: 41 }, (_, index) => `m${index}`) }))
  expect(lines.slice(-2)).toEqual(['  m39', '  and 1 more'])
})

test('prints everything as JSON when asked', async () => {
  const result = succeeded({ added: ['x'] })
  const { status, lines } = await run(result, { json: true })
  expect(lines.map((line) => JSON.parse(line))).toEqual([result])
  expect(status).toBe(0)
})

test.each<[CatalogSyncResult, 0 | 1, RegExp]>([
  [succeeded({}, false), 0, /was up to date/],
  [{ status: 'current' }, 0, /up to date/],
  [{ status: 'busy' }, 1, /Another process/],
  [{ status: 'failed', syncId: 's', failure: 'no such file' }, 1, /not synced: no such file/],
])('%j', async (result, status, says) => {
  const done = await run(result)
  expect(done.status).toBe(status)
  expect(done.lines[0]).toMatch(says)
})

test('passes on where to sync from', async () => {
  const options = { from: '/tmp/prices.json', allowShrink: true }
  expect((await run(succeeded(), options)).asked).toEqual([{ location: '/tmp/prices.json', allowShrink: true }])
  expect((await run(succeeded())).asked).toEqual([{ location: undefined, allowShrink: false }])
})
