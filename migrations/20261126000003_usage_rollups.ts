import { Migration } from '@mikro-orm/migrations'

/**
 * Rollups that the settlement writer keeps: what those of the first release lacked, the same by tag, and up to where
 * retention has dropped the rows that they can be recomputed from.
 */
export class UsageRollups extends Migration {
  override up(): void {
    this.addSql(`
      do $$
      declare t text;
      begin
        foreach t in array array['usage_hourly', 'usage_daily', 'monthly_usage_summary'] loop
          execute format('alter table %I
            add column disconnected_requests bigint not null default 0,
            add column estimated_requests bigint not null default 0,
            add column unpriced_requests bigint not null default 0,
            add column charged_nano bigint not null default 0', t);
          execute format('update %I set charged_nano = cost_nano', t);
          -- The rows of the current hour change many times a second; with room in the page no index has to follow.
          execute format('alter table %I set (fillfactor = 70)', t);
        end loop;
      end $$;

      -- By tag, without key and alias: a key may carry 64 tags, and each would repeat all that is known of the key.
      create table usage_tag_hourly (
        id bigint generated always as identity primary key,
        bucket timestamptz not null,
        organization_id uuid not null,
        team_id uuid,
        tag_key text not null,
        tag_value text not null,
        provider text not null,
        model text not null,
        requests bigint not null default 0,
        failed_requests bigint not null default 0,
        disconnected_requests bigint not null default 0,
        estimated_requests bigint not null default 0,
        unpriced_requests bigint not null default 0,
        input_tokens bigint not null default 0,
        cache_read_tokens bigint not null default 0,
        cache_write_tokens bigint not null default 0,
        output_tokens bigint not null default 0,
        reasoning_tokens bigint not null default 0,
        cost_nano bigint not null default 0,
        charged_nano bigint not null default 0,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique nulls not distinct (bucket, organization_id, team_id, tag_key, tag_value, provider, model)
      ) with (fillfactor = 70);
      create index usage_tag_hourly_tag on usage_tag_hourly (organization_id, tag_key, tag_value, bucket);
      create table usage_tag_daily (like usage_tag_hourly including all) with (fillfactor = 70);
      create table monthly_tag_summary (like usage_tag_hourly including all) with (fillfactor = 70);

      create table usage_retention (
        table_name text primary key,
        dropped_before timestamptz not null,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      -- What an earlier release has dropped is not written anywhere, but it was never newer than the oldest day left.
      insert into usage_retention (table_name, dropped_before)
      select parent.relname, min(to_timestamp(right(child.relname, 8) || ' +00', 'YYYYMMDD TZH'))
      from pg_inherits
      join pg_class parent on parent.oid = pg_inherits.inhparent
      join pg_class child on child.oid = pg_inherits.inhrelid
      where parent.relnamespace = current_schema()::regnamespace
        and parent.relname in ('usage_records', 'usage_attempts', 'ledger_entries')
        and child.relname ~ '_[0-9]{8}$'
      group by parent.relname;

      create trigger set_updated_at before update on usage_tag_hourly
        for each row execute function set_updated_at();
      create trigger set_updated_at before update on usage_tag_daily
        for each row execute function set_updated_at();
      create trigger set_updated_at before update on monthly_tag_summary
        for each row execute function set_updated_at();
      create trigger set_updated_at before update on usage_retention
        for each row execute function set_updated_at();
    `)
  }

  override down(): void {
    this.addSql(`
      drop table usage_retention, monthly_tag_summary, usage_tag_daily, usage_tag_hourly;
      do $$
      declare t text;
      begin
        foreach t in array array['usage_hourly', 'usage_daily', 'monthly_usage_summary'] loop
          execute format('alter table %I reset (fillfactor)', t);
          execute format('alter table %I drop column disconnected_requests, drop column estimated_requests,
            drop column unpriced_requests, drop column charged_nano', t);
        end loop;
      end $$;
    `)
  }
}
