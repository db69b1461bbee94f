import { Migration } from '@mikro-orm/migrations'

/**
 * Who serves from this database: a row for each start of a process, kept alive by its heartbeats. Times are the
 * database's, so that no replica's own clock decides who is gone.
 */
export class Replicas extends Migration {
  override up(): void {
    this.addSql(`
      create table replicas (
        id text primary key,
        host text not null,
        pid integer not null check (pid > 0),
        version text not null,
        label text not null,
        started_at timestamptz not null default now(),
        heartbeat_at timestamptz not null default now(),
        stopped_at timestamptz,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create trigger set_updated_at before update on replicas for each row execute function set_updated_at();
    `)
  }

  override down(): void {
    this.addSql('drop table replicas;')
  }
}
