import { Migration } from '@mikro-orm/migrations'

/** What signing in to the admin plane needs beside accounts and sessions: failures to count, and the first way in. */
export class AdminSignIn extends Migration {
  override up(): void {
    this.addSql(`
      -- An attempt is noted before it is judged and taken away when it succeeds, so that attempts at once count each other.
      create table sign_in_failures (
        id uuid primary key,
        account text not null,
        client_address text not null,
        created_at timestamptz not null default now()
      );
      create index sign_in_failures_account on sign_in_failures (account, created_at);
      create index sign_in_failures_address on sign_in_failures (client_address, created_at);
      create index sign_in_failures_created on sign_in_failures (created_at);

      -- While there is no administrator: one row, replaced by each start.
      create table setup_tokens (
        id smallint primary key default 1 check (id = 1),
        token_hash bytea not null check (octet_length(token_hash) = 32),
        expires_at timestamptz not null,
        created_at timestamptz not null default now()
      );
    `)
  }

  override down(): void {
    this.addSql('drop table setup_tokens, sign_in_failures;')
  }
}
