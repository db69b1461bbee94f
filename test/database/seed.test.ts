import { afterEach, beforeEach, expect, test } from 'vitest'
import { type SeedOptions, seedDevelopmentDatabase } from '../../src/cli/seed.ts'
import { createLedgerAuditStore } from '../../src/core/budgets/ledger-audit.store.ts'
import { costOf } from '../../src/core/pricing/cost.ts'
import { parsePrice } from '../../src/core/pricing/stored-price.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { silent } from '../support/log.ts'

let database: TestDatabase
beforeEach(async () => {
  database = await createTestDatabase()
})
afterEach(() => database.drop())

const query = async (sql: string) => (await database.pools.admin.query(sql)).rows

async function seed(options: Partial<SeedOptions> = {}) {
  const result = await seedDevelopmentDatabase({ url: database.url, log: silent, calls: 3_000, days: 35, ...options })
  if (!result.seeded) throw new Error(result.reason)
  return result.summary
}

test('records, attempts, ledger, rollups and budgets add up', async () => {
  const summary = await seed()
  // Of the current day only the hours that have passed.
  expect(summary.calls).toBeGreaterThan(2_500)
  const [sums] = await query(
    `select (select count(*) from usage_records) as calls,
       (select sum(attempts) from usage_records) as attempts_named, (select count(*) from usage_attempts) as attempts,
       (select sum(provider_cost_nano) from usage_records) as cost,
       (select sum(cost_nano) from usage_attempts) as attempts_cost,
       (select sum(amount_nano) from ledger_entries where budget_period_id is null) as ledger,
       (select sum(cost_nano) from usage_hourly) as hourly, (select sum(cost_nano) from usage_daily) as daily,
       (select sum(cost_nano) from monthly_usage_summary) as monthly,
       (select sum(requests) from usage_hourly) as requests,
       (select sum(input_tokens + output_tokens) from usage_records) as tokens,
       (select sum(input_tokens + output_tokens) from monthly_usage_summary) as monthly_tokens`,
  )
  expect(BigInt(sums.calls)).toBe(BigInt(summary.calls))
  expect(sums.requests).toBe(sums.calls)
  expect(sums.attempts).toBe(sums.attempts_named)
  expect(BigInt(sums.cost)).toBe(summary.costNano)
  expect([sums.attempts_cost, sums.ledger, sums.hourly, sums.daily, sums.monthly]).toEqual(Array(5).fill(sums.cost))
  expect(sums.monthly_tokens).toBe(sums.tokens)

  const wrong = await query(
    `select p.id, p.committed_nano, sum(u.provider_cost_nano) as spent
     from budget_periods p left join usage_records u on u.budget_period_ids @> array[p.id]
     group by p.id having p.committed_nano <> coalesce(sum(u.provider_cost_nano), 0)
       or (p.mode = 'hard' and p.committed_nano > p.limit_nano)`,
  )
  expect(wrong).toEqual([])
  expect(await createLedgerAuditStore(database.pools.admin).audit(0)).toMatchObject({ differences: [] })
})

test('every cost is tokens times the price that the record names', async () => {
  await seed({ calls: 500 })
  const records = await query(
    `select u.units, u.input_tokens, u.provider_cost_nano, price.id, price.rates
     from usage_records u join model_prices price on price.id = u.price_version`,
  )
  expect(records.length).toBeGreaterThan(400)
  for (const { units, input_tokens, provider_cost_nano, id, rates } of records) {
    const cost = costOf(parsePrice(id, rates), { units, inputTokens: Number(input_tokens), serviceTier: 'default' })
    expect({ cost: cost.costNano, unpriced: cost.unpricedKinds }).toEqual({
      cost: BigInt(provider_cost_nano),
      unpriced: [],
    })
  }
})

test('it looks like real traffic: several models, failures, fallbacks, quiet weekends, no row without a partition', async () => {
  await seed({ calls: 6_000 })
  const [seen] = await query(
    `select count(distinct model) as models, count(distinct organization_id) as organizations,
       count(distinct finish) as finishes, count(*) filter (where error_code is not null) as failed,
       count(*) filter (where attempts = 2) as fell_back, count(*) filter (where reserved_at > now()) as from_the_future,
       count(*) filter (where extract(isodow from reserved_at at time zone 'UTC') > 5) * 5.0 / 2
         / count(*) filter (where extract(isodow from reserved_at at time zone 'UTC') <= 5) as weekend_share,
       (select count(*) from usage_records_default) + (select count(*) from ledger_entries_default) as strays,
       count(*) filter (where (('x' || translate(left(request_id::text, 13), '-', ''))::bit(48)::bigint)
         <> (extract(epoch from reserved_at) * 1000)::bigint) as ids_of_other_times
     from usage_records`,
  )
  expect(Number(seen.models)).toBe(7)
  expect(Number(seen.organizations)).toBe(4)
  expect(Number(seen.finishes)).toBeGreaterThanOrEqual(6)
  expect(Number(seen.failed)).toBeGreaterThan(50)
  expect(Number(seen.failed)).toBeLessThan(600)
  expect(Number(seen.fell_back)).toBeGreaterThan(5)
  expect(Number(seen.weekend_share)).toBeLessThan(0.65)
  expect([seen.from_the_future, seen.strays, seen.ids_of_other_times].map(Number)).toEqual([0, 0, 0])
})

test('the same seed makes the same calls, another one others', async () => {
  const other = await createTestDatabase()
  const content = async (on: TestDatabase) =>
    (
      await on.pools.admin.query(
        `select md5(string_agg(request_id || ' ' || model || ' ' || provider_cost_nano, ',' order by request_id)) as digest
         from usage_records where reserved_at < date_trunc('day', now(), 'UTC')`,
      )
    ).rows[0].digest
  try {
    await seed({ calls: 400, seed: 7 })
    await seedDevelopmentDatabase({ url: other.url, log: silent, calls: 400, days: 35, seed: 7 })
    expect(await content(other)).toBe(await content(database))
    await seedDevelopmentDatabase({ url: other.url, log: silent, calls: 400, days: 35, seed: 8, force: true })
    expect(await content(other)).not.toBe(await content(database))
  } finally {
    await other.drop()
  }
})

test('a database with usage is left alone unless forced, and then gets more that still adds up', async () => {
  const first = await seed({ calls: 300 })
  const refused = await seedDevelopmentDatabase({ url: database.url, log: silent, calls: 300 })
  expect(refused).toEqual({ seeded: false, reason: expect.stringContaining('--force') })
  const second = await seed({ calls: 300, force: true })
  const [sums] = await query(
    `select (select count(*) from usage_records)::int as calls, (select sum(requests) from usage_daily)::int as requests,
       (select count(*) from api_keys)::int as keys`,
  )
  expect(sums).toEqual({ calls: first.calls + second.calls, requests: first.calls + second.calls, keys: first.keys })
})

test('what is there already is used: providers, aliases and prices of the catalog', async () => {
  await query(
    `insert into providers (id, name, type, managed_by) values (gen_random_uuid(), 'openai', 'openai', 'environment')`,
  )
  await query(
    `with model as (
       insert into models (id, catalog, name, managed_by) values (gen_random_uuid(), 'openai', 'gpt-4o', 'catalog')
       returning id
     )
     insert into model_prices (id, model_id, version, source, rates, effective_from)
     select gen_random_uuid(), id, 1, 'genai-prices',
       '{"tables": [{"serviceTier": "default", "aboveInputTokens": 0, "rates": {"input": "1", "output": "1"}}]}', now()
     from model`,
  )
  await seed({ calls: 500 })
  const [seen] = await query(
    `select (select enabled from providers where name = 'openai') as still_enabled,
       (select count(*)::int from model_prices join models on models.id = model_id where models.name = 'gpt-4o') as prices,
       (select max(provider_cost_nano)::int from usage_records where model = 'gpt-4o') as dearest`,
  )
  expect(seen).toEqual({ still_enabled: true, prices: 1, dearest: 1 })
})
