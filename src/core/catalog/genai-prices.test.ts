import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { calcPrice } from '@pydantic/genai-prices'
import { beforeAll, describe, expect, test } from 'vitest'
import { nanoUsd } from '../money.ts'
import { costOf } from '../pricing/cost.ts'
import { parsePrice } from '../pricing/stored-price.ts'
import { bundledSourceVersion } from './bundled-version.ts'
import { genaiProviders } from './catalog-id.ts'
import type { CatalogModel, CatalogReading } from './catalog-model.ts'
import { bundledNameResolver, readBundledPrices } from './genai-prices.ts'
import { datedPricesOf, rateTablesOf } from './genai-rates.ts'

const nowMs = Date.parse('2026-11-23T12:00:00Z')

describe('the bundled prices', () => {
  let reading: CatalogReading
  let byId: Map<string, CatalogModel>

  beforeAll(() => {
    reading = readBundledPrices(nowMs)
    byId = new Map(reading.models.map((model) => [`${model.catalog}/${model.name}`, model]))
  })

  test('hold every provider of the library', async () => {
    const source = await readFile(fileURLToPath(import.meta.resolve('@pydantic/genai-prices')), 'utf8')
    const ids = [...source.matchAll(/^ {4}id: "(.+)",$/gm)].map(([, id]) => id)
    expect(ids.length).toBeGreaterThan(20)
    expect([...new Set(genaiProviders.map(({ id }) => id))].sort()).toEqual(ids.sort())
    const catalogs = new Set(reading.models.map(({ catalog }) => catalog))
    for (const { catalog } of genaiProviders) expect(catalogs, catalog).toContain(catalog)
  })

  test('have no model twice', () => {
    expect(byId.size).toBe(reading.models.length)
  })

  test('can all be stored and read back', () => {
    for (const { prices } of reading.models) {
      for (const { tables } of prices) expect(() => parsePrice('p', { tables })).not.toThrow()
    }
  })

  test.each(['openai/gpt-4o', 'openai/gpt-4o-2024-08-06', 'openai/gpt-4.1', 'azure/gpt-4o', 'gemini/gemini-2.5-pro'])(
    '%s has a price and limits',
    (id) => {
      expect(byId.get(id)).toMatchObject({
        mode: 'chat',
        contextWindowTokens: expect.any(Number),
        maxOutputTokens: expect.any(Number),
        features: { tools: true, vision: true },
        prices: [{ tables: [{ rates: { input: expect.any(String) } }, ...rest(id)] }],
      })
    },
  )

  test.each([
    ['text-embedding-3-small', 'embedding'],
    ['gpt-image-1', 'image_generation'],
    ['whisper-1', 'audio_transcription'],
    ['gpt-4o-mini-tts', 'audio_speech'],
    ['gpt-realtime', 'realtime'],
    ['gpt-4o', 'chat'],
  ])('%s is for %s', (name, mode) => {
    expect(byId.get(`openai/${name}`)?.mode).toBe(mode)
  })

  test('the Gemini API has Google’s models, Vertex AI also others', () => {
    expect(byId.has('gemini/gemini-2.5-pro')).toBe(true)
    expect(byId.has('vertex/gemini-2.5-pro')).toBe(true)
    expect([...byId.keys()].filter((id) => id.startsWith('gemini/claude'))).toEqual([])
    expect([...byId.keys()].some((id) => id.startsWith('vertex/claude'))).toBe(true)
  })

  test('audio is not priced as text', () => {
    expect(byId.get('openai/gpt-4o-audio-preview')?.prices).toEqual([])
    expect(reading.notes).toContainEqual({
      key: 'openai/gpt-4o-audio-preview',
      reason: 'audio model of which only text rates are known: its cost is unknown',
    })
    const { input_audio, input } = byId.get('openai/gpt-audio')?.prices[0]?.tables[0]?.rates ?? {}
    expect(Number(input_audio)).toBeGreaterThan(Number(input))
  })

  test('cost what the library says', () => {
    const usage = { input_tokens: 300_000, cache_read_tokens: 100_000, output_tokens: 5_000 }
    const units = { input: 200_000, cache_read: 100_000, output: 5_000 }
    for (const [catalog, name] of [
      ['openai', 'gpt-4o'],
      ['openai', 'gpt-5.4'],
      ['openai', 'o3'],
      ['anthropic', 'claude-sonnet-4-5'],
      ['mistral', 'mistral-large-latest'],
    ] as const) {
      const tables = byId.get(`${catalog}/${name}`)?.prices[0]?.tables ?? []
      const { costNano } = costOf(parsePrice('p', { tables }), { units, inputTokens: 300_000, serviceTier: 'default' })
      const theirs = calcPrice(usage, name, { providerId: catalog, timestamp: new Date(nowMs) })
      expect(Number(costNano) / 1e9, name).toBeCloseTo(theirs?.total_price ?? -1, 6)
    }
  })

  test('announce prices of a later day', () => {
    const [now, later, ...more] = byId.get('gemini/gemini-3.6-flash')?.prices ?? []
    expect(now?.effectiveFrom).toBeUndefined()
    expect(later?.effectiveFrom).toBe('2027-01-01T00:00:00.000Z')
    expect(more).toEqual([])
  })

  test('know other names by rule', () => {
    const resolve = bundledNameResolver()
    expect(resolve('openai', 'gpt-4.5-preview-2025-02-27')).toBe('gpt-4.5-preview')
    expect(resolve('azure', 'gpt-4.5-preview-2025-02-27')).toBe('gpt-4.5-preview')
    expect(resolve('anthropic', 'claude-sonnet-4-5-20250929')).toBe('claude-sonnet-4-5')
    expect(resolve('bedrock', 'eu.anthropic.claude-haiku-4-5-20251001-v1:0')).toBe(
      'anthropic.claude-haiku-4-5-20251001-v1:0',
    )
    expect(resolve('openai', 'claude-sonnet-4-5')).toBeUndefined()
  })

  test('every name a rule leads to is a model', () => {
    const resolve = bundledNameResolver()
    for (const id of byId.keys()) {
      const [catalog = '', ...name] = id.split('/')
      const resolved = resolve(catalog, name.join('/'))
      if (resolved !== undefined) expect(byId.has(`${catalog}/${resolved}`), id).toBe(true)
    }
  })

  test('have a version that changes with the library', () => {
    expect(bundledSourceVersion()).toMatch(/^\d+\.\d+\.\d+\+\d+$/)
  })
})

/** Gemini's models have a second price for large prompts. */
function rest(id: string): unknown[] {
  return id.startsWith('gemini/') ? [expect.objectContaining({ aboveInputTokens: 200_000 })] : []
}

describe('a price of the library', () => {
  test('in any of its units', () => {
    const notes: string[] = []
    const price = {
      input_mtok: 2.5,
      cache_write_mtok: 3,
      cache_write_1h_mtok: 6,
      requests_kcount: 5,
      web_searches_kcount: 10,
      input_document_kpages: 1,
      input_audio_hours: 0.111,
      audio_hours: 0.111,
    }
    expect(rateTablesOf(price, (reason) => notes.push(reason))).toEqual([
      {
        serviceTier: 'default',
        aboveInputTokens: 0,
        rates: {
          input: '2500000000',
          cache_write_5m: '3000000000',
          cache_write_1h: '6000000000',
          request: '5000000000000',
          search: '10000000000000',
          input_page: '1000000000000',
          // 0.111 dollars for 3 600 000 ms, rounded up.
          input_audio_ms: '30833334',
        },
      },
    ])
    expect(notes).toEqual([])
    const rate = nanoUsd(30_833_334n)
    const hour = {
      id: 'p',
      tables: [{ serviceTier: 'default' as const, aboveInputTokens: 0, rates: { input_audio_ms: rate } }],
    }
    const { costNano } = costOf(hour, { units: { input_audio_ms: 3_600_000 }, inputTokens: 0, serviceTier: 'default' })
    expect(Number(costNano) / 1e9).toBeCloseTo(0.111, 6)
  })

  test('by the size of the prompt', () => {
    const price = { input_mtok: { base: 1, tiers: [{ start: 200_000, price: 2 }] }, output_mtok: 4 }
    expect(rateTablesOf(price, unexpected)).toEqual([
      { serviceTier: 'default', aboveInputTokens: 0, rates: { input: '1000000000', output: '4000000000' } },
      { serviceTier: 'default', aboveInputTokens: 200_000, rates: { input: '2000000000' } },
    ])
  })

  test('with a unit we do not count', () => {
    const notes: string[] = []
    rateTablesOf({ audio_hours: 3, output_citation_mtok: 2, dreams_kcount: 1 }, (reason) => notes.push(reason))
    expect(notes).toEqual([
      'hours of audio in either direction are not counted; hours of input are',
      'citation tokens are not counted apart',
      'the price key dreams_kcount is not known',
    ])
  })

  const from = (start_date: string) => ({ type: 'start_date', start_date }) as const
  const hours = { type: 'time_of_date', start_time: '00:30:00Z', end_time: '16:30:00Z' } as const
  const inputs = (prices: ReturnType<typeof datedPricesOf>) =>
    prices.map(({ effectiveFrom, tables }) => [effectiveFrom?.slice(0, 10), tables[0]?.rates.input])

  test('by date: what is over is left out, what is to come is kept', () => {
    const prices = [
      { prices: { input_mtok: 1 } },
      { constraint: from('2026-01-01'), prices: { input_mtok: 2 } },
      { constraint: from('2026-06-01'), prices: { input_mtok: 3 } },
      { constraint: from('2027-01-01'), prices: { input_mtok: 4 } },
    ]
    expect(inputs(datedPricesOf(prices, nowMs, unexpected))).toEqual([
      ['2026-06-01', '3000000000'],
      ['2027-01-01', '4000000000'],
    ])
    expect(inputs(datedPricesOf(prices, Date.parse('2025-12-31'), unexpected))).toEqual([
      [undefined, '1000000000'],
      ['2026-01-01', '2000000000'],
      ['2026-06-01', '3000000000'],
      ['2027-01-01', '4000000000'],
    ])
  })

  test('by the time of day: the dearer one, and that is noted', () => {
    const notes: string[] = []
    const prices = [
      { prices: { input_mtok: 0.135, output_mtok: 0.55 } },
      { constraint: hours, prices: { input_mtok: 0.27, output_mtok: 1.1 } },
    ]
    expect(inputs(datedPricesOf(prices, nowMs, (reason) => notes.push(reason)))).toEqual([[undefined, '270000000']])
    expect(notes).toEqual(['prices by the time of day: the dearer one is taken for the whole day'])
  })

  test('by both', () => {
    const prices = [
      { prices: { input_mtok: 9 } },
      { constraint: from('2026-08-17'), prices: { input_mtok: 2 } },
      { constraint: hours, prices: { input_mtok: 4 } },
    ]
    expect(inputs(datedPricesOf(prices, nowMs, () => undefined))).toEqual([['2026-08-17', '4000000000']])
  })
})

function unexpected(reason: string): never {
  throw new Error(`Unexpected note: ${reason}`)
}
