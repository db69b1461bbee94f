import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createDatabaseClock } from '../../src/core/clock.ts'
import { createUsageStore } from '../../src/core/usage/usage.store.ts'
import { openUsageSpool, type UsageSpool } from '../../src/core/usage/usage-spool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { silent } from '../support/log.ts'
import { openPostgresProxy } from '../support/postgres-proxy.ts'
import { temporaryFolder } from '../support/usage-journal.ts'
import { usageEnd, usageIntent } from '../support/usage-records.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})

afterAll(() => database.drop())

async function openSpool(path: string, pool: pg.Pool): Promise<UsageSpool> {
  return openUsageSpool({
    path,
    owner: '0',
    store: createUsageStore(pool),
    clock: createDatabaseClock(),
    log: silent,
    writerSettings: { retryDelayMs: 5, retryDelayMsMax: 20, batchRows: 50 },
  })
}

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 2, connectionTimeoutMillis: 1_000, query_timeout: 200 })
  pool.on('error', () => {}) // connections are cut all the time here
  pool.on('connect', (client) => client.on('error', () => {}))
  return pool
}

/** Calls that began and ended; @returns what they cost altogether */
async function makeCalls(spool: UsageSpool, count: number): Promise<number> {
  const intents = Array.from({ length: count }, () => usageIntent())
  await Promise.all(intents.map((intent) => spool.append('intent', intent)))
  await Promise.all(intents.map((intent) => spool.append('end', usageEnd(intent))))
  return count * 360_000
}

async function totals() {
  const { rows } = await database.pools.admin.query(`
    select (select count(*)::integer from usage_records) as records,
      (select count(distinct request_id)::integer from usage_records) as requests,
      (select count(*)::integer from usage_attempts) as attempts,
      (select sum(amount_nano)::bigint from ledger_entries) as charged`)
  return rows[0]
}

test('connections cut during the commit, a server that hangs and one that is gone lose nothing and double nothing', async () => {
  await using proxy = await openPostgresProxy(database.url)
  using folder = temporaryFolder()
  const pool = openPool(proxy.url)
  const spool = await openSpool(folder.path, pool)
  let calls = 0
  let cost = 0
  const make = async (count: number) => {
    calls += count
    cost += await makeCalls(spool, count)
  }

  await make(10)
  await vi.waitUntil(() => spool.stats().pendingRecords === 0, 5_000)
  for (let round = 0; round < 3; round++) {
    proxy.cutAnswerTo(5_000) // only the batch itself is that long
    await make(30)
    await vi.waitUntil(() => spool.stats().pendingRecords === 0, 5_000)
  }
  expect(proxy.cuts).toBe(3)
  expect(spool.stats().writer.repeated).toBeGreaterThanOrEqual(90)

  proxy.mode = 'mute'
  await make(20)
  await vi.waitUntil(() => spool.stats().writer.failuresInARow > 0, 5_000)
  proxy.mode = 'down'
  await make(400)
  expect(spool.stats()).toMatchObject({ state: 'ok', pendingRecords: 420 })
  expect(await spool.flush(50)).toBe(420)

  proxy.mode = 'up'
  expect(await spool.close(10_000)).toBe(0)
  expect(await totals()).toEqual({ records: calls, requests: calls, attempts: calls, charged: String(cost) })
  await pool.end()
}, 30_000)

test('what a run could not apply is applied by the next one', async () => {
  await database.pools.admin.query('truncate usage_records, usage_attempts, ledger_entries')
  await using proxy = await openPostgresProxy(database.url)
  using folder = temporaryFolder()
  proxy.mode = 'down'
  const pool = openPool(proxy.url)
  const first = await openSpool(folder.path, pool)
  const cost = await makeCalls(first, 300)
  expect(await first.close(50)).toBe(300)

  proxy.mode = 'up'
  const second = await openSpool(folder.path, pool)
  expect(await second.close(10_000)).toBe(0)

  expect(await totals()).toEqual({ records: 300, requests: 300, attempts: 300, charged: String(cost) })
  await pool.end()
})
