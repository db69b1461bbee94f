import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  recordCounts,
  recordDifference,
  recordTakenBack,
  rollupCtes,
  rollupTables,
} from '../../src/core/usage/rollups.store.ts'
import { createUsageStore, type UsageStore } from '../../src/core/usage/usage.store.ts'
import type { UsageEnd } from '../../src/core/usage/usage-record.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { endAt, expectedRollups, jsonOf, storedRollups } from './counted-usage.ts'

let database: TestDatabase
let store: UsageStore

beforeAll(async () => {
  database = await createTestDatabase()
  store = createUsageStore(database.pools.settlement)
})

afterAll(() => database.drop())

beforeEach(() =>
  database.pools.admin.query(`truncate usage_records, usage_attempts, ledger_entries,
    ${Object.values(rollupTables)
      .map(({ name }) => name)
      .join(', ')}`),
)

const select = async (sql: string) => (await database.pools.admin.query(sql)).rows

async function expectExact(): Promise<void> {
  expect(await storedRollups(database.pools.admin)).toEqual(await expectedRollups(database.pools.admin))
}

const id = (digit: number) => `0193591c-7d5c-7abc-8def-00000000000${digit}`
const tokens = fc.nat({ max: 2 ** 40 })
const tagText = fc.oneof(
  fc.constantFrom('team', 'a=b', '', ' ', 'Zoë "🦊"', "o'clock", '\\', '{}', 'null', '__proto__x', '%_', '\u2028'),
  fc.string({ maxLength: 12 }).filter((text) => !text.includes('\0') && text !== '__proto__'),
)
const anyEnd: fc.Arbitrary<UsageEnd> = fc
  .record({
    // Around two midnights, one of them a month's.
    at: fc.integer({ min: Date.UTC(2026, 9, 30, 22), max: Date.UTC(2026, 10, 1, 2) }),
    organization_id: fc.constantFrom(id(0), id(1)),
    team_id: fc.constantFrom(null, id(2), id(3)),
    key_id: fc.constantFrom(id(4), id(5), id(6)),
    alias: fc.constantFrom(null, 'smart'),
    target: fc.constantFrom(['openai', 'gpt-4o'], ['openai', 'gpt-4o-mini'], ['gemini', 'flash'], [null, null]),
    finish: fc.constantFrom('stop', 'length', 'client_disconnected', 'provider_error', 'timeout', 'orphaned', null),
    usage_source: fc.constantFrom('provider', 'counted', 'estimated', 'none'),
    state: fc.constantFrom('settled', 'released', 'estimated'),
    unpriced: fc.boolean(),
    cost: fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 10n ** 15n })),
    input_tokens: tokens,
    cache_read_tokens: tokens,
    cache_write_tokens: tokens,
    output_tokens: tokens,
    reasoning_tokens: tokens,
    tags: fc.dictionary(tagText, tagText, { maxKeys: 4, noNullPrototype: true }),
  })
  .map(({ at, target: [provider, model], cost, ...changes }) =>
    endAt(new Date(at).toISOString(), {
      ...(changes as Partial<UsageEnd>),
      provider: provider ?? null,
      model: model ?? null,
      provider_cost_nano: `${cost}`,
      charged_nano: `${cost}`,
      attempts: [],
    }),
  )

test('whatever is settled, in whatever batches, rollups are the sums of the records', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(anyEnd, { minLength: 1, maxLength: 12 }), { maxLength: 4 }), async (batches) => {
      for (const batch of batches) await store.apply(jsonOf(...batch))
      await expectExact()
    }),
    { numRuns: 25, ...(process.env.FC_SEED ? { seed: Number(process.env.FC_SEED) } : {}) },
  )
  expect(await select('select count(*) > 100 as many from usage_records')).toEqual([{ many: true }])
})

test('a batch that is sent again moves nothing, and a row reserved ahead counts when it is settled', async () => {
  const ends = Array.from({ length: 5 }, () => endAt('2026-11-23T20:00:00.123Z'))
  const [reserved] = ends
  await database.pools.admin.query(
    `insert into usage_records (request_id, reserved_at, organization_id, key_id, operation, door, requested_model,
      state, owner_replica) values ($1, $2, $3, $4, 'chat', 'rest', 'smart', 'reserved', 'r')`,
    [reserved?.request_id, reserved?.reserved_at, reserved?.organization_id, reserved?.key_id],
  )
  await store.apply(jsonOf(...ends.slice(1)))
  const before = await storedRollups(database.pools.admin)
  await store.apply(jsonOf(...ends.slice(1)))
  expect(await storedRollups(database.pools.admin)).toEqual(before)

  await store.apply(jsonOf(...ends))
  await expectExact()
  expect(await select('select requests, cost_nano, input_tokens from usage_hourly')).toEqual([
    { requests: '5', cost_nano: String(5 * 360_000), input_tokens: '6000' },
  ])
})

test('a batch that fails leaves the rollups alone', async () => {
  const bad = { ...endAt('2026-11-23T20:00:00Z'), state: 'unheard of' }
  await expect(store.apply(jsonOf(endAt('2026-11-23T20:00:00Z'), bad))).rejects.toThrow()
  expect(await select('select 1 from usage_hourly')).toEqual([])
})

test('a call counts in the hour, day and month (UTC) in which it was reserved, whatever the zone and the end', async () => {
  await database.pools.settlement.query(`set time zone 'Pacific/Auckland'`)
  await store.apply(
    jsonOf(endAt('2026-10-31T23:59:59.999Z', { ended_at: '2026-11-01T00:07:00Z' }), endAt('2026-11-01T00:00:00.000Z')),
  )
  await expectExact()
  const times = await select(
    `select 'hour' as unit, bucket from usage_hourly union all select 'day', bucket from usage_daily
     union all select 'month', bucket from monthly_usage_summary order by 1, 2`,
  )
  expect(times.map(({ unit, bucket }) => `${unit} ${bucket.toISOString()}`)).toEqual([
    'day 2026-10-31T00:00:00.000Z',
    'day 2026-11-01T00:00:00.000Z',
    'hour 2026-10-31T23:00:00.000Z',
    'hour 2026-11-01T00:00:00.000Z',
    'month 2026-10-01T00:00:00.000Z',
    'month 2026-11-01T00:00:00.000Z',
  ])
})

test('writers of several replicas at once do not deadlock and stay exact', async () => {
  const keys = [id(4), id(5), id(6), id(7), id(8)]
  // Each in its own order: without an agreed order of the rollup rows some of them would wait in a circle.
  const writer = async (number: number) => {
    for (let batch = 0; batch < 15; batch++) {
      const ends = Array.from({ length: 40 }, (_, index) =>
        endAt(`2026-11-${23 + (index % 2)}T2${(index * (number + 1)) % 4}:00:00Z`, {
          key_id: keys[(index * (number + 1) + batch) % keys.length] as string,
          team_id: index % 3 === 0 ? null : id(2),
          model: `m${(index + number) % 3}`,
          tags: { env: `e${(index * 7 + number) % 4}`, writer: `w${number % 2}` },
        }),
      )
      expect((await store.apply(jsonOf(...(number % 2 ? ends.reverse() : ends)))).changed).toBe(40)
    }
  }
  await Promise.all(Array.from({ length: 4 }, (_, number) => writer(number)))
  expect(await select('select sum(requests)::int as requests from usage_daily')).toEqual([{ requests: 4 * 15 * 40 }])
  await expectExact()
}, 60_000)

test('what an adjustment or a changed record differs by moves the rollups alike', async () => {
  const ends = [endAt('2026-10-31T23:59:59.999Z', { state: 'estimated' }), endAt('2026-11-01T00:00:00Z')]
  await store.apply(jsonOf(...ends))
  await database.pools.admin.query(
    `with adjusted as (
       update usage_records set provider_cost_nano = provider_cost_nano - 1000, charged_nano = charged_nano - 1000
       where state = 'estimated' returning *
     ), entries as (
       insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, organization_id, team_id, key_id)
       select gen_random_uuid(), request_id, reserved_at, 'adjust', -1000, organization_id, team_id, key_id from adjusted
     ), counted as (
       select ${recordDifference('adjusted', { cost_nano: '-1000', charged_nano: '-1000' })} from adjusted
     ), ${rollupCtes('counted')}
     select`,
  )
  await expectExact()

  await database.pools.admin.query(
    `with old as materialized (
       select * from usage_records where state = 'settled'
     ), changed as (
       update usage_records set provider = 'anthropic', model = 'late', output_tokens = 7, finish = 'timeout'
       where state = 'settled' returning *
     ), counted as (
       select ${recordTakenBack('old')} from old union all select ${recordCounts('changed')} from changed
     ), ${rollupCtes('counted')}
     select`,
  )
  const [row] = await select(`select requests, failed_requests, output_tokens from usage_hourly where model = 'late'`)
  expect(row).toEqual({ requests: '1', failed_requests: '1', output_tokens: '7' })
  // Where it counted before, a row of nothing is left; to whoever adds up it is no row.
  const stored = await storedRollups(database.pools.admin)
  const nothing = /^0( 0)*$/
  for (const table of Object.values(stored)) {
    for (const [key, sums] of Object.entries(table)) if (nothing.test(sums)) delete table[key]
  }
  expect(stored).toEqual(await expectedRollups(database.pools.admin))
})
