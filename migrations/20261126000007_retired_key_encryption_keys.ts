import { Migration } from '@mikro-orm/migrations'

/**
 * Key-encryption keys that a rotation has ended. They are known by their ids, which are no secrets: what is sealed under
 * one of them is not opened any more, and nothing is sealed under it, whoever still has the key.
 */
export class RetiredKeyEncryptionKeys extends Migration {
  override up(): void {
    this.addSql(`
      create table retired_key_encryption_keys (
        id text primary key,
        created_at timestamptz not null default now()
      );
    `)
  }

  override down(): void {
    this.addSql('drop table retired_key_encryption_keys;')
  }
}
