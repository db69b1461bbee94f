import { Migration } from '@mikro-orm/migrations'

/**
 * Sums by day without keys: what a quarter came to, by organization or model, has to be read from a tenth of the rows that
 * there are with them.
 */
export class UsageByModel extends Migration {
  override up(): void {
    const measures = [
      ...['requests', 'failed_requests', 'disconnected_requests', 'estimated_requests', 'unpriced_requests'],
      ...['input_tokens', 'cache_read_tokens', 'cache_write_tokens', 'output_tokens', 'reasoning_tokens'],
      ...['cost_nano', 'charged_nano'],
    ]
    this.addSql(`
      create table usage_model_daily (
        id bigint generated always as identity primary key,
        bucket timestamptz not null,
        organization_id uuid not null,
        team_id uuid,
        provider text not null,
        model text not null,
        alias text,
        ${measures.map((name) => `${name} bigint not null default 0,`).join('\n        ')}
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique nulls not distinct (bucket, organization_id, team_id, provider, model, alias)
      ) with (fillfactor = 70);
      create index usage_model_daily_organization on usage_model_daily (organization_id, bucket);
      create trigger set_updated_at before update on usage_model_daily
        for each row execute function set_updated_at();

      insert into usage_model_daily (bucket, organization_id, team_id, provider, model, alias, ${measures.join(', ')})
      select d.bucket, d.organization_id, d.team_id, d.provider, d.model, d.alias,
        ${measures.map((name) => `sum(d.${name})`).join(', ')}
      from usage_daily d group by 1, 2, 3, 4, 5, 6;
    `)
  }

  override down(): void {
    this.addSql('drop table usage_model_daily;')
  }
}
