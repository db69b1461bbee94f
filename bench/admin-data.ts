import pg from 'pg'

export interface AdminData {
  organizations: number
  keys: number
  calls: number
  days: number
}

/**
 * Fills a migrated, empty database: calls over so many days, each with an attempt and a ledger entry, rolled up by hour and
 * day as the writer does it.
 */
export async function fillAdminData(url: string, { organizations, keys, calls, days }: AdminData): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await fill(client, { organizations, keys, calls, days })
  } finally {
    await client.end()
  }
}

async function fill(client: pg.Client, { organizations, keys, calls, days }: AdminData): Promise<void> {
  const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10)
  for (let ago = days; ago > 1; ago--) {
    for (const table of ['usage_records', 'usage_attempts', 'ledger_entries']) {
      await client.query(
        `create table if not exists ${table}_${day(ago).replaceAll('-', '')} partition of ${table}
         for values from ('${day(ago)} 00:00:00+00') to ('${day(ago - 1)} 00:00:00+00')`,
      )
    }
  }
  await client.query(
    `insert into organizations (id, slug, name) select gen_random_uuid(), 'org-' || n, 'Organization ' || n
     from generate_series(1, $1::integer) n`,
    [organizations],
  )
  await client.query(
    `insert into teams (id, organization_id, slug, name)
     select gen_random_uuid(), o.id, 'team-' || n, 'Team ' || n from organizations o cross join generate_series(1, 4) n`,
  )
  await client.query(
    `insert into api_keys (id, organization_id, team_id, name, secret_digest, pepper_id, display_prefix, last4, managed_by,
       created_at)
     select gen_random_uuid(), t.organization_id, t.id, 'key ' || n, sha256(('bench' || n)::bytea), 'bench', 'llmgw_x', 'last',
       'admin', now() - n * interval '1 minute'
     from generate_series(1, $1::integer) n
     join (select t.*, row_number() over (order by t.id) as at, count(*) over () as total from teams t) t
       on t.at = 1 + n % t.total`,
    [keys],
  )
  await client.query(
    `insert into key_metadata (api_key_id, tags)
     select k.id, jsonb_build_object('feature', 'f' || abs(hashtext(k.id::text)) % 20) from api_keys k`,
  )
  await client.query(
    `create temporary table key_at as
     select (row_number() over (order by k.id) - 1)::integer as at, k.id as key_id, k.organization_id, k.team_id from api_keys k`,
  )
  await client.query('alter table key_at add primary key (at)')
  await client.query('analyze key_at')
  await client.query(
    `create temporary table made as
     select gen_random_uuid() as request_id, n,
       date_trunc('second', now()) - (n::float8 / $1 * $2) * interval '1 day' as reserved_at, k.key_id, k.organization_id,
       k.team_id
     from generate_series(1, $1::integer) n join key_at k on k.at = (n::bigint * 7919 % $3)::integer`,
    [calls, days - 1, keys],
  )
  await client.query('analyze made')
  await client.query(
    `insert into usage_records (request_id, reserved_at, ended_at, organization_id, team_id, key_id, operation, door,
       requested_model, alias, provider, model, state, finish, usage_source, error_code, input_tokens, output_tokens,
       provider_cost_nano, charged_nano, attempts, total_ms, tags, owner_replica)
     select m.request_id, m.reserved_at, m.reserved_at + interval '1 second', m.organization_id, m.team_id, m.key_id, 'chat',
       'rest', 'smart', 'smart', 'provider-' || n % 4, 'model-' || n % 10, 'settled', 'stop', 'provider',
       case when n % 50 = 0 then 'provider_error' end, 100 + n % 900, 10 + n % 90, 1000 * (n % 500), 1000 * (n % 500), 1,
       200 + n % 2000, jsonb_build_object('feature', 'f' || abs(hashtext(m.key_id::text)) % 20), 'bench'
     from made m`,
  )
  await client.query(
    `insert into usage_attempts (request_id, reserved_at, attempt_no, provider, model, outcome, billing, cost_nano)
     select m.request_id, m.reserved_at, 1, 'provider-' || n % 4, 'model-' || n % 10, 'ok', 'billed', 1000 * (n % 500) from made m`,
  )
  await client.query(
    `insert into ledger_entries (id, request_id, reserved_at, kind, amount_nano, organization_id, team_id, key_id)
     select m.request_id, m.request_id, m.reserved_at, 'charge', 1000 * (n % 500), m.organization_id, m.team_id, m.key_id
     from made m where n % 500 > 0`,
  )
  for (const [table, interval] of [
    ['usage_hourly', 'hour'],
    ['usage_daily', 'day'],
    ['monthly_usage_summary', 'month'],
  ]) {
    await client.query(
      `insert into ${table} (bucket, organization_id, team_id, key_id, provider, model, alias, requests, failed_requests,
         input_tokens, output_tokens, cost_nano)
       select date_trunc('${interval}', u.reserved_at, 'UTC'), u.organization_id, u.team_id, u.key_id, u.provider, u.model,
         u.alias, count(*), count(u.error_code), sum(u.input_tokens), sum(u.output_tokens), sum(u.provider_cost_nano)
       from usage_records u group by 1, 2, 3, 4, 5, 6, 7`,
    )
  }
  await client.query(
    `insert into usage_model_daily (bucket, organization_id, team_id, provider, model, alias, requests, failed_requests,
       input_tokens, output_tokens, cost_nano)
     select d.bucket, d.organization_id, d.team_id, d.provider, d.model, d.alias, sum(d.requests), sum(d.failed_requests),
       sum(d.input_tokens), sum(d.output_tokens), sum(d.cost_nano)
     from usage_daily d group by 1, 2, 3, 4, 5, 6`,
  )
  await client.query(
    `insert into audit_events (id, actor_kind, action, subject_kind, subject_id, organization_id, created_at)
     select gen_random_uuid(), 'system', 'key.create', 'api_key', k.id::text, k.organization_id, k.created_at from api_keys k`,
  )
  await client.query(
    `insert into budgets (id, api_key_id, amount_nano, period, mode, managed_by)
     select gen_random_uuid(), k.id, 1000000000000, 'month', 'soft', 'admin' from api_keys k limit 1000`,
  )
  await client.query(
    `insert into rate_limits (id, api_key_id, max_concurrent) select gen_random_uuid(), k.id, 5 from api_keys k limit 1000`,
  )
  await client.query('vacuum (analyze)')
}
