import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { seedDevelopmentDatabase } from '../../src/cli/seed.ts'
import { openConnection } from '../../src/core/db/connection.ts'
import { maintainPartitions } from '../../src/core/db/partitions.ts'
import { createRebuildStore } from '../../src/core/usage/rebuild-rollups.store.ts'
import { type RebuildOptions, rebuildRollups } from '../../src/core/usage/rebuild-rollups.ts'
import { rollupTables } from '../../src/core/usage/rollups.store.ts'
import { blame, createUsageStore, type UsageStore } from '../../src/core/usage/usage.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { silent } from '../support/log.ts'
import { endAt, expectedRollups, jsonOf, storedRollups } from './counted-usage.ts'

let database: TestDatabase
let store: UsageStore

beforeEach(async () => {
  database = await createTestDatabase()
  store = createUsageStore(database.pools.settlement)
})

afterEach(() => database.drop())

const admin = () => database.pools.admin
const select = async (sql: string) => (await admin().query(sql)).rows
const day = (text: string) => new Date(`${text}T00:00:00Z`)
const names = Object.values(rollupTables).map(({ name }) => name)

async function rebuild(options: Partial<RebuildOptions> = {}) {
  await using client = await openConnection({ url: database.url, purpose: 'rebuild' })
  return await rebuildRollups(createRebuildStore(client), { apply: true, ...options })
}

async function rebuilt(options: Partial<RebuildOptions> = {}) {
  const result = await rebuild(options)
  if (result.status !== 'rebuilt') throw new Error(`It was not rebuilt: ${result.status}.`)
  return result
}

/** Three days around the end of a month, two keys, tags, and an adjustment. */
async function settleSome(): Promise<void> {
  const ends = [
    '2026-10-31T22:10:00Z',
    '2026-10-31T23:59:59.999Z',
    '2026-11-01T00:00:00Z',
    '2026-11-02T12:00:00Z',
  ].flatMap((at) => [
    endAt(at),
    endAt(at, { key_id: '0193591c-7d5c-7abc-8def-0123456789aa', team_id: null, alias: null, tags: { env: "o'dev" } }),
    endAt(at, { provider: null, model: null, state: 'released', provider_cost_nano: '0', charged_nano: '0' }),
  ])
  await store.apply(jsonOf(...ends))
}

const corruptions = [
  'update #t set requests = requests + 7, cost_nano = 0',
  'delete from #t where requests > 0',
  `update #t set bucket = bucket + interval '10 minutes'`,
  `update #t set provider = 'nobody'`,
  'update #t set output_tokens = -output_tokens, charged_nano = charged_nano + 1',
]

test('rows that were damaged, deleted, moved or made up are as they were', async () => {
  await settleSome()
  const before = await storedRollups(admin())
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...corruptions)), { minLength: 1, maxLength: 5 }),
      async (damages) => {
        for (const [table, sql] of damages) await admin().query(sql.replace('#t', table))
        const { differences } = await rebuilt({ to: day('2026-11-03') })
        expect(await storedRollups(admin())).toEqual(before)
        expect(differences.length).toBeGreaterThan(0)
        expect((await rebuilt({ to: day('2026-11-03') })).differences).toEqual([])
      },
    ),
    { numRuns: 12 },
  )
})

test('usage of a release without rollups gets them, and says how much was missing', async () => {
  await settleSome()
  const before = await storedRollups(admin())
  await admin().query(`truncate ${names.join(', ')}`)
  const { from, to, records, differences } = await rebuilt({ to: day('2026-11-03') })
  expect({ from, to, records }).toEqual({ from: day('2026-10-31'), to: day('2026-11-03'), records: 12 })
  expect(differences.filter(({ table }) => table === 'usage_daily')).toEqual([
    { table: 'usage_daily', bucket: day('2026-10-31'), rows: 3, requests: 6n, costNano: 4n * 360_000n },
    { table: 'usage_daily', bucket: day('2026-11-01'), rows: 3, requests: 3n, costNano: 2n * 360_000n },
    { table: 'usage_daily', bucket: day('2026-11-02'), rows: 3, requests: 3n, costNano: 2n * 360_000n },
  ])
  expect(await storedRollups(admin())).toEqual(before)
})

test('a dry run finds the same and changes nothing', async () => {
  await settleSome()
  await admin().query('update usage_daily set cost_nano = cost_nano + 5')
  const damaged = await storedRollups(admin())
  const looked = await rebuilt({ apply: false, to: day('2026-11-03') })
  expect(await storedRollups(admin())).toEqual(damaged)
  expect(looked.differences.filter(({ table }) => table === 'usage_daily')).toHaveLength(3)
  const { differences } = await rebuilt({ to: day('2026-11-03') })
  expect(differences.filter(({ table }) => table === 'usage_daily')).toEqual(
    looked.differences.filter(({ table }) => table === 'usage_daily'),
  )
})

test('only whole days of the range are looked at; a month is made of all its days', async () => {
  await settleSome()
  await admin().query('update usage_hourly set requests = 100')
  await admin().query('update monthly_usage_summary set requests = 100')
  await rebuilt({ from: new Date('2026-11-01T15:00:00Z'), to: new Date('2026-11-01T16:00:00Z') })
  expect(
    await select(
      `select bucket::date::text as day, sum(requests)::int as requests from usage_hourly group by 1 order by 1`,
    ),
  ).toEqual([
    { day: '2026-10-31', requests: 600 },
    { day: '2026-11-01', requests: 3 },
    { day: '2026-11-02', requests: 300 },
  ])
  expect(
    await select(
      `select bucket::date::text as month, sum(requests)::int as requests from monthly_usage_summary group by 1 order by 1`,
    ),
  ).toEqual([
    { month: '2026-10-01', requests: 300 },
    { month: '2026-11-01', requests: 6 },
  ])
})

test('money follows the ledger, tokens the record, and what is only reserved is left out', async () => {
  await settleSome()
  await admin().query(
    `insert into ledger_entries (id, request_id, reserved_at, kind, seq, amount_nano, budget_period_id, organization_id, key_id)
     select gen_random_uuid(), request_id, reserved_at, 'adjust', 1, 1000, period, organization_id, key_id
     from usage_records cross join (values (null::uuid), (gen_random_uuid()), (gen_random_uuid())) as p (period)`,
  )
  await admin().query(
    `insert into usage_records (request_id, reserved_at, organization_id, key_id, operation, door, requested_model,
      state, owner_replica) values (gen_random_uuid(), '2026-11-01T00:00:00Z', gen_random_uuid(), gen_random_uuid(),
      'chat', 'rest', 'smart', 'reserved', 'r')`,
  )
  const { differences } = await rebuilt({ to: day('2026-11-03') })
  expect(await storedRollups(admin())).toEqual(await expectedRollups(admin()))
  const daily = differences.filter(({ table }) => table === 'usage_daily')
  expect(daily.map(({ requests, costNano }) => [requests, costNano])).toEqual([
    [0n, 6_000n],
    [0n, 3_000n],
    [0n, 3_000n],
  ])
})

/** Waits for writers, other than the pool's own statements, and locks the whole table, so as not to deadlock with them. */
const falsify = (table: string, statement: string) =>
  admin().query(
    `begin; set local lock_timeout = '30s'; set local statement_timeout = '30s';
    lock table ${table} in share row exclusive mode; ${statement}; commit`,
  )

test('while several writers settle, each record counts once, and no writer is aborted', async () => {
  await settleSome()
  let settling = true
  let batches = 0
  const writer = async (number: number) => {
    while (settling) {
      const ends = Array.from({ length: 20 }, (_, index) =>
        endAt(`2026-11-0${1 + (index % 2)}T${10 + (index % 3)}:00:00Z`, {
          model: `m${index % 4}`,
          tags: { writer: `w${number}`, n: `${index % 2}` },
        }),
      )
      // On a busy machine a statement may take too long; a deadlock would be our fault.
      const outcome = await store.apply(jsonOf(...ends)).then(
        ({ changed }) => changed,
        (error: unknown) => error,
      )
      expect(outcome).not.toMatchObject({ code: '40P01' })
      if (outcome === 20) batches++
      else expect(['time', 'database']).toContain(blame(outcome))
    }
  }
  const writing = Promise.all([1, 2, 3].map(writer))
  try {
    for (let round = 0; round < 6; round++) {
      // A difference that holds only for this round: were it taken from another moment, sums would be off for good.
      await falsify(
        'usage_hourly',
        `update usage_hourly set requests = requests + ${round + 1}, cost_nano = cost_nano - 11`,
      )
      await falsify('usage_tag_daily', 'update usage_tag_daily set requests = requests - 1')
      await falsify('monthly_usage_summary', 'delete from monthly_usage_summary')
      await rebuilt({ to: day('2026-11-03') })
    }
  } finally {
    settling = false // or the writers would go on when the database is gone
  }
  await writing
  expect(batches).toBeGreaterThan(3)
  expect(await storedRollups(admin())).toEqual(await expectedRollups(admin()))
}, 90_000)

test('days whose records retention has dropped are refused, and their rollups stay', async () => {
  const url = database.url
  await maintainPartitions({ url, log: silent, nowMs: Date.parse('2026-11-01T12:00:00Z'), daysAhead: 2 })
  await settleSome()
  const before = await storedRollups(admin())
  const nowMs = Date.parse('2026-11-02T12:00:00Z')
  await maintainPartitions({ url, log: silent, nowMs, usageRetentionDays: 1, ledgerRetentionDays: 30 })
  expect(await select('select count(*)::int as left from usage_records')).toEqual([{ left: 6 }])

  expect(await rebuild({ from: day('2026-10-31') })).toEqual({ status: 'dropped', droppedBefore: day('2026-11-01') })
  const { from, differences } = await rebuilt()
  expect({ from, differences }).toEqual({ from: day('2026-11-01'), differences: [] })
  expect(await storedRollups(admin())).toEqual(before)
})

test('nor are rollups replaced by nothing when records went another way', async () => {
  await settleSome()
  const before = await storedRollups(admin())
  await admin().query(`delete from usage_records where reserved_at < '2026-11-02'`)
  const { daysWithoutRecords, differences } = await rebuilt()
  expect({ daysWithoutRecords, differences }).toEqual({
    daysWithoutRecords: [day('2026-10-31'), day('2026-11-01')],
    differences: [],
  })
  expect(await storedRollups(admin())).toEqual(before)
})

test('of two at once one gives way, and without usage there is nothing to do', async () => {
  expect(await rebuild()).toEqual({ status: 'empty' })
  await using other = await openConnection({ url: database.url, purpose: 'rebuild' })
  expect(await createRebuildStore(other).lock()).toBe(true)
  expect(await rebuild()).toEqual({ status: 'busy' })
})

test('the seed fills the rollups as settling would have', async () => {
  const seeded = await seedDevelopmentDatabase({ url: database.url, log: silent, calls: 1_500, days: 35 })
  expect(seeded.seeded).toBe(true)
  const { differences, records } = await rebuilt({ apply: false })
  expect(records).toBeGreaterThan(1_000)
  expect(differences).toEqual([])
})
