import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { CatalogSyncDeps } from '../../src/core/catalog/sync.ts'
import { loadPriceBook, type PriceBook, type PriceBookOptions } from '../../src/core/pricing/price-book.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { modelOf, priceOf, ratesOf, syncDepsOf, synced } from './catalog-fixtures.ts'

let database: TestDatabase
let deps: CatalogSyncDeps

beforeAll(async () => {
  database = await createTestDatabase()
  deps = syncDepsOf(database)
})

afterAll(() => database.drop())

beforeEach(async () => {
  await deps.pool.query('truncate models, model_prices, catalog_syncs, config_versions, providers cascade')
})

async function databaseNowMs(): Promise<number> {
  const { rows } = await deps.pool.query('select clock_timestamp() as now')
  return rows[0].now.getTime()
}

async function load(options?: PriceBookOptions): Promise<PriceBook> {
  return loadPriceBook(deps.pool, await databaseNowMs(), options)
}

const inputRate = (book: PriceBook, name: string, catalog = 'acme') =>
  book.findModel(catalog, name)?.price?.tables[0]?.rates.input

/** @param when - SQL; a moment ago, since the clock that prices are read by may be a millisecond behind the database's */
async function addPrice(
  name: string,
  source: 'admin' | 'file' | 'genai-prices',
  input: string,
  when = `now() - interval '1 second'`,
) {
  await deps.pool.query(
    `insert into model_prices (id, model_id, version, source, rates, effective_from)
     select gen_random_uuid(), m.id, (select coalesce(max(version), 0) + 1 from model_prices where model_id = m.id), $2,
       $3, ${when}
     from models m where m.name = $1 and m.provider_id is null`,
    [name, source, { tables: ratesOf(input) }],
  )
}

/** @returns the provider's id */
async function declare(name: string, rates: string | undefined, missing = false): Promise<string> {
  const { rows } = await deps.pool.query(
    `with p as (
       insert into providers (id, name, type, managed_by) values (gen_random_uuid(), 'p', 'openai', 'file')
       on conflict (name) do update set name = excluded.name returning id
     ), m as (
       insert into models (id, catalog, name, provider_id, managed_by, max_output_tokens, missing_since)
       select gen_random_uuid(), 'operator', $1, p.id, 'file', 7, case when $3 then now() end from p
       returning id, provider_id
     ), price as (
       insert into model_prices (id, model_id, version, source, rates, effective_from)
       select gen_random_uuid(), m.id, 1, 'file', $2::jsonb, now() from m where $2 is not null
     )
     select provider_id from m`,
    [name, rates === undefined ? null : JSON.stringify({ tables: ratesOf(rates) }), missing],
  )
  return rows[0].provider_id
}

test('an empty catalog is an empty book', async () => {
  const book = await load()
  expect(book.catalogs.size + book.declared.size).toBe(0)
  expect(book.nextChangeMs).toBeUndefined()
  expect(book.findModel('acme', 'a')).toBeUndefined()
})

test('a model has its limits and its price, by the version that usage will name', async () => {
  await synced(deps, [modelOf('a'), modelOf('unpriced', { prices: [], mode: 'embedding', maxOutputTokens: undefined })])
  const book = await load()
  const { rows } = await deps.pool.query('select id from model_prices')
  expect(book.catalogs.get('acme')?.get('a')).toEqual({
    name: 'a',
    mode: 'chat',
    contextWindowTokens: 1_000,
    maxOutputTokens: 100,
    createdS: expect.any(Number),
    price: {
      id: rows[0].id,
      tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates: { input: 1n, output: 9n } }],
    },
  })
  expect(book.findModel('acme', 'unpriced')).toMatchObject({ mode: 'embedding', price: undefined })
  expect(Math.abs((book.findModel('acme', 'a')?.createdS ?? 0) - Date.now() / 1000)).toBeLessThan(60)
})

test('an admin’s price comes before the file’s, the file’s before the catalog’s, and of those the newest counts', async () => {
  await synced(deps, [modelOf('a')])
  expect(inputRate(await load(), 'a')).toBe(1n)
  await addPrice('a', 'genai-prices', '2')
  expect(inputRate(await load(), 'a')).toBe(2n)
  await addPrice('a', 'admin', '3')
  await addPrice('a', 'file', '4')
  expect(inputRate(await load(), 'a')).toBe(3n)
  await deps.pool.query(
    `update model_prices set effective_until = now() - interval '1 millisecond' where source = 'admin'`,
  )
  expect(inputRate(await load(), 'a')).toBe(4n)
})

test('a price applies from its first moment, until the moment the next one begins', async () => {
  const announcedMs = Date.parse('2099-01-01T00:00:00.000Z')
  await synced(deps, [modelOf('a', { prices: [priceOf('1'), priceOf('2', '2099-01-01T00:00:00.000Z')] })])
  const before = await loadPriceBook(deps.pool, announcedMs - 1)
  expect(inputRate(before, 'a')).toBe(1n)
  expect(before.nextChangeMs).toBe(announcedMs)
  const after = await loadPriceBook(deps.pool, announcedMs)
  expect(inputRate(after, 'a')).toBe(2n)
  expect(after.nextChangeMs).toBeUndefined()
  const { rows } = await deps.pool.query('select effective_from from model_prices where version = 1')
  const tooEarly = await loadPriceBook(deps.pool, rows[0].effective_from.getTime() - 1)
  expect(tooEarly.findModel('acme', 'a')).toMatchObject({ price: undefined })
  expect(tooEarly.nextChangeMs).toBe(rows[0].effective_from.getTime())
})

test('prices of a sync apply as soon as it is done', async () => {
  await synced(deps, [modelOf('a')])
  await synced(deps, [modelOf('a', { prices: [priceOf('2')] })])
  expect(inputRate(await load(), 'a')).toBe(2n)
})

test('a name that is not listed is found by rule, and by region', async () => {
  await synced(deps, [modelOf('a'), modelOf('eu/a', { prices: [priceOf('5')] })])
  const resolveName = (catalog: string, name: string) => (catalog === 'acme' && name === 'a-2026' ? 'a' : undefined)
  const book = await load({ resolveName })
  expect(book.findModel('acme', 'a-2026')).toMatchObject({ name: 'a' })
  expect(book.findModel('acme', 'b')).toBeUndefined()
  expect((await load()).findModel('acme', 'a-2026')).toBeUndefined()
  expect(inputRate(book, 'a')).toBe(1n)
  expect(book.findModel('acme', 'a', 'eu')?.price?.tables[0]?.rates.input).toBe(5n)
  expect(book.findModel('acme', 'a-2026', 'eu')?.price?.tables[0]?.rates.input).toBe(5n)
  expect(book.findModel('acme', 'a', 'us')?.price?.tables[0]?.rates.input).toBe(1n)
})

test('a provider serves its catalog and what was declared for it; a declaration wins and may leave things open', async () => {
  await synced(deps, [
    modelOf('a'),
    modelOf('b'),
    modelOf('eu/a'),
    modelOf('us-gov-west-1/a'),
    modelOf('x', { catalog: 'other' }),
  ])
  const id = await declare('a', '8')
  await declare('b', undefined)
  await declare('own', '6')
  await declare('withdrawn', '6', true)
  const book = await load()
  const models = new Map([...book.modelsOf({ id, catalog: 'acme' })].map((model) => [model.name, model]))
  expect([...models.keys()].sort()).toEqual(['a', 'b', 'own'])
  const served = ['a', 'b', 'own'].map((name) => {
    const { price, contextWindowTokens, maxOutputTokens } = models.get(name) ?? {}
    return [price?.tables[0]?.rates.input, contextWindowTokens, maxOutputTokens]
  })
  expect(served).toEqual([
    [8n, 1_000, 7],
    [1n, 1_000, 7],
    [6n, undefined, 7],
  ])
  const others = [...book.modelsOf({ id: 'another', catalog: 'acme' })].map(({ name }) => name)
  expect(others.sort()).toEqual(['a', 'b'])
})

test('a model that its source no longer lists keeps its price', async () => {
  await synced(deps, [modelOf('a'), modelOf('b')])
  await synced(deps, [modelOf('b')])
  expect(inputRate(await load(), 'a')).toBe(1n)
})

test('a price that was damaged is reported and takes no other with it', async () => {
  await synced(deps, [modelOf('a'), modelOf('b')])
  await deps.pool.query(
    `update model_prices p set rates = '{"tables": [{}]}' from models m where m.id = p.model_id and m.name = 'a'`,
  )
  const book = await load()
  expect(book.unreadablePrices).toHaveLength(1)
  expect(book.findModel('acme', 'a')).toMatchObject({ price: undefined })
  expect(inputRate(book, 'b')).toBe(1n)
})
