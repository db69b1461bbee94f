import { Migration } from '@mikro-orm/migrations'

/**
 * The stored routing that a replica could last build a snapshot of, so that one that starts while an administrator's
 * change cannot be built serves what the others still serve. One row.
 */
export class LastGoodRouting extends Migration {
  override up(): void {
    this.addSql(`
      create table last_good_routing (
        id smallint primary key default 1 check (id = 1),
        version bigint not null,
        providers jsonb not null,
        aliases jsonb not null,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create trigger set_updated_at before update on last_good_routing for each row execute function set_updated_at();
    `)
  }

  override down(): void {
    this.addSql('drop table last_good_routing;')
  }
}
