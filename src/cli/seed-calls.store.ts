import { rollupCtes } from '../core/usage/rollups.store.ts'

export interface DayTotals {
  calls: number
  attempts: number
  ledgerEntries: number
  costNano: bigint
}

/** Temporary tables of one run, and the function all chance comes from: the same for the same call and purpose. */
export const preparationSql = `
  create function pg_temp.chance(call bigint, purpose text) returns float8 immutable parallel safe language sql as $$
    select (hashtextextended(purpose, call) & 9007199254740991)::float8 / 9007199254740992
  $$;
  create temporary table seed_keys (
    n integer primary key, from_share float8, upto_share float8, key_id uuid, organization_id uuid, team_id uuid,
    tags jsonb, operation text, input_median float8, output_median float8, hours float8[]
  ) on commit drop;
  create temporary table seed_periods (id uuid, scope_id uuid, used float8, starts timestamptz) on commit drop;
  create type pg_temp.seed_target as (
    key_n integer, from_share float8, upto_share float8, requested_model text, alias text, provider text, model text,
    catalog text, reasons boolean, first_output_ms float8, ms_per_token float8, failed_provider text, failed_model text
  );
  create temporary table seed_targets (
    key_n integer, from_share float8, upto_share float8, requested_model text, alias text, provider text, model text,
    catalog text, reasons boolean, first_output_ms float8, ms_per_token float8, failed_provider text, failed_model text,
    price_version uuid, input_rate numeric, cache_rate numeric, output_rate numeric, reasoning_rate numeric,
    request_rate numeric, caches boolean
  ) on commit drop;
  create temporary table seed_calls (
    request_id uuid, reserved_at timestamptz, key_id uuid, organization_id uuid, team_id uuid, tags jsonb,
    operation text, door text, requested_model text, alias text, provider text, model text, stream boolean,
    outcome text, failed_provider text, failed_model text, price_version uuid, prompt bigint, cached bigint,
    output bigint, reasoning bigint, cost_nano bigint, first_output_ms integer, total_ms integer, end_user text
  ) on commit drop`

/**
 * $1 the day, $2 the number of its first call, $3 how many, $4 the seed, $5 now, $6 whether a provider fails at 14:00.
 * Steps are materialized, or the planner would draw the same lot again wherever it is mentioned. A call's tokens scatter around the key's median like real ones do, by a factor (log-normal).
 */
export const callsSql = `
  insert into seed_calls
  with numbered as materialized (
    select call, pg_temp.chance(call, 'key' || $4) as key_share, pg_temp.chance(call, 'target' || $4) as target_share
    from generate_series($2::bigint, $2::bigint + $3::bigint - 1) call
  ), drawn as materialized (
    select call, target_share, seed_keys.*, $1::timestamptz + date_trunc('milliseconds',
        (width_bucket(pg_temp.chance(call, 'hour' || $4), seed_keys.hours) + pg_temp.chance(call, 'second' || $4))
        * interval '1 hour') as reserved_at
    from numbered
    join seed_keys on key_share >= seed_keys.from_share and key_share < seed_keys.upto_share
  ), routed as (
    select drawn.call, drawn.reserved_at, drawn.key_id, drawn.organization_id, drawn.team_id, drawn.tags,
      drawn.operation, drawn.input_median, drawn.output_median, seed_targets.*, md5($4 || ':' || call) as digits,
      pg_temp.chance(call, 'outcome' || $4) as fate,
      case when $6::boolean and seed_targets.provider = (select min(provider) from seed_targets)
        and reserved_at >= $1::timestamptz + interval '14 hours' and reserved_at < $1::timestamptz + interval '15 hours'
        then 0.5 else 0.02 end as failing,
      exp(1.4 * (pg_temp.chance(call, 'a' || $4) + pg_temp.chance(call, 'b' || $4) + pg_temp.chance(call, 'c' || $4)
        - 1.5)) as input_factor,
      exp(1.6 * (pg_temp.chance(call, 'd' || $4) + pg_temp.chance(call, 'e' || $4) + pg_temp.chance(call, 'f' || $4)
        - 1.5)) as output_factor
    from drawn
    join seed_targets on seed_targets.key_n = drawn.n
      and drawn.target_share >= seed_targets.from_share and drawn.target_share < seed_targets.upto_share
    where drawn.reserved_at < $5::timestamptz - interval '10 minutes'
  ), ended as materialized (
    select routed.*, case when fate < failing * 0.5 then 'failed' when fate < failing * 0.8 then 'limited'
      when fate < failing then 'timeout' when fate < failing + 0.012 then 'left' else 'answered' end as outcome
    from routed
  ), counted as materialized (
    select ended.*,
      case when outcome in ('failed', 'limited') then 0
        else least(90000, greatest(8, input_median * input_factor))::bigint end as prompt,
      case when outcome in ('failed', 'limited', 'timeout') or output_median = 0 then 0
        else greatest(1, output_median * output_factor * case outcome when 'left' then 0.3 else 1 end)::bigint
        end as output
    from ended
  ), split as materialized (
    select counted.*,
      case when caches and outcome = 'answered' and pg_temp.chance(call, 'cache' || $4) < 0.35
        then floor(prompt * 0.6)::bigint else 0 end as cached,
      case when reasons and outcome = 'answered' then floor(output * 0.45)::bigint else 0 end as reasoning
    from counted
  )
  select
    (lpad(to_hex((extract(epoch from reserved_at) * 1000)::bigint), 12, '0') || '7' || substr(digits, 1, 3)
      || '8' || substr(digits, 4, 15))::uuid,
    reserved_at, key_id, organization_id, team_id, tags, operation,
    case when pg_temp.chance(call, 'door' || $4) < 0.15 and operation = 'chat' then 'grpc' else 'rest' end,
    requested_model, alias, provider, model,
    operation = 'chat' and pg_temp.chance(call, 'stream' || $4) < 0.7,
    outcome, failed_provider, failed_model, price_version, prompt, cached, output, reasoning,
    case when outcome in ('failed', 'limited') then 0 else
      ceil(((prompt - cached) * input_rate + cached * cache_rate + (output - reasoning) * output_rate
        + reasoning * reasoning_rate + request_rate) / 1000000) end,
    case when output > 0 then round(first_output_ms * input_factor ^ 0.3) end,
    round(case outcome when 'failed' then 180 when 'limited' then 60 when 'timeout' then 60000
      else first_output_ms * input_factor ^ 0.3 + output * ms_per_token end),
    case when pg_temp.chance(call, 'user' || $4) < 0.4
      then 'user-' || (pg_temp.chance(call, 'who' || $4) * 400)::int end
  from split`

/** What each call adds to the rollups; see `rollupCtes`. */
const countedSql = `
  select reserved_at, organization_id, team_id, key_id, provider, model, alias, tags, 1 as requests,
    (outcome not in ('answered', 'left'))::integer as failed_requests,
    (outcome = 'left')::integer as disconnected_requests,
    (outcome in ('left', 'timeout'))::integer as estimated_requests, 0 as unpriced_requests,
    prompt as input_tokens, cached as cache_read_tokens, 0 as cache_write_tokens, output as output_tokens,
    reasoning as reasoning_tokens, cost_nano, cost_nano as charged_nano
  from seed_calls`

const unitsSql = `jsonb_strip_nulls(jsonb_build_object('input', nullif(prompt - cached, 0),
  'cache_read', nullif(cached, 0), 'output', nullif(output - reasoning, 0), 'reasoning', nullif(reasoning, 0),
  'request', case when prompt > 0 then 1 end))`

const httpStatusSql = `case outcome when 'failed' then 503 when 'limited' then 429 when 'timeout' then null else 200 end`

const errorCodeSql = `case outcome when 'failed' then 'provider_error' when 'limited' then 'provider_rate_limited'
  when 'timeout' then 'provider_timeout' when 'left' then 'client_closed_request' end`

/** Moves the day's calls to where calls belong, as settling them would have. */
export const insertCallsSql = `
  with records as (
    insert into usage_records (request_id, reserved_at, ended_at, organization_id, team_id, key_id, operation, door,
      requested_model, alias, provider, model, stream, state, finish, usage_source, http_status, error_code,
      input_tokens, cache_read_tokens, output_tokens, reasoning_tokens, units, price_version, reserved_nano,
      provider_cost_nano, charged_nano, budget_period_ids, attempts, first_output_ms, total_ms, tags, end_user, owner_replica, created_at)
    select request_id, reserved_at, reserved_at + total_ms * interval '1 millisecond', organization_id, team_id, key_id,
      operation, door, requested_model, alias, provider, model, stream,
      case outcome when 'failed' then 'released' when 'limited' then 'released' when 'timeout' then 'estimated'
        else 'settled' end,
      case outcome when 'failed' then 'provider_error' when 'limited' then 'provider_error' when 'timeout' then 'timeout'
        when 'left' then 'client_disconnected'
        else case when get_byte(uuid_send(request_id), 15) < 13 then 'length'
          when get_byte(uuid_send(request_id), 15) < 30 then 'tool_calls' else 'stop' end end,
      case outcome when 'answered' then 'provider' when 'left' then 'counted' when 'timeout' then 'estimated'
        else 'none' end,
      ${httpStatusSql}, ${errorCodeSql}, prompt, cached, output, reasoning, ${unitsSql}, price_version, cost_nano * 2,
      cost_nano, cost_nano,
      array(
        select seed_periods.id from seed_periods
        where seed_periods.scope_id in (organization_id, team_id, key_id) and reserved_at >= seed_periods.starts
      ),
      case when failed_provider is null then 1 else 2 end, first_output_ms, total_ms, tags,
      end_user, 'seed', reserved_at + total_ms * interval '1 millisecond'
    from seed_calls
    returning 1
  ), attempts as (
    insert into usage_attempts (request_id, reserved_at, attempt_no, provider, model, outcome, http_status, error_code,
      billing, units, price_version, cost_nano, total_ms, created_at)
    select request_id, reserved_at, 1, failed_provider, failed_model, 'status', 503, 'provider_error', 'not_billed',
      '{}'::jsonb, null, 0, 150, reserved_at
    from seed_calls where failed_provider is not null
    union all
    select request_id, reserved_at, case when failed_provider is null then 1 else 2 end, provider, model,
      case outcome when 'failed' then 'status' when 'limited' then 'status' when 'left' then 'cancelled' else outcome end,
      ${httpStatusSql}, ${errorCodeSql},
      case outcome when 'answered' then 'billed' when 'left' then 'estimated' when 'timeout' then 'estimated'
        else 'not_billed' end,
      ${unitsSql}, price_version, cost_nano, total_ms, reserved_at
    from seed_calls
    returning 1
  ), charges as (
    insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, organization_id, team_id, key_id,
      created_at)
    select request_id, request_id, reserved_at, 'charge', cost_nano, organization_id, team_id, key_id, reserved_at
    from seed_calls where cost_nano > 0
    returning amount_nano
  ), budget_charges as (
    insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, budget_period_id, organization_id, team_id,
      key_id, created_at)
    select gen_random_uuid(), request_id, reserved_at, 'charge', cost_nano, seed_periods.id, organization_id, team_id, key_id,
      reserved_at
    from seed_calls
    join seed_periods on seed_periods.scope_id in (organization_id, team_id, key_id) and reserved_at >= seed_periods.starts
    where cost_nano > 0
  ), counted as (${countedSql}
  ), ${rollupCtes('counted')}
  select (select count(*) from records) as calls, (select count(*) from attempts) as attempts,
    count(*) as ledger_entries, coalesce(sum(amount_nano), 0) as cost
  from charges`
