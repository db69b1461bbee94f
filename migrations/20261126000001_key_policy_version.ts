import { Migration } from '@mikro-orm/migrations'

/**
 * One number that every change of a rate limit or a budget raises, in the transaction that makes the change. Replicas
 * poll it: a limit may be about a team or an organization, and then no row of a key says that its rules have changed.
 */
export class KeyPolicyVersion extends Migration {
  override up(): void {
    this.addSql(`
      create table key_policy_version (
        only_row boolean primary key default true check (only_row),
        version bigint not null default 0,
        created_at timestamptz not null default now()
      );
      insert into key_policy_version default values;

      create function raise_key_policy_version() returns trigger language plpgsql as $$
      begin
        update key_policy_version set version = version + 1;
        return null;
      end $$;
      create trigger raise_key_policy_version after insert or update or delete or truncate on rate_limits
        for each statement execute function raise_key_policy_version();
      create trigger raise_key_policy_version after insert or update or delete or truncate on budgets
        for each statement execute function raise_key_policy_version();
    `)
  }

  override down(): void {
    this.addSql(`
      drop trigger raise_key_policy_version on budgets;
      drop trigger raise_key_policy_version on rate_limits;
      drop function raise_key_policy_version;
      drop table key_policy_version;
    `)
  }
}
