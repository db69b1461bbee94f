import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readLitellmFeed } from '../../src/core/catalog/litellm.ts'
import { type CatalogSyncDeps, importBundledCatalog, syncFromLocation } from '../../src/core/catalog/sync.ts'
import { costOf } from '../../src/core/pricing/cost.ts'
import { loadPriceBook } from '../../src/core/pricing/price-book.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { syncDepsOf } from './catalog-fixtures.ts'

/** A copy of the feed as it was published, where the machine has one; it is not part of the project. */
const location = join(import.meta.dirname, '../../../shared/data/model_prices_and_context_window.json')

describe('the published feed', () => {
  let feed: Record<string, Record<string, unknown>>
  let text: string
  let database: TestDatabase
  let deps: CatalogSyncDeps

  beforeAll(async () => {
    if (!existsSync(location)) return
    text = await readFile(location, 'utf8')
    feed = JSON.parse(text)
    database = await createTestDatabase()
    deps = syncDepsOf(database)
  })

  beforeEach(({ skip }) => skip(!existsSync(location), 'no copy of the feed beside the checkout'))

  afterAll(() => database?.drop())

  test('is read whole: every entry is a model or skipped for a reason', () => {
    const { models, skipped } = readLitellmFeed(text)
    expect(models.length + skipped.length).toBe(Object.keys(feed).length)
    for (const { key, reason } of skipped) expect(reason, key).not.toBe('')
    expect(new Set(skipped.map(({ key }) => key)).size).toBe(skipped.length)
    // All but image sizes, commitments, size classes and second keys for the same model.
    expect(models.length).toBeGreaterThan(Object.keys(feed).length * 0.9)
    expect(new Set(models.map(({ catalog, name }) => `${catalog}/${name}`)).size).toBe(models.length)
  })

  test('has a price for every model that has a cost in dollars', () => {
    const { models, skipped, notes } = readLitellmFeed(text)
    const omitted = new Set([...skipped, ...notes].map(({ key }) => key))
    const costs = Object.entries(feed).filter(([key, fields]) => {
      const isToken = 'input_cost_per_token' in fields || 'output_cost_per_token' in fields
      return isToken && !omitted.has(key)
    })
    expect(costs.length).toBeGreaterThan(2_000)
    const priced = models.filter(({ prices }) => prices.length > 0).length
    expect(priced).toBeGreaterThanOrEqual(costs.length)
    const unpriced = notes.filter(({ reason }) => reason.startsWith('no price'))
    expect(priced + unpriced.length).toBeGreaterThanOrEqual(models.length)
  })

  test('mentions no price field that we do not know', () => {
    const { notes } = readLitellmFeed(text)
    expect(notes.filter(({ reason }) => reason.includes('is not known') || reason.includes('not a number'))).toEqual([])
  })

  test('is synced over the bundled prices in three seconds, and then is nothing new', async () => {
    await importBundledCatalog(deps)
    const signal = AbortSignal.timeout(30_000)
    const from = { ...deps, fetchText: () => Promise.reject(new Error('must not fetch')) }
    const startedMs = performance.now()
    const first = await syncFromLocation(from, { location, signal })
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    expect(first).toMatchObject({ status: 'succeeded', isChanged: true })
    const again = await syncFromLocation(from, { location, signal })
    const { models } = readLitellmFeed(text)
    expect(again).toMatchObject({ status: 'succeeded', isChanged: false, counts: { unchanged: models.length } })
  })

  test('prices a call exactly', async () => {
    const book = await loadPriceBook(deps.pool, Date.now() + 1_000)
    const price = book.findModel('openai', 'gpt-4o')?.price
    const fields = feed['gpt-4o'] as Record<string, number>
    const usage = {
      units: { input: 1_000_000, output: 1_000_000 },
      inputTokens: 1_000_000,
      serviceTier: 'default',
    } as const
    const dollars = Number(price && costOf(price, usage).costNano) / 1e9
    expect(dollars).toBe(((fields.input_cost_per_token ?? 0) + (fields.output_cost_per_token ?? 0)) * 1e6)
  })
})
