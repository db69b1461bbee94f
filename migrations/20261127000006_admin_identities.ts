import { Migration } from '@mikro-orm/migrations'

/**
 * People may sign in at an identity provider, which then says what they may do; a change that is sent twice is made once;
 * and each start without an administrator has a link of its own.
 */
export class AdminIdentities extends Migration {
  override up(): void {
    this.addSql(`
      alter table admin_users add column oidc_issuer text, add column oidc_subject text,
        add check ((oidc_issuer is null) = (oidc_subject is null)),
        add unique (oidc_issuer, oidc_subject);

      -- Roles that follow from groups at the identity provider come and go with each sign-in there.
      alter table role_bindings add column source text not null default 'admin' check (source in ('admin', 'oidc'));
      alter table role_bindings
        drop constraint role_bindings_admin_user_id_admin_token_id_role_organizatio_key,
        add constraint role_bindings_unique
          unique nulls not distinct (admin_user_id, admin_token_id, role, organization_id, team_id, source);

      -- From the moment somebody is sent to the identity provider until they come back, minutes later at most.
      create table oidc_logins (
        state_hash bytea primary key check (octet_length(state_hash) = 32),
        browser_hash bytea not null check (octet_length(browser_hash) = 32),
        nonce text not null,
        code_verifier text not null,
        return_path text not null,
        expires_at timestamptz not null,
        created_at timestamptz not null default now()
      );
      create index oidc_logins_expires on oidc_logins (expires_at);

      alter table audit_events add column idempotency_key text;
      create unique index audit_events_idempotency on audit_events (actor_kind, actor_id, idempotency_key)
        where idempotency_key is not null;

      -- What was answered to a change, for whoever asks again: sealed, for a new key's secret may be in it.
      create table admin_answers (
        id uuid primary key,
        account_kind text not null check (account_kind in ('admin_user', 'admin_token')),
        account_id uuid not null,
        key text not null,
        fingerprint bytea not null check (octet_length(fingerprint) = 32),
        ciphertext bytea,
        nonce bytea,
        wrapped_data_key bytea,
        key_encryption_key_id text,
        created_at timestamptz not null default now(),
        unique (account_kind, account_id, key),
        check (num_nulls(ciphertext, nonce, wrapped_data_key, key_encryption_key_id) in (0, 4))
      );
      create index admin_answers_created on admin_answers (created_at);

      drop table setup_tokens;
      create table setup_tokens (
        token_hash bytea primary key check (octet_length(token_hash) = 32),
        expires_at timestamptz not null,
        created_at timestamptz not null default now()
      );
    `)
  }

  override down(): void {
    this.addSql(`
      drop table setup_tokens;
      create table setup_tokens (
        id smallint primary key default 1 check (id = 1),
        token_hash bytea not null check (octet_length(token_hash) = 32),
        expires_at timestamptz not null,
        created_at timestamptz not null default now()
      );
      drop table admin_answers;
      drop index audit_events_idempotency;
      alter table audit_events drop column idempotency_key;
      drop table oidc_logins;
      delete from role_bindings where source = 'oidc';
      alter table role_bindings
        drop constraint role_bindings_unique,
        add constraint role_bindings_admin_user_id_admin_token_id_role_organizatio_key
          unique nulls not distinct (admin_user_id, admin_token_id, role, organization_id, team_id);
      alter table role_bindings drop column source;
      alter table admin_users drop column oidc_issuer, drop column oidc_subject;
    `)
  }
}
