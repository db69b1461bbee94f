import { Migration } from '@mikro-orm/migrations'

/** Organizations and teams own keys and budgets; admin users and service tokens act on them through role bindings. */
export class TenantsAndAdmins extends Migration {
  override up(): void {
    this.addSql(`
      create extension if not exists pg_trgm;

      create function set_updated_at() returns trigger language plpgsql as $$
      begin
        new.updated_at := clock_timestamp();
        return new;
      end $$;

      create table organizations (
        id uuid primary key,
        slug text not null unique,
        name text not null,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index organizations_name_trgm on organizations using gin (name gin_trgm_ops);

      create table teams (
        id uuid primary key,
        organization_id uuid not null references organizations (id),
        slug text not null,
        name text not null,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique (organization_id, slug)
      );
      create index teams_name_trgm on teams using gin (name gin_trgm_ops);

      create table admin_users (
        id uuid primary key,
        email text not null check (email = lower(email)),
        display_name text not null,
        password_hash text,
        disabled_at timestamptz,
        last_signed_in_at timestamptz,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique (email)
      );
      create index admin_users_email_trgm on admin_users using gin (email gin_trgm_ops);
      create index admin_users_display_name_trgm on admin_users using gin (display_name gin_trgm_ops);

      create table admin_tokens (
        id uuid primary key,
        service_name text not null unique,
        token_hash text not null,
        expires_at timestamptz,
        revoked_at timestamptz,
        last_used_at timestamptz,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );

      create table role_bindings (
        id uuid primary key,
        admin_user_id uuid references admin_users (id) on delete cascade,
        admin_token_id uuid references admin_tokens (id) on delete cascade,
        role text not null check (role in ('viewer', 'editor', 'admin')),
        organization_id uuid references organizations (id),
        team_id uuid references teams (id),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        check (num_nonnulls(admin_user_id, admin_token_id) = 1),
        check (num_nonnulls(organization_id, team_id) <= 1),
        unique nulls not distinct (admin_user_id, admin_token_id, role, organization_id, team_id)
      );
      create index role_bindings_admin_token on role_bindings (admin_token_id);
      create index role_bindings_organization on role_bindings (organization_id);
      create index role_bindings_team on role_bindings (team_id);

      create table sessions (
        id uuid primary key,
        family_id uuid not null,
        parent_id uuid references sessions (id) on delete cascade,
        admin_user_id uuid references admin_users (id) on delete cascade,
        admin_token_id uuid references admin_tokens (id) on delete cascade,
        refresh_token_hash bytea not null unique,
        client_address text,
        user_agent text,
        expires_at timestamptz not null,
        replaced_at timestamptz,
        revoked_at timestamptz,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        check (num_nonnulls(admin_user_id, admin_token_id) = 1)
      );
      create index sessions_family on sessions (family_id);
      create index sessions_parent on sessions (parent_id);
      create index sessions_admin_user on sessions (admin_user_id);
      create index sessions_admin_token on sessions (admin_token_id);

      create table audit_events (
        id uuid primary key,
        actor_kind text not null check (actor_kind in ('admin_user', 'admin_token', 'operator', 'file', 'system')),
        actor_id text,
        action text not null,
        subject_kind text not null,
        subject_id text not null,
        organization_id uuid references organizations (id),
        request_id uuid,
        before jsonb,
        after jsonb,
        created_at timestamptz not null default now()
      );
      create index audit_events_created on audit_events (created_at desc, id desc);
      create index audit_events_subject on audit_events (subject_kind, subject_id, created_at desc);
      create index audit_events_organization on audit_events (organization_id, created_at desc);
    `)
  }

  override down(): void {
    this.addSql(`
      drop table audit_events, sessions, role_bindings, admin_tokens, admin_users, teams, organizations;
      drop function set_updated_at;
    `)
  }
}
