import { Migration } from '@mikro-orm/migrations'

/** Marks calls that were risked twice: an attempt that may have been billed was followed by another one. */
export class UncertainRetries extends Migration {
  override up(): void {
    this.addSql('alter table usage_records add column retry_uncertain boolean not null default false;')
  }

  override down(): void {
    this.addSql('alter table usage_records drop column retry_uncertain;')
  }
}
