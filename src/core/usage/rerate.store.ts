import type pg from 'pg'
import { inPatientTransaction } from '../db/patient-transaction.ts'
import type { StoredRates } from '../pricing/stored-price.ts'
import { recordDifference, rollupCtes } from './rollups.store.ts'
import type { ServiceTier, Units } from './usage.ts'
import type { UsageAttempt } from './usage-record.ts'

/** Reads what calls consumed and changes what they cost. */
export interface RerateStore {
  /** Days before this one may have lost records to retention. */
  droppedBefore(): Promise<Date | undefined>
  price(id: string): Promise<NamedPrice | undefined>
  /** The next calls that have billed attempts of the model, in the order of their time. */
  calls(query: CallQuery): Promise<BilledCall[]>
  /** Runs `work` in a transaction, anew should it get in settlement's way; calls read in it are locked. */
  transaction<T>(work: (batch: RerateBatch) => Promise<T>): Promise<T>
  keyNames(ids: readonly string[]): Promise<ReadonlyMap<string, string>>
  /** Those that still exist. */
  periods(ids: readonly string[]): Promise<PeriodState[]>
}

export interface RerateBatch {
  calls(query: CallQuery): Promise<BilledCall[]>
  /** Attempts, record, ledger, budget periods and rollups move together, and the event says so. */
  apply(changes: readonly CallChange[], audit: RerateAudit): Promise<void>
}

export interface NamedPrice {
  id: string
  rates: StoredRates
  catalog: string
  model: string
}

export interface CallQuery {
  /** Half-open. */
  from: Date
  to: Date
  model: string
  provider: string | undefined
  after: CallPlace | undefined
  limit: number
}

export interface CallPlace {
  requestId: string
  /** As PostgreSQL writes it, with microseconds. */
  reservedAt: string
}

export interface BilledCall extends CallPlace {
  keyId: string
  unpriced: boolean
  /** What the record says it cost, what the ledger says, and what its attempts add up to: the same, or it is not for us. */
  costNano: bigint
  ledgerNano: bigint
  /** For the next `adjust` entry; 0 belongs to a settlement that came after an estimate. */
  nextSeq: number
  budgetPeriodIds: readonly string[]
  /** All of them, in order. */
  attempts: readonly BilledAttempt[]
}

export interface BilledAttempt {
  attemptNo: number
  provider: string
  model: string
  billing: UsageAttempt['billing']
  units: Units
  serviceTier: ServiceTier
  priceVersion: string | null
  costNano: bigint
}

export interface CallChange {
  call: BilledCall
  differenceNano: bigint
  unpriced: boolean
  /** Of the last attempt. */
  priceVersion: string | null
  attempts: readonly { attemptNo: number; costNano: bigint; priceVersion: string }[]
  /** Ids for the ledger: one entry without a period, one for each period; none when nothing differs. */
  entries: readonly { id: string; budgetPeriodId: string | null }[]
}

export interface RerateAudit {
  id: string
  /** The same for all batches of a run. */
  runId: string
  after: object
}

export interface PeriodState {
  id: string
  budgetId: string
  periodStart: Date
  mode: 'hard' | 'soft'
  limitNano: bigint
  committedNano: bigint
}

/** @param client - its own, without a statement timeout */
export function createRerateStore(client: pg.ClientBase): RerateStore {
  return {
    async droppedBefore() {
      const { rows } = await client.query<{ dropped_before: Date | null }>(
        'select max(r.dropped_before) as dropped_before from usage_retention r',
      )
      return rows[0]?.dropped_before ?? undefined
    },

    async price(id) {
      const { rows } = await client.query<NamedPrice>(
        `select p.id, p.rates, m.catalog, m.name as model
         from model_prices p join models m on m.id = p.model_id
         where p.id = $1`,
        [id],
      )
      return rows[0]
    },

    calls: (query) => readCalls(query, ''),

    transaction: (work) =>
      inPatientTransaction(client, () => work({ calls: (query) => readCalls(query, 'for update'), apply })),

    async keyNames(ids) {
      const { rows } = await client.query<{ id: string; name: string }>(
        'select k.id, k.name from api_keys k where k.id = any($1)',
        [ids],
      )
      return new Map(rows.map(({ id, name }) => [id, name]))
    },

    async periods(ids) {
      const { rows } = await client.query<{
        id: string
        budget_id: string
        period_start: Date
        mode: 'hard' | 'soft'
        limit_nano: string
        committed_nano: string
      }>(
        `select p.id, p.budget_id, p.period_start, p.mode, p.limit_nano, p.committed_nano
         from budget_periods p where p.id = any($1) order by p.period_start, p.id`,
        [ids],
      )
      return rows.map((row) => ({
        id: row.id,
        budgetId: row.budget_id,
        periodStart: row.period_start,
        mode: row.mode,
        limitNano: BigInt(row.limit_nano),
        committedNano: BigInt(row.committed_nano),
      }))
    },
  }

  /** In two statements: what is read of a call must be as of after its lock was granted. */
  async function readCalls(query: CallQuery, lock: '' | 'for update'): Promise<BilledCall[]> {
    const { from, to, model, provider, after, limit } = query
    const { rows: places } = await client.query<{ request_id: string; at: string }>(`${placesSql} ${lock}`, [
      from,
      to,
      model,
      provider ?? null,
      after?.reservedAt ?? '-infinity',
      after?.requestId ?? '00000000-0000-0000-0000-000000000000',
      limit,
    ])
    if (places.length === 0) return []
    const { rows } = await client.query<CallRow>(callsSql, [
      places.map(({ request_id }) => request_id),
      places[0]?.at,
      places[places.length - 1]?.at,
    ])
    return rows.map(callOf)
  }

  async function apply(changes: readonly CallChange[], audit: RerateAudit): Promise<void> {
    const payload = changes.map(({ call, differenceNano, unpriced, priceVersion, attempts, entries }) => ({
      request_id: call.requestId,
      reserved_at: call.reservedAt,
      difference: differenceNano.toString(),
      was_unpriced: call.unpriced,
      unpriced,
      price_version: priceVersion,
      seq: call.nextSeq,
      attempts: attempts.map((attempt) => ({
        attempt_no: attempt.attemptNo,
        cost_nano: attempt.costNano.toString(),
        price_version: attempt.priceVersion,
      })),
      entries: entries.map(({ id, budgetPeriodId }) => ({ id, budget_period_id: budgetPeriodId })),
    }))
    const places = changes.map(({ call }) => call.reservedAt)
    await client.query(applySql, [JSON.stringify(payload), places[0], places[places.length - 1]])
    await client.query(
      `insert into audit_events (id, actor_kind, action, subject_kind, subject_id, after)
       values ($1, 'operator', 'usage.rerate', 'rerating', $2, $3)`,
      [audit.id, audit.runId, JSON.stringify(audit.after)],
    )
  }
}

const placesSql = `
  select u.request_id, u.reserved_at::text as at
  from usage_records u
  where u.reserved_at >= $1 and u.reserved_at < $2 and u.state <> 'reserved'
    and (u.reserved_at, u.request_id) > ($5::timestamptz, $6::uuid)
    and exists (
      select from usage_attempts a
      where a.reserved_at = u.reserved_at and a.request_id = u.request_id and a.model = $3
        and ($4::text is null or a.provider = $4) and a.billing in ('billed', 'estimated')
    )
  order by u.reserved_at, u.request_id
  limit $7`

interface CallRow {
  request_id: string
  at: string
  key_id: string
  unpriced: boolean
  cost_nano: string
  ledger_nano: string
  next_seq: number
  budget_period_ids: string[]
  attempts: (Omit<BilledAttempt, 'costNano'> & { costNano: string })[]
}

const callsSql = `
  select u.request_id, u.reserved_at::text as at, u.key_id, u.unpriced, u.provider_cost_nano as cost_nano,
    ledger.nano as ledger_nano, ledger.next_seq, u.budget_period_ids::text[], made.attempts
  from usage_records u
  cross join lateral (
    select coalesce(sum(l.amount_nano) filter (where l.budget_period_id is null), 0) as nano,
      coalesce(max(l.seq) filter (where l.kind = 'adjust'), 0) + 1 as next_seq
    from ledger_entries l
    where l.reserved_at = u.reserved_at and l.request_id = u.request_id
  ) as ledger
  cross join lateral (
    select coalesce(jsonb_agg(jsonb_build_object('attemptNo', a.attempt_no, 'provider', a.provider, 'model', a.model,
      'billing', a.billing, 'units', a.units, 'serviceTier', a.service_tier, 'priceVersion', a.price_version,
      'costNano', a.cost_nano::text) order by a.attempt_no), '[]') as attempts
    from usage_attempts a
    where a.reserved_at = u.reserved_at and a.request_id = u.request_id
  ) as made
  where u.request_id = any($1) and u.reserved_at between $2 and $3
  order by u.reserved_at, u.request_id`

const callOf = (row: CallRow): BilledCall => ({
  requestId: row.request_id,
  reservedAt: row.at,
  keyId: row.key_id,
  unpriced: row.unpriced,
  costNano: BigInt(row.cost_nano),
  ledgerNano: BigInt(row.ledger_nano),
  nextSeq: row.next_seq,
  budgetPeriodIds: row.budget_period_ids,
  attempts: row.attempts.map((attempt) => ({ ...attempt, costNano: BigInt(attempt.costNano) })),
})

/**
 * Locks as the settlement statement does: periods in the order of their ids, and rollups last, for PostgreSQL runs from
 * the last part to the first.
 */
const applySql = `
  with changed as materialized (
    select *
    from json_to_recordset($1::json) as change (request_id uuid, reserved_at timestamptz, difference bigint,
      was_unpriced boolean, unpriced boolean, price_version uuid, seq integer, attempts json, entries json)
  ), rerated as (
    update usage_records u
    set provider_cost_nano = u.provider_cost_nano + changed.difference,
      charged_nano = u.charged_nano + changed.difference, unpriced = changed.unpriced,
      price_version = changed.price_version
    from changed
    where u.reserved_at between $2 and $3 and u.reserved_at = changed.reserved_at and u.request_id = changed.request_id
    returning u.*, changed.difference, changed.was_unpriced, changed.seq, changed.entries
  ), counted as (
    select ${recordDifference('rerated', {
      cost_nano: 'rerated.difference',
      charged_nano: 'rerated.difference',
      unpriced_requests: 'rerated.unpriced::integer - rerated.was_unpriced::integer',
    })}
    from rerated
  ), ${rollupCtes('counted')}, entered as (
    select rerated.*, entry.id as entry_id, entry.budget_period_id
    from rerated
    cross join lateral json_to_recordset(rerated.entries) as entry (id uuid, budget_period_id uuid)
  ), locked_period as materialized (
    select p.id from budget_periods p where p.id in (select budget_period_id from entered) order by p.id for update
  ), committed as (
    update budget_periods p
    set committed_nano = p.committed_nano + moved.nano
    from (
      select locked_period.id, sum(entered.difference)::bigint as nano
      from entered
      join locked_period on locked_period.id = entered.budget_period_id
      group by locked_period.id
    ) as moved
    where p.id = moved.id
  ), adjusted as (
    insert into ledger_entries (id, request_id, reserved_at, kind, seq, amount_nano, budget_period_id, organization_id,
      team_id, key_id)
    select entry_id, request_id, reserved_at, 'adjust', seq, difference, budget_period_id, organization_id, team_id, key_id
    from entered
  ), attempted as (
    update usage_attempts a
    set cost_nano = attempt.cost_nano, price_version = attempt.price_version
    from changed
    cross join lateral json_to_recordset(changed.attempts) as attempt (attempt_no integer, cost_nano bigint, price_version uuid)
    where a.reserved_at between $2 and $3 and a.reserved_at = changed.reserved_at
      and a.request_id = changed.request_id and a.attempt_no = attempt.attempt_no
  )
  select`
