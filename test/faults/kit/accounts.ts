import type pg from 'pg'
import { expect } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import type { MoneyWatch } from './money-watch.ts'
import type { FaultProvider, ProviderCall } from './provider.ts'
import type { Tenant } from './tenants.ts'

type Database = pg.Pool | pg.ClientBase

/** A world, as far as it concerns its books. */
export interface Books {
  postgres: { pool: Database }
  provider: Pick<FaultProvider, 'calls'>
  watch: Pick<MoneyWatch, 'breaches'>
}

/** A call as the database has it. */
export interface AccountedCall {
  request_id: string
  key_id: string
  state: string
  finish: string | null
  usage_source: string
  input_tokens: string
  output_tokens: string
  provider_cost_nano: string
  charged_nano: string
  unpriced: boolean
  implausible_usage: unknown
}

/** Of one tenant's records, by request id. */
export async function recordsOf(pool: Database, tenant: Tenant): Promise<Map<string, AccountedCall>> {
  const { rows } = await pool.query<AccountedCall>(`${selectRecords} where r.key_id = $1`, [tenant.keyId])
  return new Map(rows.map((row) => [row.request_id, row]))
}

/**
 * Waits until every call that the provider has seen has a terminal record and nothing is leased any more, then proves
 * that the books are right to the last billionth of a dollar:
 *
 * - M1: at no look of the watch was a hard budget overspent;
 * - M2: one terminal record for each call that the provider has seen, no record left open;
 * - M3: one charge for each call, and for each of its budgets, of exactly what the record says;
 * - M4: that is what its units cost at the price of its version, and the units are the provider's where it told them;
 * - M5: nothing is leased;
 * - M7: what is committed is the sum of the ledger.
 *
 * @param msMax - how long the books may take
 */
export async function expectExactAccounts(books: Books, msMax: number): Promise<void> {
  await expectExactCharges(books, msMax)
  await expectNothingLeased(books, msMax)
}

/** As above, but for what replicas still hold; they give it back some seconds after they last needed it. */
export async function expectExactCharges({ postgres: { pool }, provider, watch }: Books, msMax: number): Promise<void> {
  const calls = await provider.calls()
  const ids = calls.map(({ requestId }) => requestId)
  await eventually(
    'each call that the provider has seen to have a terminal record',
    async () => (await unaccounted(pool, ids)).length === 0,
    msMax,
  ).catch(async (cause: unknown) => {
    const missing = await unaccounted(pool, ids)
    throw new Error(`${missing.length} of ${ids.length} calls have none, such as ${missing.slice(0, 5).join(', ')}`, {
      cause,
    })
  })
  const { rows: records } = await pool.query<AccountedCall>(selectRecords)
  expect(watch.breaches, 'M1').toEqual([])
  expect(
    records.filter(({ state }) => !terminalStates.includes(state)),
    'M2: records that were left open',
  ).toEqual([])
  expect(await violations(pool, twiceRecordedSql), 'M2: calls with more than one record').toEqual([])
  expect(await violations(pool, chargesSql), 'M3: charges that are not what the record says').toEqual([])
  expect(await violations(pool, adjustmentsSql), 'M3: adjustments of calls that were never estimated').toEqual([])
  expect(await violations(pool, recomputedSql), 'M4: costs that are not those of the units').toEqual([])
  // The provider notes how a call ended when its last byte is out: the record may well be there before.
  const wrong = async (): Promise<object[]> => wronglyCounted(await provider.calls(), records)
  await eventually('the provider to have noted all ends', async () => (await wrong()).length === 0, msMax).catch(
    () => {},
  )
  expect(await wrong(), 'M4: units that are not those of the provider').toEqual([])
  expect(await violations(pool, committedSql), 'M7: committed sums that are not those of the ledger').toEqual([])
}

async function expectNothingLeased({ postgres: { pool } }: Books, msMax: number): Promise<void> {
  await eventually('nothing to be leased any more', async () => (await leased(pool)).length === 0, msMax).catch(
    async (cause: unknown) => {
      throw new Error(`Still leased: ${JSON.stringify(await leased(pool))}`, { cause })
    },
  )
}

export const terminalStates: readonly string[] = ['settled', 'released', 'estimated']

const selectRecords = `
  select r.request_id, r.key_id, r.state, r.finish, r.usage_source, r.input_tokens, r.output_tokens,
    r.provider_cost_nano, r.charged_nano, r.unpriced, r.implausible_usage
  from usage_records r`

async function unaccounted(pool: Database, ids: readonly string[]): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `select seen.id from unnest($1::uuid[]) as seen (id)
     where not exists (
       select from usage_records r where r.request_id = seen.id and r.state = any($2))`,
    [ids, terminalStates],
  )
  return rows.map(({ id }) => id)
}

async function leased(pool: Database): Promise<object[]> {
  const { rows } = await pool.query<object>(`
    select p.id as period, p.leased_nano, coalesce(sum(l.amount_nano), 0)::text as in_leases
    from budget_periods p
    left join budget_leases l on l.budget_period_id = p.id
    group by p.id
    having p.leased_nano <> 0 or coalesce(sum(l.amount_nano), 0) <> 0`)
  return rows
}

async function violations(pool: Database, sql: string): Promise<object[]> {
  const { rows } = await pool.query<object>(`select * from (${sql}) as found limit 10`)
  return rows
}

const twiceRecordedSql = `
  select r.request_id, count(*) as records from usage_records r group by r.request_id having count(*) > 1`

/**
 * What a call costs stands in the ledger once for itself, without a period, and once for each period that it counts in;
 * as one charge, or as a charge and what a late finisher has adjusted.
 */
const chargesSql = `
  with wanted as (
    select r.request_id, r.state, period.id as budget_period_id, r.provider_cost_nano as amount_nano
    from usage_records r
    cross join lateral unnest(array_append(r.budget_period_ids, null)) as period (id)
    where r.provider_cost_nano <> 0
  ), charged as (
    select l.request_id, l.budget_period_id, count(*) filter (where l.kind = 'charge') as charges,
      sum(l.amount_nano) as amount_nano
    from ledger_entries l
    group by 1, 2
  )
  select coalesce(w.request_id, c.request_id) as request_id, coalesce(w.budget_period_id, c.budget_period_id) as period,
    coalesce(w.amount_nano, 0) as wanted, coalesce(c.amount_nano, 0) as charged, c.charges
  from wanted w
  full join charged c
    on c.request_id = w.request_id and c.budget_period_id is not distinct from w.budget_period_id
  where coalesce(w.amount_nano, 0) <> coalesce(c.amount_nano, 0) or c.charges > 1
    or (c.charges <> 1 and w.state is distinct from 'estimated')`

const adjustmentsSql = `
  select l.request_id, l.amount_nano, r.state
  from ledger_entries l
  left join usage_records r on r.request_id = l.request_id
  where l.kind = 'adjust' and r.state is distinct from 'estimated'`

/** By the one table of rates that the suite's models have; a formula of our own, on purpose. */
const recomputedSql = `
  select a.request_id, a.attempt_no, a.cost_nano as stored, again.cost
  from usage_attempts a
  join model_prices p on p.id = a.price_version
  cross join lateral (
    select ceil(coalesce(sum(unit.count::numeric * (p.rates -> 'tables' -> 0 -> 'rates' ->> unit.kind)::numeric), 0)
      / 1000000) as cost
    from jsonb_each_text(a.units) as unit (kind, count)
  ) as again
  where a.billing <> 'not_billed' and a.cost_nano <> again.cost
  union all
  select r.request_id, null, r.provider_cost_nano, sum(a.cost_nano)
  from usage_records r
  join usage_attempts a on a.request_id = r.request_id
  group by r.request_id, r.provider_cost_nano
  having r.provider_cost_nano <> sum(a.cost_nano)`

const committedSql = `
  select p.id as period, p.committed_nano as committed, coalesce(sum(l.amount_nano), 0) as in_ledger
  from budget_periods p
  left join ledger_entries l on l.budget_period_id = p.id
  group by p.id
  having p.committed_nano <> coalesce(sum(l.amount_nano), 0)`

/**
 * Records that say the provider has told the usage, and say something else than it told. A late finisher's record
 * stays the estimate, and its adjustment makes up the difference; its sum is checked with the ledger.
 */
function wronglyCounted(calls: readonly ProviderCall[], records: readonly AccountedCall[]): object[] {
  const byId = new Map(records.map((record) => [record.request_id, record]))
  return calls.flatMap(({ requestId, end }) => {
    const record = byId.get(requestId)
    if (record?.usage_source !== 'provider') return []
    const { prompt_tokens, completion_tokens } = end?.usage ?? {}
    const agrees = record.input_tokens === String(prompt_tokens) && record.output_tokens === String(completion_tokens)
    return agrees ? [] : [{ requestId, told: end?.usage, record }]
  })
}

/** What the budgets of a tenant have lent at this moment, all together. */
export async function leasedNano(pool: Database, { budgetIds }: Tenant): Promise<bigint> {
  const { rows } = await pool.query<{ leased: string }>(
    `select coalesce(sum(p.leased_nano), 0)::text as leased from budget_periods p where p.budget_id = any($1)`,
    [budgetIds],
  )
  return BigInt(rows[0]?.leased ?? 0)
}

/** What the budgets of a tenant have been charged so far, in the order in which they were asked for. */
export async function committedNano(pool: Database, { budgetIds }: Tenant): Promise<bigint[]> {
  const { rows } = await pool.query<{ committed: string }>(
    `select coalesce(sum(p.committed_nano), 0)::text as committed
     from unnest($1::uuid[]) with ordinality as wanted (id, place)
     left join budget_periods p on p.budget_id = wanted.id
     group by wanted.place
     order by wanted.place`,
    [budgetIds],
  )
  return rows.map(({ committed }) => BigInt(committed))
}

/** Charges and adjustments together, by request id: one sum for the call itself and one for each of its periods. */
export async function netCharges(pool: Database, { keyId }: Tenant): Promise<Map<string, bigint[]>> {
  const { rows } = await pool.query<{ request_id: string; amount: string }>(
    `select l.request_id, sum(l.amount_nano)::text as amount
     from ledger_entries l
     where l.key_id = $1
     group by l.request_id, l.budget_period_id`,
    [keyId],
  )
  const sums = new Map<string, bigint[]>()
  for (const { request_id, amount } of rows) sums.set(request_id, [...(sums.get(request_id) ?? []), BigInt(amount)])
  return sums
}
