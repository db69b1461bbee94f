import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createDailyCatalogSync, type DailyCatalogSyncDeps } from '../../src/core/catalog/daily-catalog-sync.ts'
import type { CatalogSyncDeps } from '../../src/core/catalog/sync.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { syncDepsOf } from './catalog-fixtures.ts'

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

const feed = JSON.stringify({ 'gpt-4o': { litellm_provider: 'openai', input_cost_per_token: 1e-6 } })

/** Runs the job through so many wake-ups, at once, and closes it. */
async function wakeUps(count: number, over: Partial<DailyCatalogSyncDeps> = {}) {
  const waitedMs: number[] = []
  const fetched: string[] = []
  const warnings: string[] = []
  const through = Promise.withResolvers<void>()
  const silent = () => undefined
  const job = createDailyCatalogSync({
    ...deps,
    enabled: true,
    random: () => 0.5,
    log: { debug: silent, info: silent, warn: (_, message) => warnings.push(message), error: silent },
    fetchText: async (url) => {
      fetched.push(url)
      return feed
    },
    wait: (ms, signal) => {
      waitedMs.push(ms)
      if (waitedMs.length <= count) return Promise.resolve()
      through.resolve()
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
    },
    ...over,
  })
  if (over.enabled !== false) await through.promise
  await job.close()
  return { waitedMs, fetched, warnings }
}

const statuses = async () =>
  (await deps.pool.query('select status from catalog_syncs order by started_at')).rows.map(({ status }) => status)

const ageLast = (interval: string) =>
  deps.pool.query('update catalog_syncs set started_at = started_at - $1::interval, finished_at = finished_at - $1', [
    interval,
  ])

test('syncs soon after the start, then not again for a day', async () => {
  const { waitedMs, fetched } = await wakeUps(3, { location: 'https://example.com/prices' })
  expect(fetched).toEqual(['https://example.com/prices'])
  expect(waitedMs).toEqual([155_000, 3_600_000, 3_600_000, 3_600_000])
  await ageLast('23 hours')
  expect((await wakeUps(1)).fetched).toEqual([])
  await ageLast('1 hour 1 minute')
  expect((await wakeUps(1)).fetched).toHaveLength(1)
  expect(await statuses()).toEqual(['succeeded', 'succeeded'])
})

test('replicas wake at different minutes', async () => {
  const { waitedMs: early } = await wakeUps(1, { random: () => 0 })
  const { waitedMs: late } = await wakeUps(1, { random: () => 0.999 })
  expect(early).toEqual([10_000, 2_700_000])
  expect(late[0]).toBeGreaterThan(290_000)
  expect(late[1]).toBeGreaterThan(4_400_000)
})

test('tries again in the next hour after a failure, which is recorded and told', async () => {
  const { warnings } = await wakeUps(2, { fetchText: () => Promise.reject(new Error('away')) })
  expect(warnings).toEqual(['The catalog was not synced; prices stay as they are.'])
  expect(await statuses()).toEqual(['failed'])
  await ageLast('45 minutes')
  await wakeUps(1)
  expect(await statuses()).toEqual(['failed', 'succeeded'])
})

test('survives a database that is away', async () => {
  const pool = { query: () => Promise.reject(new Error('gone')) } as never
  const { warnings, fetched } = await wakeUps(2, { pool })
  expect(warnings).toHaveLength(2)
  expect(fetched).toEqual([])
})

test('closing ends a sync that is under way, which is no failure', async () => {
  const underWay = Promise.withResolvers<void>()
  const log = { debug: unexpected, info: unexpected, warn: unexpected, error: unexpected }
  const job = createDailyCatalogSync({
    ...deps,
    enabled: true,
    log,
    wait: () => Promise.resolve(),
    fetchText: (_, { signal }) => {
      underWay.resolve()
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
    },
  })
  await underWay.promise
  await job.close()
  expect(await statuses()).toEqual([])
})

function unexpected(_: object, message: string): never {
  throw new Error(`Unexpected log: ${message}`)
}

test('does nothing when it is off', async () => {
  const { waitedMs, fetched } = await wakeUps(0, { enabled: false })
  expect([waitedMs, fetched]).toEqual([[], []])
})
