import type { Pool, QueryConfig } from 'pg'

/** Moves terminal records into the database. */
export interface UsageStore {
  /**
   * Applies a batch in one transaction: rows, attempts and ledger entries, or none of them. A record whose row is
   * already terminal changes nothing, so a batch may be sent again whatever became of it.
   *
   * @param records - UTF-8 JSON, an array of UsageEnd; no request id may occur twice
   * @returns how many records changed something
   * @throws the database's error; `blame` says what to do about it
   */
  apply(records: Buffer): Promise<number>
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
      const result = await pool.query<{ changed: number }>(query)
      return result.rows[0]?.changed ?? 0
    },
  }
}

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

/**
 * A row that was reserved ahead (by a checkpoint) is completed; a terminal row is left alone, and so are the attempts
 * and the ledger, which follow only from what `written` really changed. What the providers charge is what budgets
 * count and what the ledger adds up.
 */
const applySql = `
  with batch as materialized (
    select * from json_to_recordset($1::json) as record (${definitions.join(', ')}, attempts json)
  ), written as (
    insert into usage_records (${names.join(', ')}, attempts)
    select ${names.map((name) => `batch.${name}`).join(', ')}, json_array_length(batch.attempts)
    from batch
    on conflict (reserved_at, request_id) do update
    set ${overwritten.map((name) => `${name} = excluded.${name}`).join(', ')}
    where usage_records.state = 'reserved'
    returning request_id, reserved_at, provider_cost_nano, organization_id, team_id, key_id
  ), attempted as (
    insert into usage_attempts (request_id, reserved_at, attempt_no, provider, model, outcome, http_status, error_code,
      billing, units, service_tier, price_version, cost_nano, total_ms)
    select batch.request_id, batch.reserved_at, attempt.attempt_no, attempt.provider, attempt.model, attempt.outcome,
      attempt.http_status, attempt.error_code, attempt.billing, attempt.units,
      coalesce(attempt.service_tier, 'default'), attempt.price_version,
      attempt.cost_nano, attempt.total_ms
    from batch
    join written using (reserved_at, request_id)
    cross join lateral json_to_recordset(batch.attempts) as attempt (attempt_no integer, provider text, model text,
      outcome text, http_status integer, error_code text, billing text, units jsonb, service_tier text, price_version uuid,
      cost_nano bigint, total_ms numeric)
    on conflict do nothing
  ), charged as (
    insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, organization_id, team_id, key_id)
    select written.request_id, written.request_id, written.reserved_at, 'charge', written.provider_cost_nano,
      written.organization_id, written.team_id, written.key_id
    from written
    where written.provider_cost_nano > 0
    on conflict do nothing
  )
  select count(*)::integer as changed from written`
