import { Migration } from '@mikro-orm/migrations'

/**
 * What every call used and cost. The three large tables are partitioned by the UTC day on which the call was
 * reserved; the partition job (src/core/db/partitions.ts) makes days ahead and drops what retention has passed.
 * A row of any other day goes to the default partition: usage is never refused for want of a partition.
 * A uuidv7 request id belongs to exactly one `reserved_at`, so (reserved_at, request_id) is unique by request id.
 */
export class Usage extends Migration {
  override up(): void {
    this.addSql(`
      create table usage_records (
        request_id uuid not null,
        reserved_at timestamptz not null,
        ended_at timestamptz,
        organization_id uuid not null,
        team_id uuid,
        key_id uuid not null,
        operation text not null check (operation in ('chat', 'embeddings')),
        door text not null check (door in ('rest', 'grpc')),
        requested_model text not null,
        alias text,
        provider text,
        model text,
        stream boolean not null default false,
        state text not null check (state in ('reserved', 'settled', 'released', 'estimated')),
        finish text,
        usage_source text not null default 'none' check (usage_source in ('provider', 'counted', 'estimated', 'none')),
        http_status integer,
        error_code text,
        input_tokens bigint not null default 0,
        cache_read_tokens bigint not null default 0,
        cache_write_tokens bigint not null default 0,
        output_tokens bigint not null default 0,
        reasoning_tokens bigint not null default 0,
        units jsonb not null default '{}',
        implausible_usage jsonb,
        price_version uuid,
        unpriced boolean not null default false,
        reserved_nano bigint not null default 0,
        provider_cost_nano bigint not null default 0,
        charged_nano bigint not null default 0,
        overrun_nano bigint not null default 0,
        budget_period_ids uuid[] not null default '{}',
        attempts integer not null default 0,
        first_output_ms integer,
        total_ms integer,
        tags jsonb not null default '{}',
        end_user text,
        client_request_id text,
        provider_response_id text,
        owner_replica text not null,
        checkpoint_output_tokens bigint not null default 0,
        created_at timestamptz not null default now(),
        primary key (reserved_at, request_id)
      ) partition by range (reserved_at);
      create index usage_records_request on usage_records (request_id);
      create index usage_records_key on usage_records (key_id, reserved_at desc, request_id desc);
      create index usage_records_organization on usage_records (organization_id, reserved_at desc, request_id desc);
      create index usage_records_tags on usage_records using gin (tags jsonb_path_ops);
      create index usage_records_open on usage_records (owner_replica) where state = 'reserved';
      create index usage_records_client_request on usage_records (client_request_id)
        where client_request_id is not null;
      create table usage_records_default partition of usage_records default;

      create table usage_attempts (
        request_id uuid not null,
        reserved_at timestamptz not null,
        attempt_no integer not null,
        provider text not null,
        model text not null,
        credential_id uuid,
        outcome text not null,
        http_status integer,
        error_code text,
        billing text not null check (billing in ('billed', 'not_billed', 'estimated', 'unknown')),
        units jsonb not null default '{}',
        service_tier text not null default 'default' check (service_tier in ('default', 'flex', 'priority', 'batch')),
        price_version uuid,
        cost_nano bigint not null default 0,
        total_ms integer,
        created_at timestamptz not null default now(),
        primary key (reserved_at, request_id, attempt_no)
      ) partition by range (reserved_at);
      create table usage_attempts_default partition of usage_attempts default;

      -- Append only: a charge at settlement, adjustments after it. Reports of money sum these.
      create table ledger_entries (
        id uuid not null,
        request_id uuid not null,
        reserved_at timestamptz not null,
        kind text not null check (kind in ('charge', 'adjust')),
        seq integer not null default 0,
        amount_nano bigint not null,
        budget_period_id uuid,
        organization_id uuid not null,
        team_id uuid,
        key_id uuid not null,
        created_at timestamptz not null default now(),
        primary key (reserved_at, id),
        unique nulls not distinct (reserved_at, request_id, kind, seq, budget_period_id)
      ) partition by range (reserved_at);
      create index ledger_entries_period on ledger_entries (budget_period_id);
      create index ledger_entries_key on ledger_entries (key_id, reserved_at desc);
      create index ledger_entries_organization on ledger_entries (organization_id, reserved_at desc);
      create table ledger_entries_default partition of ledger_entries default;

      create function refuse_change() returns trigger language plpgsql as $$
      begin
        raise exception '% is append only', tg_table_name using errcode = 'restrict_violation';
      end $$;
      create trigger ledger_entries_append_only before update or delete on ledger_entries
        for each row execute function refuse_change();

      -- What a bucket is about may hold nulls, hence the key of its own.
      create table usage_hourly (
        id bigint generated always as identity primary key,
        bucket timestamptz not null,
        organization_id uuid not null,
        team_id uuid,
        key_id uuid not null,
        provider text not null,
        model text not null,
        alias text,
        requests bigint not null default 0,
        failed_requests bigint not null default 0,
        input_tokens bigint not null default 0,
        cache_read_tokens bigint not null default 0,
        cache_write_tokens bigint not null default 0,
        output_tokens bigint not null default 0,
        reasoning_tokens bigint not null default 0,
        cost_nano bigint not null default 0,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique nulls not distinct (bucket, organization_id, team_id, key_id, provider, model, alias)
      );
      create index usage_hourly_organization on usage_hourly (organization_id, bucket);
      create index usage_hourly_key on usage_hourly (key_id, bucket);
      create table usage_daily (like usage_hourly including all);
      create table monthly_usage_summary (like usage_hourly including all);
    `)
    this.addSql(`
      do $$
      declare t text;
      begin
        for t in
          select c.table_name from information_schema.columns c
          join information_schema.tables using (table_schema, table_name)
          where c.table_schema = current_schema() and c.column_name = 'updated_at' and table_type = 'BASE TABLE'
        loop
          execute format('create trigger set_updated_at before update on %I for each row execute function set_updated_at()', t);
        end loop;
      end $$;
    `)
  }

  override down(): void {
    this.addSql(`
      do $$
      declare t text;
      begin
        for t in select event_object_table from information_schema.triggers
          where trigger_schema = current_schema() and trigger_name = 'set_updated_at'
        loop
          execute format('drop trigger if exists set_updated_at on %I', t);
        end loop;
      end $$;
      drop table monthly_usage_summary, usage_daily, usage_hourly, ledger_entries, usage_attempts, usage_records;
      drop function refuse_change;
    `)
  }
}
