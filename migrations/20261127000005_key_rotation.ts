import { Migration } from '@mikro-orm/migrations'

/**
 * A key may be given another secret, and the one before it goes on for a while. A key that is revoked may take the calls
 * that are under way with it.
 */
export class KeyRotation extends Migration {
  override up(): void {
    this.addSql(`
      alter table api_keys
        add column previous_secret_digest bytea unique check (octet_length(previous_secret_digest) = 32),
        add column previous_valid_until timestamptz,
        add column ends_calls boolean not null default false,
        add check ((previous_secret_digest is null) = (previous_valid_until is null)),
        add check (not ends_calls or revoked_at is not null);
    `)
  }

  override down(): void {
    this.addSql(`
      alter table api_keys
        drop column previous_secret_digest, drop column previous_valid_until, drop column ends_calls;
    `)
  }
}
