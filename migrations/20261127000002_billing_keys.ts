import { Migration } from '@mikro-orm/migrations'

/**
 * An alias may have a key that pays for its calls, whoever makes them. Its calls are that key's, in its organization and
 * team and with its tags, wherever usage is counted; `caller_key_id` says whose key the client presented.
 */
export class BillingKeys extends Migration {
  override up(): void {
    this.addSql(`
      alter table model_aliases add column billing_key_id uuid references api_keys (id);
      create index model_aliases_billing_key on model_aliases (billing_key_id);

      alter table usage_records add column caller_key_id uuid;
      create index usage_records_caller_key on usage_records (caller_key_id, reserved_at desc, request_id desc)
        where caller_key_id is not null;
    `)
  }

  override down(): void {
    this.addSql(`
      drop index usage_records_caller_key;
      alter table usage_records drop column caller_key_id;
      alter table model_aliases drop column billing_key_id;
    `)
  }
}
