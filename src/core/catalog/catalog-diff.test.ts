import { describe, expect, test } from 'vitest'
import type { StoredRateTable } from '../pricing/price.ts'
import { changesAnything, type Description, type KnownModel, planCatalogSync } from './catalog-diff.ts'
import type { CatalogModel, DatedPrice } from './catalog-model.ts'

const nowMs = Date.parse('2026-11-23T12:00:00Z')
const lastMonthMs = Date.parse('2026-10-23T12:00:00Z')
const nextYear = '2027-01-01T00:00:00.000Z'

const tables = (input: string): StoredRateTable[] => [{ serviceTier: 'default', aboveInputTokens: 0, rates: { input } }]
const price = (input: string, effectiveFrom?: string): DatedPrice => ({ effectiveFrom, tables: tables(input) })

const model = (over: Partial<CatalogModel> = {}): CatalogModel => ({
  catalog: 'c',
  name: 'm',
  displayName: undefined,
  mode: 'chat',
  contextWindowTokens: 100,
  maxOutputTokens: undefined,
  inputModalities: ['text'],
  outputModalities: ['text'],
  features: { tools: true },
  deprecationDate: undefined,
  prices: [price('1')],
  ...over,
})

const description = (over: Partial<Description> = {}): Description => ({
  displayName: null,
  mode: 'chat',
  contextWindowTokens: 100,
  maxOutputTokens: null,
  inputModalities: ['text'],
  outputModalities: ['text'],
  features: { listed_by: ['litellm'], tools: true },
  deprecationDate: null,
  ...over,
})

const version = (
  input: string,
  over: Partial<KnownModel['versions'][number]> = {},
): KnownModel['versions'][number] => ({
  id: 'v',
  source: 'litellm',
  tables: tables(input),
  effectiveFromMs: lastMonthMs,
  ...over,
})

const known = (over: Partial<KnownModel> = {}): KnownModel => ({
  id: 'id',
  catalog: 'c',
  name: 'm',
  isDescribedByCatalog: true,
  description: description(),
  missingSince: undefined,
  versions: [version('1')],
  ...over,
})

const plan = (incoming: CatalogModel[], existing: KnownModel[], source: 'litellm' | 'genai-prices' = 'litellm') =>
  planCatalogSync(source, incoming, existing, nowMs)

test('the same again is nothing to do', () => {
  const same = plan([model()], [known()])
  expect(changesAnything(same)).toBe(false)
  expect(same.report).toMatchObject({ unchanged: 1, listedBefore: 1, listedNoMore: 0 })
})

test('the order in which the database gives features and rates back is no change', () => {
  const features = { tools: true, listed_by: ['litellm'] }
  const rates = { output: '2', input: '1' }
  const existing = known({
    description: description({ features }),
    versions: [version('1', { tables: [{ rates, aboveInputTokens: 0, serviceTier: 'default' }] })],
  })
  const incoming = model({
    prices: [
      {
        effectiveFrom: undefined,
        tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates: { input: '1', output: '2' } }],
      },
    ],
  })
  expect(changesAnything(plan([incoming], [existing]))).toBe(false)
})

test('a new model is added with all its prices', () => {
  const { added, report } = plan([model({ prices: [price('1'), price('2', nextYear)] })], [])
  expect(added).toEqual([
    {
      catalog: 'c',
      name: 'm',
      description: description(),
      versions: [
        { tables: tables('1'), effectiveFrom: null },
        { tables: tables('2'), effectiveFrom: nextYear },
      ],
    },
  ])
  expect(report.added).toEqual(['c/m'])
})

describe('prices', () => {
  test('another price is a new version from now on, whatever date the source gives it', () => {
    const { repriced, report } = plan([model({ prices: [price('2', '2026-06-01')] })], [known()])
    expect(repriced).toEqual([
      { id: 'id', keepsCurrent: false, versions: [{ tables: tables('2'), effectiveFrom: null }] },
    ])
    expect(report.changed).toEqual([{ model: 'c/m', before: tables('1'), after: tables('2') }])
  })

  test('an announced price ends the current one on its day', () => {
    const { repriced, report } = plan([model({ prices: [price('1'), price('2', nextYear)] })], [known()])
    expect(repriced).toEqual([
      { id: 'id', keepsCurrent: true, versions: [{ tables: tables('2'), effectiveFrom: nextYear }] },
    ])
    expect(report.changed).toEqual([])
    expect(report.announced).toEqual([{ model: 'c/m', effectiveFrom: nextYear, tables: tables('2') }])
  })

  test('an announcement that is known is nothing to do, and a withdrawn one is taken back', () => {
    const announced = version('2', { effectiveFromMs: Date.parse(nextYear) })
    const existing = known({ versions: [version('1'), announced] })
    expect(changesAnything(plan([model({ prices: [price('1'), price('2', nextYear)] })], [existing]))).toBe(false)
    expect(plan([model()], [existing]).repriced).toEqual([{ id: 'id', keepsCurrent: true, versions: [] }])
  })

  test('a source that announces nothing leaves another’s announcement alone', () => {
    const announced = version('2', { source: 'genai-prices', effectiveFromMs: Date.parse(nextYear) })
    const existing = known({ versions: [version('1', { source: 'genai-prices' }), announced] })
    expect(plan([model()], [existing]).repriced).toEqual([])
  })

  test('a price that the source no longer gives stays in force', () => {
    const { repriced, report } = plan([model({ prices: [] })], [known()])
    expect(repriced).toEqual([])
    expect(report.priceWithdrawn).toEqual(['c/m'])
  })

  test('a model without a price gets one', () => {
    const { repriced, report } = plan([model()], [known({ versions: [] })])
    expect(repriced).toMatchObject([{ keepsCurrent: false, versions: [{ tables: tables('1') }] }])
    expect(report.changed).toEqual([])
  })
})

describe('the bundled prices', () => {
  const bundled = 'genai-prices'

  test('replace their own', () => {
    const existing = known({ versions: [version('1', { source: bundled })] })
    expect(plan([model({ prices: [price('2')] })], [existing], bundled).repriced).toHaveLength(1)
  })

  test('leave LiteLLM’s price and description as they are, and are recorded as a source', () => {
    const { repriced, redescribed } = plan([model({ mode: 'x', prices: [price('2')] })], [known()], bundled)
    expect(repriced).toEqual([])
    const listed = description({ features: { tools: true, listed_by: ['genai-prices', 'litellm'] } })
    expect(redescribed).toEqual([{ id: 'id', description: listed, isMissing: false }])
  })

  test('price what LiteLLM only describes', () => {
    expect(plan([model()], [known({ versions: [] })], bundled).repriced).toHaveLength(1)
  })

  test('are replaced by LiteLLM', () => {
    const existing = known({
      description: description({ features: { listed_by: ['genai-prices'] } }),
      versions: [version('1', { source: bundled })],
    })
    const { repriced, redescribed } = plan([model({ prices: [price('2')] })], [existing])
    expect(repriced).toHaveLength(1)
    expect(redescribed[0]?.description.features).toEqual({ tools: true, listed_by: ['genai-prices', 'litellm'] })
  })
})

describe('descriptions', () => {
  test('what the source leaves open keeps its value', () => {
    const existing = known({ description: description({ maxOutputTokens: 7, displayName: 'M' }) })
    expect(plan([model({ contextWindowTokens: undefined })], [existing]).redescribed).toEqual([])
    expect(plan([model({ contextWindowTokens: 200 })], [existing]).redescribed[0]?.description).toMatchObject({
      contextWindowTokens: 200,
      maxOutputTokens: 7,
      displayName: 'M',
    })
  })

  test('of models that an operator has taken over are left alone', () => {
    const existing = known({ isDescribedByCatalog: false })
    expect(plan([model({ mode: 'other', contextWindowTokens: 1 })], [existing]).redescribed).toEqual([])
  })

  test('a deprecation date is reported once', () => {
    const deprecated = model({ deprecationDate: '2027-01-01' })
    expect(plan([deprecated], [known()]).report.deprecated).toEqual([{ model: 'c/m', deprecationDate: '2027-01-01' }])
    const existing = known({ description: description({ deprecationDate: '2027-01-01' }) })
    expect(plan([deprecated], [existing]).report.deprecated).toEqual([])
  })
})

describe('a model that its source no longer lists', () => {
  test('is missing when no other lists it', () => {
    const { redescribed, report } = plan([], [known()])
    expect(redescribed).toMatchObject([{ id: 'id', isMissing: true, description: { features: { listed_by: [] } } }])
    expect(report).toMatchObject({ missing: ['c/m'], listedBefore: 1, listedNoMore: 1 })
  })

  test('is not missing while another lists it', () => {
    const features = { listed_by: ['genai-prices', 'litellm'] }
    const { redescribed, report } = plan([], [known({ description: description({ features }) })])
    expect(redescribed).toMatchObject([
      { isMissing: false, description: { features: { listed_by: ['genai-prices'] } } },
    ])
    expect(report.missing).toEqual([])
  })

  test('does not concern a source that never listed it', () => {
    const untouched = plan([], [known()], 'genai-prices')
    expect(changesAnything(untouched)).toBe(false)
    expect(untouched.report.listedBefore).toBe(0)
  })

  test('comes back when it is listed again', () => {
    const gone = known({
      missingSince: new Date(lastMonthMs),
      description: description({ features: { listed_by: [] } }),
    })
    const { redescribed, report } = plan([model()], [gone])
    expect(redescribed).toEqual([{ id: 'id', description: description(), isMissing: false }])
    expect(report.returned).toEqual(['c/m'])
  })
})
