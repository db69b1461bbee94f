import { Migration } from '@mikro-orm/migrations'

/** Virtual keys, and the rate limits and budgets that keys, teams, organizations and tags carry. */
export class KeysAndBudgets extends Migration {
  override up(): void {
    this.addSql(`
      create table api_keys (
        id uuid primary key,
        organization_id uuid not null references organizations (id),
        team_id uuid references teams (id),
        name text not null,
        secret_digest bytea not null unique check (octet_length(secret_digest) = 32),
        pepper_id text not null,
        display_prefix text not null,
        last4 text not null,
        enabled boolean not null default true,
        allowed_models text[],
        unpriced_policy text check (unpriced_policy in ('block', 'estimate', 'allow')),
        expires_at timestamptz,
        revoked_at timestamptz,
        managed_by text not null check (managed_by in ('system', 'file', 'admin', 'operator')),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index api_keys_organization on api_keys (organization_id, created_at desc, id desc);
      create index api_keys_team on api_keys (team_id);
      create index api_keys_pepper on api_keys (pepper_id);
      create index api_keys_updated on api_keys (updated_at);
      create index api_keys_name_trgm on api_keys using gin (name gin_trgm_ops);
      create unique index api_keys_file_name on api_keys (name) where managed_by = 'file' and revoked_at is null;

      create table key_metadata (
        api_key_id uuid primary key references api_keys (id) on delete cascade,
        description text,
        tags jsonb not null default '{}' check (jsonb_typeof(tags) = 'object'),
        metadata jsonb not null default '{}',
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index key_metadata_tags on key_metadata using gin (tags jsonb_path_ops);
      create index key_metadata_metadata on key_metadata using gin (metadata jsonb_path_ops);

      create table rate_limits (
        id uuid primary key,
        api_key_id uuid references api_keys (id) on delete cascade,
        team_id uuid references teams (id) on delete cascade,
        organization_id uuid references organizations (id) on delete cascade,
        requests_per_minute bigint check (requests_per_minute > 0),
        tokens_per_minute bigint check (tokens_per_minute > 0),
        max_concurrent integer check (max_concurrent > 0),
        algorithm text not null default 'sliding_window' check (algorithm in ('sliding_window', 'token_bucket')),
        strict boolean not null default false,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        check (num_nonnulls(api_key_id, team_id, organization_id) = 1),
        unique nulls not distinct (api_key_id, team_id, organization_id)
      );
      create index rate_limits_team on rate_limits (team_id);
      create index rate_limits_organization on rate_limits (organization_id);

      create table budgets (
        id uuid primary key,
        api_key_id uuid references api_keys (id) on delete cascade,
        team_id uuid references teams (id) on delete cascade,
        organization_id uuid references organizations (id) on delete cascade,
        tag_key text,
        tag_value text,
        amount_nano bigint not null check (amount_nano >= 0),
        period text not null check (period in ('hour', 'day', 'week', 'month', 'quarter', 'total')),
        time_zone text not null default 'UTC',
        mode text not null check (mode in ('hard', 'soft')),
        alert_thresholds_percent integer[] not null default '{50,80,100}',
        temporary_increase_nano bigint not null default 0 check (temporary_increase_nano >= 0),
        temporary_increase_until timestamptz,
        managed_by text not null check (managed_by in ('file', 'admin', 'operator')),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        check (num_nonnulls(api_key_id, team_id) <= 1),
        check ((tag_key is null) = (tag_value is null)),
        check (num_nonnulls(api_key_id, team_id, organization_id, tag_key) >= 1)
      );
      create index budgets_api_key on budgets (api_key_id);
      create index budgets_team on budgets (team_id);
      create index budgets_organization on budgets (organization_id);
      create index budgets_tag on budgets (tag_key, tag_value);

      create table budget_periods (
        id uuid primary key,
        budget_id uuid not null references budgets (id) on delete cascade,
        period_start timestamptz not null,
        period_end timestamptz,
        limit_nano bigint not null check (limit_nano >= 0),
        mode text not null check (mode in ('hard', 'soft')),
        committed_nano bigint not null default 0 check (committed_nano >= 0),
        leased_nano bigint not null default 0 check (leased_nano >= 0),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique (budget_id, period_start)
      );

      create table budget_leases (
        id uuid primary key,
        budget_period_id uuid not null references budget_periods (id) on delete cascade,
        owner_replica text not null,
        amount_nano bigint not null check (amount_nano >= 0),
        heartbeat_at timestamptz not null default now(),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index budget_leases_period on budget_leases (budget_period_id);
      create index budget_leases_heartbeat on budget_leases (heartbeat_at);

      create table webhooks (
        id uuid primary key,
        organization_id uuid references organizations (id) on delete cascade,
        url text not null,
        events text[] not null,
        sealed_secret jsonb not null,
        enabled boolean not null default true,
        disabled_reason text,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index webhooks_organization on webhooks (organization_id);

      create table webhook_deliveries (
        id uuid primary key,
        webhook_id uuid not null references webhooks (id) on delete cascade,
        event text not null,
        payload jsonb not null,
        attempts integer not null default 0,
        next_attempt_at timestamptz,
        delivered_at timestamptz,
        last_status integer,
        last_failure text,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index webhook_deliveries_webhook on webhook_deliveries (webhook_id, created_at desc);
      create index webhook_deliveries_due on webhook_deliveries (next_attempt_at) where delivered_at is null;

      -- A fingerprint of each root secret, so that a start with another one is refused instead of turning keys away.
      create table secret_canaries (
        name text primary key,
        fingerprint text not null,
        created_at timestamptz not null default now()
      );
    `)
  }

  override down(): void {
    this.addSql(`
      drop table secret_canaries, webhook_deliveries, webhooks, budget_leases, budget_periods, budgets, rate_limits,
        key_metadata, api_keys;
    `)
  }
}
