import { Migration } from '@mikro-orm/migrations'

/**
 * Which `Idempotency-Key` was used for what, by virtual key. A row is the claim of the one request that may be
 * dispatched under it; as long as that runs, its replica renews `heartbeat_at`. The answer may hold what people said, so
 * it is there only where the operator asked for it, and goes with the row.
 */
export class IdempotencyKeys extends Migration {
  override up(): void {
    this.addSql(`
      create table idempotency_keys (
        api_key_id uuid not null references api_keys (id) on delete cascade,
        idempotency_key text not null check (idempotency_key ~ '^[\\x21-\\x7e]{1,255}$'),
        fingerprint bytea not null check (octet_length(fingerprint) = 32),
        request_id uuid not null,
        state text not null default 'running' check (state in ('running', 'ended')),
        owner_replica text not null,
        heartbeat_at timestamptz not null default now(),
        status integer check (status between 100 and 599),
        content_type text,
        body bytea check (octet_length(body) <= 1048576),
        expires_at timestamptz not null,
        created_at timestamptz not null default now(),
        primary key (api_key_id, idempotency_key),
        check (num_nonnulls(status, content_type, body) in (0, 3)),
        check (body is null or state = 'ended')
      );
      create index idempotency_keys_expires on idempotency_keys (expires_at);
    `)
  }

  override down(): void {
    this.addSql('drop table idempotency_keys;')
  }
}
