import { Migration } from '@mikro-orm/migrations'

/** Where calls go (providers, aliases) and what they cost (models, versioned prices, catalog syncs). */
export class RoutingAndCatalog extends Migration {
  override up(): void {
    this.addSql(`
      create table providers (
        id uuid primary key,
        name text not null unique,
        type text not null check (type in ('openai', 'azure-openai', 'openai-compatible', 'anthropic', 'bedrock',
          'vertex', 'gemini', 'demo')),
        base_url text,
        settings jsonb not null default '{}',
        passthrough_models boolean not null default false,
        enabled boolean not null default true,
        managed_by text not null check (managed_by in ('builtin', 'environment', 'file', 'admin')),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index providers_name_trgm on providers using gin (name gin_trgm_ops);

      -- Secrets sealed by the envelope of docs/architecture.md; providers declared in the file keep theirs in the file.
      create table provider_credentials (
        id uuid primary key,
        provider_id uuid not null references providers (id) on delete cascade,
        field text not null,
        origin text not null,
        ciphertext bytea not null,
        nonce bytea not null,
        wrapped_data_key bytea not null,
        key_encryption_key_id text not null,
        last4 text,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique (provider_id, field)
      );
      create index provider_credentials_kek on provider_credentials (key_encryption_key_id);

      create table catalog_syncs (
        id uuid primary key,
        source text not null check (source in ('genai-prices', 'litellm')),
        location text not null,
        source_version text,
        status text not null check (status in ('running', 'succeeded', 'failed')),
        added integer not null default 0,
        changed integer not null default 0,
        unchanged integer not null default 0,
        deprecated integer not null default 0,
        skipped integer not null default 0,
        report jsonb not null default '{}',
        failure text,
        started_at timestamptz not null default now(),
        finished_at timestamptz,
        created_at timestamptz not null default now()
      );
      create index catalog_syncs_started on catalog_syncs (started_at desc);

      -- One row a model of a catalog ("openai", "anthropic", "groq" ...), or of one provider when the operator declared it.
      create table models (
        id uuid primary key,
        catalog text not null,
        name text not null,
        provider_id uuid references providers (id) on delete cascade,
        display_name text,
        mode text not null default 'chat',
        context_window_tokens integer check (context_window_tokens > 0),
        max_output_tokens integer check (max_output_tokens > 0),
        input_modalities text[] not null default '{text}',
        output_modalities text[] not null default '{text}',
        features jsonb not null default '{}',
        deprecation_date date,
        missing_since timestamptz,
        managed_by text not null check (managed_by in ('catalog', 'file', 'admin')),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique nulls not distinct (provider_id, catalog, name)
      );
      create index models_catalog_name on models (catalog, name);
      create index models_name_trgm on models using gin (name gin_trgm_ops);
      create index models_features on models using gin (features);

      -- A price is immutable; a change is a new version. The id is the price_version that usage rows name.
      create table model_prices (
        id uuid primary key,
        model_id uuid not null references models (id) on delete cascade,
        version integer not null,
        source text not null check (source in ('genai-prices', 'litellm', 'file', 'admin')),
        catalog_sync_id uuid references catalog_syncs (id),
        rates jsonb not null,
        effective_from timestamptz not null,
        effective_until timestamptz,
        created_at timestamptz not null default now(),
        unique (model_id, version),
        check (effective_until is null or effective_until > effective_from)
      );
      create index model_prices_sync on model_prices (catalog_sync_id);

      create table model_aliases (
        id uuid primary key,
        name text not null unique,
        description text,
        settings jsonb not null default '{}',
        enabled boolean not null default true,
        managed_by text not null check (managed_by in ('file', 'admin')),
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
      );
      create index model_aliases_name_trgm on model_aliases using gin (name gin_trgm_ops);

      create table alias_targets (
        id uuid primary key,
        alias_id uuid not null references model_aliases (id) on delete cascade,
        provider_id uuid not null references providers (id),
        model text not null,
        weight integer not null default 1 check (weight between 0 and 1000000),
        priority integer not null default 0 check (priority >= 0),
        region text,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now(),
        unique nulls not distinct (alias_id, provider_id, model, region)
      );
      create index alias_targets_provider on alias_targets (provider_id);

      -- Every configuration that was offered, and whether it was taken; replicas poll the newest number.
      create table config_versions (
        version bigint generated always as identity primary key,
        source text not null check (source in ('file', 'admin', 'catalog', 'system')),
        status text not null check (status in ('active', 'rejected')),
        content_hash text not null,
        problems jsonb not null default '[]',
        created_at timestamptz not null default now()
      );
    `)
  }

  override down(): void {
    this.addSql(`
      drop table config_versions, alias_targets, model_aliases, model_prices, models, catalog_syncs,
        provider_credentials, providers;
    `)
  }
}
