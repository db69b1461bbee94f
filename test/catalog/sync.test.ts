import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { feedBytesMax } from '../../src/core/catalog/litellm.ts'
import {
  type CatalogSyncDeps,
  type FetchText,
  importBundledCatalog,
  litellmFeedUrl,
  syncFromLocation,
} from '../../src/core/catalog/sync.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { modelOf, priceOf, sync, syncDepsOf, synced } from './catalog-fixtures.ts'

let database: TestDatabase
let deps: CatalogSyncDeps

beforeAll(async () => {
  database = await createTestDatabase()
  deps = syncDepsOf(database)
})

afterAll(() => database.drop())

beforeEach(async () => {
  await deps.pool.query('truncate models, model_prices, catalog_syncs, config_versions cascade')
})

const rowsOf = async (sql: string, ...values: unknown[]) => (await deps.pool.query(sql, values)).rows

/** Versions of a model, oldest first: input rate, source and whether it is in force. */
const versionsOf = (name: string) =>
  rowsOf(
    `select p.version, p.source, p.rates -> 'tables' -> 0 -> 'rates' ->> 'input' as input,
       p.effective_from <= now() and (p.effective_until is null or p.effective_until > now()) as in_force
     from model_prices p join models m on m.id = p.model_id
     where m.name = $1 order by p.effective_from, p.version`,
    name,
  )

const configVersions = async () => (await rowsOf('select source, status from config_versions')).length

describe('a sync', () => {
  test('adds models with their prices and records what it did', async () => {
    const result = await synced(deps, [modelOf('a', { deprecationDate: '2027-02-01' }), modelOf('b', { prices: [] })], {
      skipped: [{ key: 'x', reason: 'no model' }],
    })
    expect(result.isChanged).toBe(true)
    expect(result.counts).toEqual({ added: 2, changed: 0, unchanged: 0, deprecated: 0, skipped: 1 })
    expect(await rowsOf('select * from models order by name')).toMatchObject([
      {
        catalog: 'acme',
        name: 'a',
        provider_id: null,
        mode: 'chat',
        context_window_tokens: 1_000,
        max_output_tokens: 100,
        input_modalities: ['text', 'image'],
        output_modalities: ['text'],
        features: { tools: true, listed_by: ['litellm'] },
        missing_since: null,
        managed_by: 'catalog',
      },
      { name: 'b' },
    ])
    expect(await rowsOf(`select to_char(deprecation_date, 'YYYY-MM-DD') as day from models where name = 'a'`)).toEqual([
      { day: '2027-02-01' },
    ])
    expect(await versionsOf('a')).toEqual([{ version: 1, source: 'litellm', input: '1', in_force: true }])
    expect(await versionsOf('b')).toEqual([])
    expect(await rowsOf('select * from catalog_syncs')).toMatchObject([
      {
        id: result.syncId,
        source: 'litellm',
        location: 'test',
        source_version: '1',
        status: 'succeeded',
        added: 2,
        skipped: 1,
        failure: null,
        finished_at: expect.any(Date),
        report: {
          added: { count: 2, samples: ['acme/a', 'acme/b'] },
          skipped: [{ reason: 'no model', count: 1, samples: ['x'] }],
        },
      },
    ])
    expect(await rowsOf('select source, status from config_versions')).toEqual([
      { source: 'catalog', status: 'active' },
    ])
  })

  test('of the same again changes nothing', async () => {
    await synced(deps, [modelOf('a'), modelOf('b')])
    const before = await rowsOf('select * from models m join model_prices p on p.model_id = m.id order by m.name')
    const again = await synced(deps, [modelOf('a'), modelOf('b')])
    expect(again.isChanged).toBe(false)
    expect(again.counts).toMatchObject({ added: 0, changed: 0, unchanged: 2 })
    expect(await rowsOf('select * from models m join model_prices p on p.model_id = m.id order by m.name')).toEqual(
      before,
    )
    expect(await configVersions()).toBe(1)
  })

  test('keeps the history of a price, without gap or overlap', async () => {
    await synced(deps, [modelOf('a')])
    await synced(deps, [modelOf('a', { prices: [priceOf('2')] })])
    const third = await synced(deps, [modelOf('a', { prices: [priceOf('3')] })])
    expect(third.counts.changed).toBe(1)
    expect(await versionsOf('a')).toEqual([
      { version: 1, source: 'litellm', input: '1', in_force: false },
      { version: 2, source: 'litellm', input: '2', in_force: false },
      { version: 3, source: 'litellm', input: '3', in_force: true },
    ])
    const spans = await rowsOf('select effective_from, effective_until from model_prices order by version')
    expect(spans.map(({ effective_until }) => effective_until)).toEqual([
      spans[1]?.effective_from,
      spans[2]?.effective_from,
      null,
    ])
    expect(await rowsOf('select catalog_sync_id from model_prices where version = 3')).toEqual([
      { catalog_sync_id: third.syncId },
    ])
  })

  test('schedules an announced price, and takes it back when it is withdrawn', async () => {
    const announced = modelOf('a', { prices: [priceOf('1'), priceOf('2', '2099-01-01T00:00:00.000Z')] })
    await synced(deps, [announced])
    expect(await versionsOf('a')).toMatchObject([{ in_force: true }, { input: '2', in_force: false }])
    expect((await synced(deps, [announced])).isChanged).toBe(false)
    const moved = modelOf('a', { prices: [priceOf('1'), priceOf('3', '2098-01-01T00:00:00.000Z')] })
    await synced(deps, [moved])
    expect(await rowsOf('select effective_until from model_prices where version = 1')).toEqual([
      { effective_until: new Date('2098-01-01') },
    ])
    await synced(deps, [modelOf('a')])
    expect(await versionsOf('a')).toEqual([{ version: 1, source: 'litellm', input: '1', in_force: true }])
    expect(await rowsOf('select effective_until from model_prices')).toEqual([{ effective_until: null }])
  })

  test('marks what is no longer listed, and clears the mark when it comes back', async () => {
    const others = [modelOf('b'), modelOf('c')]
    await synced(deps, [modelOf('a'), ...others])
    const gone = await synced(deps, others)
    expect(gone.report.missing).toEqual(['acme/a'])
    expect(gone.counts.deprecated).toBe(1)
    const since = await rowsOf('select missing_since from models where missing_since is not null')
    expect(since).toEqual([{ missing_since: expect.any(Date) }])
    await synced(deps, others)
    expect(await rowsOf('select missing_since from models where missing_since is not null')).toEqual(since)
    expect((await versionsOf('a'))[0]).toMatchObject({ in_force: true })
    const back = await synced(deps, [modelOf('a'), ...others])
    expect(back.report.returned).toEqual(['acme/a'])
    expect(await rowsOf('select name from models where missing_since is not null')).toEqual([])
  })

  test('refuses a source that lists less than half of what it used to, unless told otherwise', async () => {
    await synced(deps, [modelOf('a'), modelOf('b'), modelOf('c')])
    expect(await sync(deps, [modelOf('a', { prices: [priceOf('7')] })])).toMatchObject({
      status: 'failed',
      failure: expect.stringContaining('lists only 1 of the 3 models'),
    })
    expect(await versionsOf('a')).toMatchObject([{ input: '1' }])
    expect(await rowsOf(`select failure from catalog_syncs where status = 'failed'`)).toHaveLength(1)
    expect(await configVersions()).toBe(1)
    const allowed = await synced(deps, [modelOf('a')], { allowShrink: true })
    expect(allowed.report.missing).toEqual(['acme/b', 'acme/c'])
  })

  test('leaves an operator’s prices and models alone', async () => {
    await synced(deps, [modelOf('a'), modelOf('b')])
    await deps.pool.query(
      `insert into model_prices (id, model_id, version, source, rates, effective_from)
       select gen_random_uuid(), id, 2, 'admin', '{"tables": []}', now() from models where name = 'a'`,
    )
    await deps.pool.query(`update models set managed_by = 'admin', mode = 'mine' where name = 'b'`)
    const before = await rowsOf(`select * from model_prices where source = 'admin'`)
    const provider = await declaredModel('a')
    await synced(deps, [modelOf('a', { prices: [priceOf('5')] }), modelOf('b', { mode: 'theirs' })])
    expect(await rowsOf(`select * from model_prices where source = 'admin'`)).toEqual(before)
    expect(await versionsOf('a')).toEqual([
      { version: 1, source: 'litellm', input: '1', in_force: false },
      { version: 2, source: 'admin', input: null, in_force: true },
      { version: 3, source: 'litellm', input: '5', in_force: true },
    ])
    expect(await rowsOf(`select mode from models where name = 'b'`)).toEqual([{ mode: 'mine' }])
    expect(await rowsOf('select features, missing_since from models where provider_id = $1', provider)).toEqual([
      { features: {}, missing_since: null },
    ])
  })

  test('is all or nothing, and says why it failed', async () => {
    await synced(deps, [modelOf('a')])
    const broken = modelOf('b', { contextWindowTokens: -1 })
    await expect(sync(deps, [modelOf('a', { prices: [priceOf('2')] }), modelOf('c'), broken])).rejects.toThrow(
      /context_window_tokens/,
    )
    expect(await rowsOf('select name from models')).toEqual([{ name: 'a' }])
    expect(await versionsOf('a')).toMatchObject([{ input: '1', in_force: true }])
    expect(await rowsOf(`select status, failure from catalog_syncs order by started_at desc limit 1`)).toEqual([
      { status: 'failed', failure: expect.stringContaining('context_window_tokens') },
    ])
  })

  test('of a version that was the last to be imported is not made when only a new one is wanted', async () => {
    await synced(deps, [modelOf('a')], { sourceVersion: '7' })
    expect(await sync(deps, [modelOf('b')], { sourceVersion: '7', onlyIfNew: true })).toEqual({ status: 'current' })
    expect(await rowsOf('select name from models')).toEqual([{ name: 'a' }])
    const newer = { sourceVersion: '8', onlyIfNew: true, allowShrink: true }
    expect(await sync(deps, [modelOf('b')], newer)).toMatchObject({ status: 'succeeded' })
  })

  test('runs once at a time', async () => {
    const holder = await deps.pool.connect()
    try {
      await holder.query('begin')
      await holder.query('select pg_advisory_xact_lock(hashtext($$llmgw catalog$$))')
      expect(await sync(deps, [modelOf('a')])).toEqual({ status: 'busy' })
      await holder.query('rollback')
    } finally {
      holder.release()
    }
    expect(await rowsOf('select 1 from catalog_syncs')).toEqual([])
    expect(await sync(deps, [modelOf('a')])).toMatchObject({ status: 'succeeded' })
  })

  test('of many at the same moment leaves each model once', async () => {
    const results = await Promise.all([1, 2, 3, 4].map(() => sync(deps, [modelOf('a'), modelOf('b')])))
    expect(results.filter(({ status }) => status === 'succeeded').length).toBeGreaterThan(0)
    expect(await rowsOf('select count(*)::integer as models from models')).toEqual([{ models: 2 }])
    expect(await rowsOf('select count(*)::integer as prices from model_prices')).toEqual([{ prices: 2 }])
  })
})

/** A model that an operator declared for a provider, with the same name as the catalog's. */
async function declaredModel(name: string): Promise<string> {
  const [row] = await rowsOf(
    `with p as (
       insert into providers (id, name, type, managed_by) values (gen_random_uuid(), 'p', 'openai', 'file')
       on conflict (name) do update set name = excluded.name returning id
     )
     insert into models (id, catalog, name, provider_id, managed_by)
     select gen_random_uuid(), 'acme', $1, p.id, 'file' from p returning provider_id`,
    name,
  )
  return row.provider_id
}

describe('the bundled prices', () => {
  test('are imported once for each version, and then cost next to nothing', async () => {
    expect(await importBundledCatalog(deps)).toMatchObject({ status: 'succeeded' })
    const [{ models }] = await rowsOf('select count(*)::integer as models from models')
    expect(models).toBeGreaterThan(1_000)
    const startedMs = performance.now()
    expect(await importBundledCatalog(deps)).toEqual({ status: 'current' })
    expect(performance.now() - startedMs).toBeLessThan(500)
    expect(await configVersions()).toBe(1)
    await deps.pool.query(`update catalog_syncs set source_version = 'older'`)
    expect(await importBundledCatalog(deps)).toMatchObject({ status: 'succeeded', isChanged: false })
  })

  test('are imported once by replicas that start together', async () => {
    const results = await Promise.all([importBundledCatalog(deps), importBundledCatalog(syncDepsOf(database))])
    expect(results.map(({ status }) => status).sort()).toEqual(['current', 'succeeded'])
    expect(await rowsOf('select status from catalog_syncs')).toEqual([{ status: 'succeeded' }])
  })

  test('never replace what LiteLLM says', async () => {
    await synced(deps, [modelOf('gpt-4o', { catalog: 'openai', mode: 'theirs' })])
    await importBundledCatalog(deps)
    expect(await versionsOf('gpt-4o')).toContainEqual({ version: 1, source: 'litellm', input: '1', in_force: true })
    expect(
      await rowsOf(
        `select mode, features -> 'listed_by' as by from models where catalog = 'openai' and name = 'gpt-4o'`,
      ),
    ).toEqual([{ mode: 'theirs', by: ['genai-prices', 'litellm'] }])
    expect(
      await rowsOf(`select count(*)::integer as n from model_prices p join models m on m.id = p.model_id
       where m.catalog = 'openai' and m.name = 'gpt-4o'`),
    ).toEqual([{ n: 1 }])
  })
})

describe('a sync from somewhere', () => {
  const feed = { 'gpt-4o': { litellm_provider: 'openai', mode: 'chat', input_cost_per_token: 1e-6 } }
  const never: FetchText = async () => {
    throw new Error('must not fetch')
  }
  const signal = new AbortController().signal

  test('reads LiteLLM’s own copy unless told otherwise, through the way out it was given', async () => {
    const asked: unknown[] = []
    const fetchText: FetchText = async (url, { maxBytes }) => {
      asked.push([url, maxBytes])
      return JSON.stringify(feed)
    }
    expect(await syncFromLocation({ ...deps, fetchText }, { signal })).toMatchObject({
      status: 'succeeded',
      counts: { added: 1 },
    })
    expect(asked).toEqual([[litellmFeedUrl, feedBytesMax]])
    expect(await rowsOf('select location, source_version from catalog_syncs')).toEqual([
      { location: litellmFeedUrl, source_version: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
    ])
  })

  test('reads a file', async () => {
    const location = join(tmpdir(), `llmgw-feed-${database.name}.json`)
    await writeFile(location, JSON.stringify(feed))
    try {
      expect(await syncFromLocation({ ...deps, fetchText: never }, { location, signal })).toMatchObject({
        status: 'succeeded',
      })
    } finally {
      await rm(location)
    }
  })

  test.each<[string, string, FetchText]>([
    ['a file that is not there', '/nowhere/prices.json', never],
    ['a server that is away', 'https://example.com/x', () => Promise.reject(new Error('getaddrinfo ENOTFOUND'))],
    ['an answer that is no feed', 'https://example.com/x', async () => '<html>'],
  ])('records that it failed for %s', async (_, location, fetchText) => {
    const result = await syncFromLocation({ ...deps, fetchText }, { location, signal })
    expect(result).toMatchObject({ status: 'failed' })
    expect(await rowsOf('select location, status, failure from catalog_syncs')).toEqual([
      { location, status: 'failed', failure: (result as { failure: string }).failure },
    ])
  })
})
