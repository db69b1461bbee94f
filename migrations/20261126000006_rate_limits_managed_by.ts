import { Migration } from '@mikro-orm/migrations'

/**
 * Who manages a rate limit, as budgets have it already: there is one for each owner, so that the config file and
 * administrators cannot both have one, and neither may write over the other's. And who has raised a budget for a while:
 * what an operator has raised stays raised whatever else the file changes.
 */
export class RateLimitsManagedBy extends Migration {
  override up(): void {
    this.addSql(`
      -- The default is for a release before this one, which may still be serving.
      alter table rate_limits add column managed_by text not null default 'admin'
        check (managed_by in ('file', 'admin', 'operator'));
      update rate_limits r set managed_by = 'file' from api_keys k where k.id = r.api_key_id and k.managed_by = 'file';

      alter table budgets add column temporary_increase_by text
        check (temporary_increase_by in ('file', 'admin', 'operator'));
    `)
  }

  override down(): void {
    this.addSql(`
      alter table budgets drop column temporary_increase_by;
      alter table rate_limits drop column managed_by;
    `)
  }
}
