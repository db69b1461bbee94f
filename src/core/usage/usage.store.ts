import type { Pool, QueryConfig } from 'pg'
import { budgetMovesSql, budgetStandingSql } from './budget-moves.store.ts'
import { recordCounts, recordTakenBack, rollupCtes } from './rollups.store.ts'

/** Moves terminal records into the database. */
export interface UsageStore {
  /**
   * Applies a batch in one transaction: rows, attempts, ledger entries and budgets, or none of them. A record whose row is
   * already terminal changes nothing, so a batch may be sent again whatever became of it. The one exception is a row that
   * was closed as an orphan: the call's real end amends it, once.
   *
   * @param records - UTF-8 JSON, an array of UsageEnd; no request id may occur twice
   * @throws the database's error; `blame` says what to do about it
   */
  apply(records: Buffer): Promise<AppliedBatch>
}

export interface AppliedBatch {
  /** How many records changed something. */
  changed: number
  /** Budget periods that were moved, as they stand now. */
  periods: readonly PeriodStanding[]
  /** Raised by this batch, each for the first and only time. */
  alerts: readonly BudgetAlert[]
}

export interface PeriodStanding {
  periodId: string
  committedNano: bigint
  limitNano: bigint
}

export interface BudgetAlert extends PeriodStanding {
  budgetId: string
  /** `threshold`: so much of the limit is spent; `overrun`: a call cost more than the most that was held for it. */
  kind: 'threshold' | 'overrun'
  thresholdPercent: number | null
  requestId: string | null
  /** Of an overrun: by how much. */
  differenceNano: bigint | null
}

/**
 * Whose fault an error of `apply` is. `record`: some record can never be stored as it is; `time`: the batch may be too
 * large for the time a statement has; `database`: anything else, including a commit whose outcome is unknown.
 */
export type Blame = 'record' | 'time' | 'database'

const queryTimeoutMs = 5_000

/** @param pool - not shared with requests; it needs a `connectionTimeoutMillis`, or a dead network stops the writer */
export function createUsageStore(pool: Pool): UsageStore {
  // Without an end, a server that stopped answering would stop the writer for good.
  const timeoutMs = pool.options.query_timeout ?? queryTimeoutMs

  return {
    async apply(records) {
      // A Buffer travels as it is: the binary form of `json` is its text. On a timeout the pool drops the connection.
      const query: QueryConfig & { query_timeout: number } = {
        text: applySql,
        values: [records],
        query_timeout: timeoutMs,
      }
      const { rows } = await pool.query<AppliedRow>(query)
      const { changed, periods, alerts } = rows[0] as AppliedRow // an aggregate gives one row
      return {
        changed,
        periods: (periods ?? []).map((row) => ({ periodId: row.periodId, ...standingOf(row) })),
        alerts: (alerts ?? []).map((row) => ({
          ...row,
          ...standingOf(row),
          differenceNano: row.differenceNano === null ? null : BigInt(row.differenceNano),
        })),
      }
    },
  }
}

/** Money as decimal text: JSON numbers are floats. */
interface StandingRow {
  periodId: string
  committedNano: string
  limitNano: string
}

interface AppliedRow {
  changed: number
  periods: StandingRow[] | null
  alerts:
    | (StandingRow & Omit<BudgetAlert, keyof PeriodStanding | 'differenceNano'> & { differenceNano: string | null })[]
    | null
}

const standingOf = ({ committedNano, limitNano }: StandingRow) => ({
  committedNano: BigInt(committedNano),
  limitNano: BigInt(limitNano),
})

/** SQLSTATE classes that speak of the data: cardinality, data exception, integrity constraint, program limit. */
const recordFaults = new Set(['21', '22', '23', '54'])

export function blame(error: unknown): Blame {
  const { code, constraint } = (error ?? {}) as { code?: unknown; constraint?: unknown } // whatever was thrown
  // pg's own timeout has a message only.
  if (code === '57014' || (error instanceof Error && error.message === 'Query read timeout')) return 'time'
  if (typeof code !== 'string' || code.length !== 5) return 'database'
  // A missing partition comes as a check violation, too, but of no constraint that has a name; it can still be made.
  if (code === '23514' && constraint === undefined) return 'database'
  return recordFaults.has(code.slice(0, 2)) ? 'record' : 'database'
}

/** Columns of `usage_records` that come from the record under their own name, with the type they are read as. */
const columns = {
  request_id: 'uuid',
  reserved_at: 'timestamptz',
  ended_at: 'timestamptz',
  organization_id: 'uuid',
  team_id: 'uuid',
  key_id: 'uuid',
  caller_key_id: 'uuid',
  operation: 'text',
  door: 'text',
  requested_model: 'text',
  alias: 'text',
  provider: 'text',
  model: 'text',
  stream: 'boolean',
  state: 'text',
  finish: 'text',
  usage_source: 'text',
  retry_uncertain: 'boolean',
  http_status: 'integer',
  error_code: 'text',
  input_tokens: 'bigint',
  cache_read_tokens: 'bigint',
  cache_write_tokens: 'bigint',
  output_tokens: 'bigint',
  reasoning_tokens: 'bigint',
  units: 'jsonb',
  implausible_usage: 'jsonb',
  price_version: 'uuid',
  unpriced: 'boolean',
  reserved_nano: 'bigint',
  provider_cost_nano: 'bigint',
  charged_nano: 'bigint',
  overrun_nano: 'bigint',
  budget_period_ids: 'uuid[]',
  budget_lease_ids: 'uuid[]',
  // Read as numeric and rounded: a fraction of a millisecond must not cost us the record.
  first_output_ms: 'numeric',
  total_ms: 'numeric',
  tags: 'jsonb',
  end_user: 'text',
  client_request_id: 'text',
  provider_response_id: 'text',
  owner_replica: 'text',
} as const

const names = Object.keys(columns)
const key = new Set(['request_id', 'reserved_at'])
const definitions = Object.entries(columns).map(([name, type]) => `${name} ${type}`)
const overwritten = [...names.filter((name) => !key.has(name)), 'attempts']
/** An orphan's row stays `estimated`, and gets everything else from the real end. */
const amendable = overwritten.filter((name) => name !== 'state')

/** What the previous release journaled knows nothing of this. */
const whereAbsent: Partial<Record<string, string>> = {
  retry_uncertain: 'false',
  overrun_nano: '0',
  budget_period_ids: "'{}'",
  budget_lease_ids: "'{}'",
}
const selected = (name: string): string => {
  if (name === 'attempts') return 'json_array_length(batch.attempts)'
  const absent = whereAbsent[name]
  return absent ? `coalesce(batch.${name}, ${absent})` : `batch.${name}`
}

/** Calls that took less have no row before they end: see `checkpoints.ts`. Some slack, since clocks are read apart. */
const checkpointedMsMin = 500

/**
 * A row that was reserved ahead (by a checkpoint) is completed; a terminal row is left alone, and so are the attempts,
 * the ledger and the budgets, which follow only from what `written` and `amended` really changed. What the providers
 * charge is what budgets count and what the ledger adds up: one entry without a period, which is the money itself, and
 * one for each period that the call counts in.
 *
 * The sweeper may close a row between our look at it and our write to it, so rows that can have been closed are locked
 * first and looked at then (`seen`).
 * PostgreSQL runs the parts that nobody reads from the last to the first: rollups, whose rows other replicas wait for,
 * stand first, to be locked as late as can be.
 */
const applySql = `
  with batch as materialized (
    select * from json_to_recordset($1::json) as record (${definitions.join(', ')}, attempts json)
  ), written as (
    insert into usage_records (${names.join(', ')}, attempts)
    select ${[...names, 'attempts'].map(selected).join(', ')}
    from batch
    on conflict (reserved_at, request_id) do update
    set ${overwritten.map((name) => `${name} = excluded.${name}`).join(', ')}
    where usage_records.state = 'reserved'
    returning request_id, reserved_at
  ), seen as materialized (
    select r.*
    from batch
    join usage_records r using (reserved_at, request_id)
    where coalesce(batch.total_ms, ${checkpointedMsMin}) >= ${checkpointedMsMin} and batch.finish is distinct from 'orphaned'
    for update of r
  ), amended as (
    update usage_records r
    set ${amendable.map((name) => `${name} = ${selected(name)}`).join(', ')}
    from batch
    join seen using (reserved_at, request_id)
    where r.reserved_at = batch.reserved_at and r.request_id = batch.request_id
      and seen.state = 'estimated' and seen.finish = 'orphaned'
    returning r.request_id, r.reserved_at, batch.provider_cost_nano - seen.provider_cost_nano as difference_nano,
      least(seen.provider_cost_nano, seen.reserved_nano) as taken_nano
  ), counted as (
    select ${recordCounts('batch')} from batch join written using (reserved_at, request_id)
    union all
    select ${recordCounts('batch')} from batch join amended using (reserved_at, request_id)
    union all
    select ${recordTakenBack('seen')} from seen join amended using (reserved_at, request_id)
  ), ${rollupCtes('counted')}, cleared as (
    -- What was said of the orphan's attempts was a guess.
    delete from usage_attempts a using amended
    where a.reserved_at = amended.reserved_at and a.request_id = amended.request_id
      and a.attempt_no > (select json_array_length(batch.attempts) from batch where batch.request_id = amended.request_id)
  ), attempted as (
    insert into usage_attempts (request_id, reserved_at, attempt_no, provider, model, outcome, http_status, error_code,
      billing, units, service_tier, price_version, cost_nano, total_ms)
    select batch.request_id, batch.reserved_at, attempt.attempt_no, attempt.provider, attempt.model, attempt.outcome,
      attempt.http_status, attempt.error_code, attempt.billing, attempt.units,
      coalesce(attempt.service_tier, 'default'), attempt.price_version,
      attempt.cost_nano, attempt.total_ms
    from batch
    join (select reserved_at, request_id from written union all select reserved_at, request_id from amended) changed
      using (reserved_at, request_id)
    cross join lateral json_to_recordset(batch.attempts) as attempt (attempt_no integer, provider text, model text,
      outcome text, http_status integer, error_code text, billing text, units jsonb, service_tier text, price_version uuid,
      cost_nano bigint, total_ms numeric)
    on conflict (reserved_at, request_id, attempt_no) do update set
      provider = excluded.provider, model = excluded.model, outcome = excluded.outcome,
      http_status = excluded.http_status, error_code = excluded.error_code, billing = excluded.billing,
      units = excluded.units, service_tier = excluded.service_tier, price_version = excluded.price_version,
      cost_nano = excluded.cost_nano, total_ms = excluded.total_ms
  ), billed as (
    insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, organization_id, team_id, key_id)
    select batch.request_id, batch.request_id, batch.reserved_at, 'charge', batch.provider_cost_nano,
      batch.organization_id, batch.team_id, batch.key_id
    from batch
    join written using (reserved_at, request_id)
    where batch.provider_cost_nano > 0
    union all
    select gen_random_uuid(), batch.request_id, batch.reserved_at, 'adjust', amended.difference_nano,
      batch.organization_id, batch.team_id, batch.key_id
    from batch
    join amended using (reserved_at, request_id)
    where amended.difference_nano <> 0
    on conflict do nothing
  ), ${budgetMovesSql}
  select (select count(*) from written)::integer + (select count(*) from amended)::integer as changed,
  ${budgetStandingSql}`
