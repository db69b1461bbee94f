import { afterEach, beforeEach, expect, test } from 'vitest'
import { openRerating } from '../../src/cli/open-rerating.ts'
import { createDatabaseClock } from '../../src/core/clock.ts'
import { openConnection } from '../../src/core/db/connection.ts'
import { synchronizeClock } from '../../src/core/db/database-clock-sync.ts'
import { maintainPartitions } from '../../src/core/db/partitions.ts'
import { costOf } from '../../src/core/pricing/cost.ts'
import { parsePrice } from '../../src/core/pricing/stored-price.ts'
import { createRebuildStore } from '../../src/core/usage/rebuild-rollups.store.ts'
import { rebuildRollups } from '../../src/core/usage/rebuild-rollups.ts'
import { type RerateOptions, rerate } from '../../src/core/usage/rerate.ts'
import { blame, createUsageStore, type UsageStore } from '../../src/core/usage/usage.store.ts'
import type { UsageAttempt, UsageEnd } from '../../src/core/usage/usage-record.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { silent } from '../support/log.ts'
import { endAt, expectedRollups, jsonOf, storedRollups } from './counted-usage.ts'

let database: TestDatabase
let store: UsageStore

beforeEach(async () => {
  database = await createTestDatabase()
  store = createUsageStore(database.pools.settlement)
  await admin().query(
    `insert into providers (id, name, type, managed_by) values (gen_random_uuid(), 'openai', 'openai', 'file');
     insert into models (id, catalog, name, managed_by) values (gen_random_uuid(), 'openai', 'gpt-4o-mini', 'catalog');`,
  )
  await addPrice(oldPrice, 1, { input: '150000000', output: '600000000' })
})

afterEach(() => database.drop())

const admin = () => database.pools.admin
const select = async (sql: string, values: unknown[] = []) => (await admin().query(sql, values)).rows
const id = (last: number) => `0193591c-7d5c-7abc-8def-${String(last).padStart(12, '0')}`
const [oldPrice, newPrice, keyA, keyB, october, november] = [1, 2, 11, 12, 21, 22].map(id) as [
  string,
  string,
  string,
  string,
  string,
  string,
]
const range = { from: new Date('2026-10-31T00:00:00Z'), to: new Date('2026-11-02T00:00:00Z') }

async function addPrice(priceId: string, version: number, rates: Record<string, string>): Promise<void> {
  await admin().query(
    `insert into model_prices (id, model_id, version, source, rates, effective_from)
     select $1, models.id, $2, 'genai-prices', $3, now() - interval '1 second' from models`,
    [priceId, version, { tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates }] }],
  )
}

/** 1,200 tokens in and 300 out, for 360,000 nano-USD at the old price; half of it at the new one. */
const call = (at: string, changes: Partial<UsageEnd> = {}) => endAt(at, { price_version: oldPrice, ...changes })

const halve = () => addPrice(newPrice, 2, { input: '75000000', output: '300000000' })

async function run(options: Partial<RerateOptions> & { priceVersion?: string } = {}) {
  await using client = await openConnection({ url: database.url, purpose: 'rerate' })
  const clock = createDatabaseClock()
  await synchronizeClock(admin(), clock)
  const { priceVersion, ...wanted } = options
  const model = wanted.model ?? 'gpt-4o-mini'
  const deps = await openRerating({ client, pool: admin(), clock, model, priceVersion })
  const result = await rerate(deps, { ...range, model, apply: true, ...wanted })
  if (result.status !== 'rerated') throw new Error(`Not rerated: ${result.status}.`)
  return result
}

/** Records, attempts, ledger, periods, rollups and events, for comparison. */
async function everything() {
  const [rows] = await select(
    `select (select jsonb_agg(u order by u.request_id) from usage_records u) as records,
       (select jsonb_agg(a order by a.request_id, a.attempt_no) from usage_attempts a) as attempts,
       (select jsonb_agg(l order by l.id) from ledger_entries l) as ledger,
       (select jsonb_agg(to_jsonb(p) - 'updated_at' order by p.id) from budget_periods p) as periods,
       (select count(*) from audit_events) as events`,
  )
  return { ...rows, rollups: await storedRollups(admin()) }
}

/** Lets the calls of a month count in a budget of that month, as admission and settlement do. */
async function countInBudget(period: string, limitNano: bigint, from: string, to: string): Promise<void> {
  await admin().query(
    `with o as (insert into organizations (id, slug, name) values (gen_random_uuid(), $1::text, 'O') returning id),
       b as (insert into budgets (id, organization_id, amount_nano, period, mode, managed_by)
         select gen_random_uuid(), o.id, $2::bigint, 'month', 'hard', 'admin' from o returning id),
       u as (update usage_records set budget_period_ids = array[$1::text::uuid]
         where reserved_at >= $3::timestamptz and reserved_at < $4::timestamptz returning *),
       l as (insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, budget_period_id, organization_id, key_id)
         select gen_random_uuid(), request_id, reserved_at, 'charge', provider_cost_nano, $1::text::uuid, organization_id, key_id
         from u where provider_cost_nano > 0)
     insert into budget_periods (id, budget_id, period_start, limit_nano, mode, committed_nano)
     select $1::text::uuid, b.id, $3::timestamptz, $2::bigint, 'hard', (select sum(provider_cost_nano) from u) from b`,
    [period, limitNano.toString(), from, to],
  )
}

async function expectConsistent(): Promise<void> {
  expect(await storedRollups(admin())).toEqual(await expectedRollups(admin()))
  const wrong = await select(
    `select u.request_id from usage_records u
     where u.provider_cost_nano is distinct from coalesce((select sum(l.amount_nano) from ledger_entries l
         where l.request_id = u.request_id and l.budget_period_id is null), 0)
       or u.provider_cost_nano <> (select sum(a.cost_nano) from usage_attempts a where a.request_id = u.request_id)
     union all
     select p.id from budget_periods p
     where p.committed_nano <> (select sum(l.amount_nano) from ledger_entries l where l.budget_period_id = p.id)`,
  )
  expect(wrong).toEqual([])
}

test('around a month’s last midnight each call moves its own buckets and its own budget period', async () => {
  await store.apply(
    jsonOf(
      call('2026-10-31T23:59:59.999Z', { key_id: keyA }),
      call('2026-11-01T00:00:00.000Z', { key_id: keyA }),
      call('2026-11-01T00:00:00.001Z', { key_id: keyB, charged_nano: '400000' }),
    ),
  )
  await countInBudget(october, 1_000_000n, '2026-10-01T00:00:00Z', '2026-11-01T00:00:00Z')
  await countInBudget(november, 1_000_000n, '2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z')
  await expectConsistent()
  await halve()
  const before = await everything()

  const looked = await run({ apply: false })
  expect(looked).toMatchObject({ calls: 3, changed: 3, oldNano: 1_080_000n, newNano: 540_000n, overspent: [] })
  expect(await everything()).toEqual(before)

  const done = await run()
  expect(done).toEqual(looked)
  expect(
    done.groups.map(({ keyId, provider, calls, oldNano, newNano }) => [keyId, provider, calls, oldNano, newNano]),
  ).toEqual([
    [keyA, 'openai', 2, 720_000n, 360_000n],
    [keyB, 'openai', 1, 360_000n, 180_000n],
  ])
  await expectConsistent()
  expect(await select(`select id, committed_nano from budget_periods order by id`)).toEqual([
    { id: october, committed_nano: '180000' },
    { id: november, committed_nano: '360000' },
  ])
  expect(
    await select(
      `select bucket::text as month, sum(cost_nano) as cost, sum(charged_nano) as charged from monthly_usage_summary
       group by 1 order by 1`,
    ),
  ).toMatchObject([
    { cost: '180000', charged: '180000' },
    { cost: '360000', charged: '400000' },
  ])
  expect(await select('select distinct price_version, unpriced, state from usage_records')).toEqual([
    { price_version: newPrice, unpriced: false, state: 'settled' },
  ])
  expect(await select('select distinct price_version, cost_nano from usage_attempts')).toEqual([
    { price_version: newPrice, cost_nano: '180000' },
  ])
  expect(
    await select(
      `select kind, seq, amount_nano, count(*)::int, count(budget_period_id)::int as periods from ledger_entries
       group by 1, 2, 3 order by 1 desc`,
    ),
  ).toEqual([
    { kind: 'charge', seq: 0, amount_nano: '360000', count: 6, periods: 3 },
    { kind: 'adjust', seq: 1, amount_nano: '-180000', count: 6, periods: 3 },
  ])
  expect(await select('select actor_kind, action, subject_kind, after from audit_events')).toMatchObject([
    {
      actor_kind: 'operator',
      action: 'usage.rerate',
      subject_kind: 'rerating',
      after: { model: 'gpt-4o-mini', calls: 3, differenceNano: '-540000', priceVersions: [newPrice] },
    },
  ])

  const after = await everything()
  expect(await run()).toMatchObject({ calls: 3, changed: 0, oldNano: 540_000n, newNano: 540_000n })
  expect(await everything()).toEqual(after)
})

test('back to the price that calls had, and forth again: each way is an entry of its own', async () => {
  await store.apply(jsonOf(call('2026-11-01T10:00:00Z')))
  await halve()
  await run()
  expect(await run({ priceVersion: oldPrice })).toMatchObject({ changed: 1, oldNano: 180_000n, newNano: 360_000n })
  await run()
  await expectConsistent()
  expect(await select(`select seq, amount_nano from ledger_entries order by kind desc, seq`)).toEqual([
    { seq: 0, amount_nano: '360000' },
    { seq: 1, amount_nano: '-180000' },
    { seq: 2, amount_nano: '180000' },
    { seq: 3, amount_nano: '-180000' },
  ])
})

test('only the range, the model, the provider and what was billed are touched', async () => {
  const [attempt] = call('2026-11-01T00:00:00Z').attempts as [UsageAttempt]
  const mixed = call('2026-11-01T03:00:00Z', {
    provider_cost_nano: '860000',
    charged_nano: '860000',
    model: 'other',
    price_version: id(9),
    attempts: [
      attempt,
      { ...attempt, attempt_no: 2, billing: 'not_billed', units: {}, cost_nano: '0' },
      { ...attempt, attempt_no: 3, model: 'other', cost_nano: '500000', price_version: id(9) },
    ],
  })
  await store.apply(
    jsonOf(
      call('2026-10-30T23:59:59.999Z'),
      call('2026-11-01T02:00:00Z', { provider: 'azure' }),
      call('2026-11-01T02:00:00Z', { model: 'gpt-4o' }),
      call('2026-11-02T00:00:00.000Z'),
      mixed,
    ),
  )
  await halve()
  const result = await run({ provider: 'openai', priceVersion: newPrice })
  expect(result).toMatchObject({ calls: 1, changed: 1, oldNano: 360_000n, newNano: 180_000n })
  await expectConsistent()
  expect(await select('select request_id, amount_nano from ledger_entries where kind = $1', ['adjust'])).toEqual([
    { request_id: mixed.request_id, amount_nano: '-180000' },
  ])
  expect(
    await select('select price_version, cost_nano from usage_attempts where request_id = $1 order by attempt_no', [
      mixed.request_id,
    ]),
  ).toEqual([
    { price_version: newPrice, cost_nano: '180000' },
    { price_version: oldPrice, cost_nano: '0' },
    { price_version: id(9), cost_nano: '500000' },
  ])
  // The record names the version of its last attempt, which was another model's.
  expect(await select('select price_version from usage_records where request_id = $1', [mixed.request_id])).toEqual([
    { price_version: id(9) },
  ])
})

test('a call that had no price gets one, by tier, size and kind, and is no longer unpriced', async () => {
  const [attempt] = call('2026-11-01T00:00:00Z').attempts as [UsageAttempt]
  const units = { input: 150_000, cache_read: 60_000, reasoning: 40, output: 2, request: 1 }
  const free = {
    unpriced: true,
    price_version: null,
    provider_cost_nano: '0',
    charged_nano: '0',
    attempts: [{ ...attempt, units, service_tier: 'flex' as const, price_version: null, cost_nano: '0' }],
  }
  await store.apply(
    jsonOf(call('2026-11-01T01:00:00Z', free), call('2026-11-01T01:00:00Z', { ...free, state: 'estimated' })),
  )
  await admin().query(`update model_prices set rates = $1`, [
    {
      tables: [
        { serviceTier: 'default', aboveInputTokens: 0, rates: { input: '7', output: '11' } },
        { serviceTier: 'default', aboveInputTokens: 200_000, rates: { input: '1000001', output: '13' } },
        { serviceTier: 'flex', aboveInputTokens: 200_000, rates: { cache_read: '500003' } },
      ],
    },
  ])
  const [price] = await select('select id, rates from model_prices')
  const { costNano } = costOf(parsePrice(price.id, price.rates), { units, inputTokens: 210_000, serviceTier: 'flex' })
  expect(costNano).toBe(180_001n) // 150,000 at 1.000001 and 60,000 at 0.500003, rounded up

  expect(await run()).toMatchObject({ changed: 2, unpriced: 0, oldNano: 0n, newNano: 360_002n })
  await expectConsistent()
  expect(
    await select('select sum(unpriced_requests)::int as unpriced, sum(cost_nano) as cost from usage_tag_daily'),
  ).toEqual(
    [{ unpriced: 0, cost: String(2 * 360_002) }], // each call has two tags
  )
  expect(await select('select distinct unpriced, price_version from usage_records')).toEqual([
    { unpriced: false, price_version: oldPrice },
  ])
  // To a price that knows less it is unpriced again, and says so.
  await addPrice(newPrice, 2, { output: '1000000' })
  expect(await run()).toMatchObject({ changed: 2, unpriced: 2, newNano: 84n })
  await expectConsistent()
  expect(await select('select sum(unpriced_requests)::int as unpriced from usage_daily')).toEqual([{ unpriced: 2 }])
})

test('a dearer price may overspend a hard budget, and names it before and after', async () => {
  await store.apply(jsonOf(call('2026-11-01T10:00:00Z')))
  await countInBudget(november, 400_000n, '2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z')
  await addPrice(newPrice, 2, { input: '300000000', output: '1200000000' })
  const overspent = [expect.objectContaining({ id: november, limitNano: 400_000n, committedNano: 720_000n })]
  expect((await run({ apply: false })).overspent).toEqual(overspent)
  expect((await run()).overspent).toEqual(overspent)
  await expectConsistent()
})

test('what does not add up, or has no price, is left alone and counted', async () => {
  const odd = call('2026-11-01T10:00:00Z')
  await store.apply(jsonOf(odd, call('2026-11-01T11:00:00Z', { provider: 'unheard-of' })))
  await admin().query('update usage_records set provider_cost_nano = 1 where request_id = $1', [odd.request_id])
  await halve()
  const before = await everything()
  expect(await run()).toMatchObject({ calls: 2, changed: 0, inconsistent: 1, withoutPrice: 1, groups: [] })
  expect(await everything()).toEqual(before)
})

test('while others settle, rebuild and rerate, every call is rerated once and all sums hold', async () => {
  const settle = (batches: number, writer: number) =>
    Promise.all(
      [1, 2].map(async (lane) => {
        for (let batch = 0; batch < batches; batch++) {
          const ends = Array.from({ length: 15 }, (_, index) =>
            call(`2026-11-01T0${index % 5}:00:00Z`, {
              key_id: index % 2 ? keyA : keyB,
              tags: { lane: `${lane}${writer}` },
              budget_period_ids: writer === 0 ? [] : [november],
              budget_lease_ids: writer === 0 ? [] : [null],
            }),
          )
          for (;;) {
            const outcome = await store.apply(jsonOf(...ends)).then(
              ({ changed }) => changed,
              (error: unknown) => error,
            )
            // A time-out of a busy machine leaves open whether it was applied; a deadlock would be our fault.
            if (typeof outcome === 'number') break
            expect(outcome).not.toMatchObject({ code: '40P01' })
            expect(['time', 'database']).toContain(blame(outcome))
          }
        }
      }),
    )
  await settle(4, 0)
  await countInBudget(november, 10n ** 12n, '2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z')
  await halve()
  const rebuild = async () => {
    await using client = await openConnection({ url: database.url, purpose: 'rebuild' })
    return await rebuildRollups(createRebuildStore(client), { ...range, apply: true })
  }
  const [, one, other, rebuilt] = await Promise.all([
    settle(8, 1),
    run({ batchCalls: 7 }),
    run({ batchCalls: 10 }),
    rebuild(),
  ])
  // Each of the calls that were there was changed by one of the two; of those that came meanwhile, some.
  expect(one.changed + other.changed).toBeGreaterThanOrEqual(120)
  expect(rebuilt).toMatchObject({ status: 'rebuilt', differences: [] })
  await run()
  await expectConsistent()
  expect(await select('select distinct provider_cost_nano as cost from usage_records')).toEqual([{ cost: '180000' }])
  expect(
    await select(`select count(*)::int as calls, count(distinct request_id)::int as distinct from ledger_entries
      where kind = 'adjust' and budget_period_id is null`),
  ).toEqual([{ calls: 360, distinct: 360 }])
}, 90_000)

test('an orphan that was rerated and then turns out to have ended costs what it really cost', async () => {
  const orphan = call('2026-11-01T10:00:00Z', {
    state: 'estimated',
    finish: 'orphaned',
    usage_source: 'estimated',
    output_tokens: 0,
    total_ms: null,
    budget_period_ids: [november],
    budget_lease_ids: [null],
  })
  await store.apply(jsonOf({ ...orphan, budget_period_ids: [], budget_lease_ids: [] }))
  await countInBudget(november, 10n ** 9n, '2026-11-01T00:00:00Z', '2026-12-01T00:00:00Z')
  await halve()
  expect(await run()).toMatchObject({ changed: 1, newNano: 180_000n })
  await expectConsistent()

  const [attempt] = orphan.attempts as [UsageAttempt]
  const end = {
    ...orphan,
    finish: 'stop',
    usage_source: 'provider',
    provider: 'azure',
    output_tokens: 9_000,
    provider_cost_nano: '500000',
    charged_nano: '500000',
    total_ms: 90_000,
    attempts: [{ ...attempt, provider: 'azure', cost_nano: '500000' }],
  }
  for (const changed of [1, 0]) expect((await store.apply(jsonOf(end))).changed).toBe(changed)
  expect(
    await select(`select seq, amount_nano from ledger_entries where budget_period_id is null order by seq, kind`),
  ).toEqual([
    { seq: 0, amount_nano: '320000' },
    { seq: 0, amount_nano: '360000' },
    { seq: 1, amount_nano: '-180000' },
  ])
  expect(await select('select sum(cost_nano) as cost, sum(requests)::int as requests from usage_daily')).toEqual([
    { cost: '500000', requests: 1 },
  ])
  // Settlement leaves a row of nothing where the orphan had counted.
  await admin().query('delete from usage_hourly where requests = 0')
  for (const table of [
    'usage_daily',
    'monthly_usage_summary',
    'usage_model_daily',
    'usage_tag_hourly',
    'usage_tag_daily',
    'monthly_tag_summary',
  ])
    await admin().query(`delete from ${table} where requests = 0`)
  await expectConsistent()
})

test('a run that is cut short leaves whole batches, and the next one ends it', async () => {
  await store.apply(jsonOf(...Array.from({ length: 9 }, (_, minute) => call(`2026-11-01T10:0${minute}:00Z`))))
  await halve()
  await using client = await openConnection({ url: database.url, purpose: 'rerate' })
  const clock = createDatabaseClock()
  await synchronizeClock(admin(), clock)
  const deps = await openRerating({ client, pool: admin(), clock, model: 'gpt-4o-mini' })
  let rated = 0
  const failing = {
    ...deps,
    priceOf: (provider: string) => {
      if (++rated === 6) throw new Error('cut short')
      return deps.priceOf(provider)
    },
  }
  const options = { ...range, model: 'gpt-4o-mini', apply: true, batchCalls: 4 }
  await expect(rerate(failing, options)).rejects.toThrow('cut short')
  await expectConsistent()
  expect(await select(`select count(*)::int from ledger_entries where kind = 'adjust'`)).toEqual([{ count: 4 }])
  expect(await select(`select count(*)::int from audit_events`)).toEqual([{ count: 1 }])

  expect(await run({ batchCalls: 4 })).toMatchObject({ calls: 9, changed: 5 })
  await expectConsistent()
  expect(await select(`select count(*)::int from ledger_entries where kind = 'adjust'`)).toEqual([{ count: 9 }])
})

test('a time whose records retention has dropped, and a price that is not there, are refused', async () => {
  const url = database.url
  await maintainPartitions({ url, log: silent, nowMs: Date.parse('2026-10-31T12:00:00Z'), daysAhead: 2 })
  await maintainPartitions({ url, log: silent, nowMs: Date.parse('2026-11-02T12:00:00Z'), usageRetentionDays: 1 })
  await expect(run()).rejects.toThrow('Not rerated: dropped.')
  expect(await run({ from: new Date('2026-11-01T00:00:00Z') })).toMatchObject({ calls: 0, changed: 0 })
  for (const priceVersion of ['nonsense', id(99)]) {
    await expect(run({ priceVersion })).rejects.toThrow(`There is no price version "${priceVersion}".`)
  }
})
