import type { Pool, PoolClient } from 'pg'
import type { CatalogPlan, Description, KnownModel, KnownVersion, PlannedVersion } from './catalog-diff.ts'
import type { CatalogSource } from './catalog-model.ts'

const advisoryLock = 'hashtext($$llmgw catalog$$)'

export interface CatalogSyncRow {
  id: string
  source: CatalogSource
  location: string
  sourceVersion: string | undefined
}

export interface CatalogSyncCounts {
  added: number
  changed: number
  unchanged: number
  deprecated: number
  skipped: number
}

/**
 * What one sync does to the database, in one transaction under the catalog's lock. All instants are the database's,
 * cut to milliseconds, since that is what prices are looked up by.
 */
export interface CatalogTransaction {
  /** When the transaction began, in milliseconds since the epoch. */
  nowMs: number
  lastVersion(source: CatalogSource): Promise<string | undefined>
  readKnownModels(): Promise<KnownModel[]>
  begin(row: CatalogSyncRow): Promise<void>
  apply(plan: CatalogPlan, ids: PlanIds): Promise<void>
  succeed(id: string, counts: CatalogSyncCounts, report: object): Promise<void>
  /** Tells replicas to build a new snapshot. */
  bumpConfigVersion(contentHash: string): Promise<void>
}

/** Ids of everything the plan inserts, in its order. */
export interface PlanIds {
  syncId: string
  source: CatalogSource
  next(): string
}

/** @returns undefined when another sync holds the lock; nothing was done then */
export async function inCatalogTransaction<T>(
  pool: Pool,
  work: (transaction: CatalogTransaction) => Promise<T>,
): Promise<{ result: T } | undefined> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    const { rows } = await client.query<{ locked: boolean; now_ms: string }>(
      `select pg_try_advisory_xact_lock(${advisoryLock}) as locked,
         floor(extract(epoch from now()) * 1000)::bigint as now_ms`,
    )
    const result = rows[0]?.locked ? { result: await work(transactionOf(client, Number(rows[0].now_ms))) } : undefined
    await client.query('commit')
    return result
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    if (failure) {
      // When even this fails the connection is broken; it must not go back to the pool.
      await client.query('rollback').then(
        () => client.release(),
        (broken: Error) => client.release(broken),
      )
    } else client.release()
  }
}

export async function recordFailedSync(pool: Pool, row: CatalogSyncRow, failure: string): Promise<void> {
  await pool.query(
    `insert into catalog_syncs (id, source, location, source_version, status, failure, finished_at)
     values ($1, $2, $3, $4, 'failed', $5, now())`,
    [row.id, row.source, row.location, row.sourceVersion ?? null, failure],
  )
}

/** @returns the version that was last imported from a source; undefined when none was */
export async function lastImportedVersion(pool: Pool, source: CatalogSource): Promise<string | undefined> {
  return lastVersionOf(pool, source)
}

export interface LastSync {
  status: 'succeeded' | 'failed'
  ageMs: number
}

/** How the latest sync of a source ended, and how long ago by the database's clock. */
export async function lastSync(pool: Pool, source: CatalogSource): Promise<LastSync | undefined> {
  const { rows } = await pool.query<{ status: LastSync['status']; age_ms: string }>(
    `select status, floor(extract(epoch from now() - finished_at) * 1000)::bigint as age_ms
     from catalog_syncs
     where source = $1 and status <> 'running' and finished_at is not null
     order by started_at desc
     limit 1`,
    [source],
  )
  return rows[0] && { status: rows[0].status, ageMs: Number(rows[0].age_ms) }
}

async function lastVersionOf(database: Pool | PoolClient, source: CatalogSource): Promise<string | undefined> {
  const { rows } = await database.query<{ source_version: string | null }>(
    `select source_version from catalog_syncs
     where source = $1 and status = 'succeeded'
     order by started_at desc
     limit 1`,
    [source],
  )
  return rows[0]?.source_version ?? undefined
}

function transactionOf(client: PoolClient, nowMs: number): CatalogTransaction {
  return {
    nowMs,
    lastVersion: (source) => lastVersionOf(client, source),
    readKnownModels: () => readKnownModels(client, new Date(nowMs)),
    async begin({ id, source, location, sourceVersion }) {
      await client.query(
        `insert into catalog_syncs (id, source, location, source_version, status) values ($1, $2, $3, $4, 'running')`,
        [id, source, location, sourceVersion ?? null],
      )
    },
    async apply({ added, redescribed, repriced }, ids) {
      const at = new Date(nowMs)
      const addedRows = added.map((model) => ({ ...model, id: ids.next() }))
      await insertModels(client, addedRows)
      await describeModels(client, redescribed, at)
      await closeVersions(client, repriced, at)
      await insertVersions(client, [...addedRows, ...repriced], ids, at)
    },
    async succeed(id, { added, changed, unchanged, deprecated, skipped }, report) {
      await client.query(
        `update catalog_syncs
         set status = 'succeeded', added = $2, changed = $3, unchanged = $4, deprecated = $5, skipped = $6,
           report = $7, finished_at = clock_timestamp()
         where id = $1`,
        [id, added, changed, unchanged, deprecated, skipped, JSON.stringify(report)],
      )
    },
    async bumpConfigVersion(contentHash) {
      await client.query(
        `insert into config_versions (source, status, content_hash) values ('catalog', 'active', $1)`,
        [contentHash],
      )
    },
  }
}

interface KnownRow {
  id: string
  catalog: string
  name: string
  is_described_by_catalog: boolean
  display_name: string | null
  mode: string
  context_window_tokens: number | null
  max_output_tokens: number | null
  input_modalities: string[]
  output_modalities: string[]
  features: Description['features']
  deprecation_date: string | null
  missing_since: Date | null
  versions: KnownVersion[] | null
}

async function readKnownModels(client: PoolClient, at: Date): Promise<KnownModel[]> {
  const { rows } = await client.query<KnownRow>(
    `select m.id, m.catalog, m.name, m.managed_by = 'catalog' as is_described_by_catalog, m.display_name, m.mode,
       m.context_window_tokens, m.max_output_tokens, m.input_modalities, m.output_modalities, m.features,
       to_char(m.deprecation_date, 'YYYY-MM-DD') as deprecation_date, m.missing_since, p.versions
     from models m
     left join (
       select model_id, json_agg(
         json_build_object(
           'id', id, 'source', source, 'tables', rates -> 'tables',
           'effectiveFromMs', floor(extract(epoch from effective_from) * 1000)::bigint
         )
         order by effective_from > $1, case when effective_from > $1 then effective_from end, version desc
       ) as versions
       from model_prices
       where source in ('genai-prices', 'litellm') and (effective_until is null or effective_until > $1)
       group by model_id
     ) p on p.model_id = m.id
     where m.provider_id is null`,
    [at],
  )
  return rows.map((row) => ({
    id: row.id,
    catalog: row.catalog,
    name: row.name,
    isDescribedByCatalog: row.is_described_by_catalog,
    description: {
      displayName: row.display_name,
      mode: row.mode,
      contextWindowTokens: row.context_window_tokens,
      maxOutputTokens: row.max_output_tokens,
      inputModalities: row.input_modalities,
      outputModalities: row.output_modalities,
      features: row.features,
      deprecationDate: row.deprecation_date,
    },
    missingSince: row.missing_since ?? undefined,
    versions: row.versions ?? [],
  }))
}

const descriptionColumns = `display_name text, mode text, context_window_tokens integer, max_output_tokens integer,
  input_modalities text[], output_modalities text[], features jsonb, deprecation_date date`

function descriptionRow(description: Description): object {
  return {
    display_name: description.displayName,
    mode: description.mode,
    context_window_tokens: description.contextWindowTokens,
    max_output_tokens: description.maxOutputTokens,
    input_modalities: description.inputModalities,
    output_modalities: description.outputModalities,
    features: description.features,
    deprecation_date: description.deprecationDate,
  }
}

async function insertModels(
  client: PoolClient,
  models: readonly { id: string; catalog: string; name: string; description: Description }[],
): Promise<void> {
  if (models.length === 0) return
  await client.query(
    `insert into models (id, catalog, name, display_name, mode, context_window_tokens, max_output_tokens,
       input_modalities, output_modalities, features, deprecation_date, managed_by)
     select r.id, r.catalog, r.name, r.display_name, r.mode, r.context_window_tokens, r.max_output_tokens,
       r.input_modalities, r.output_modalities, r.features, r.deprecation_date, 'catalog'
     from json_to_recordset($1) as r(id uuid, catalog text, name text, ${descriptionColumns})`,
    [
      JSON.stringify(
        models.map(({ id, catalog, name, description }) => ({ id, catalog, name, ...descriptionRow(description) })),
      ),
    ],
  )
}

async function describeModels(client: PoolClient, models: CatalogPlan['redescribed'], at: Date): Promise<void> {
  if (models.length === 0) return
  await client.query(
    `update models m
     set display_name = r.display_name, mode = r.mode, context_window_tokens = r.context_window_tokens,
       max_output_tokens = r.max_output_tokens, input_modalities = r.input_modalities,
       output_modalities = r.output_modalities, features = r.features, deprecation_date = r.deprecation_date,
       missing_since = case when r.is_missing then coalesce(m.missing_since, $2) end, updated_at = $2
     from json_to_recordset($1) as r(id uuid, is_missing boolean, ${descriptionColumns})
     where m.id = r.id`,
    [
      JSON.stringify(
        models.map(({ id, isMissing, description }) => ({ id, is_missing: isMissing, ...descriptionRow(description) })),
      ),
      at,
    ],
  )
}

/** Ends what is in force, and withdraws what was only announced: no call can have been priced with that. */
async function closeVersions(client: PoolClient, models: CatalogPlan['repriced'], at: Date): Promise<void> {
  if (models.length === 0) return
  const rows = JSON.stringify(
    models.map(({ id, keepsCurrent, versions }) => ({
      id,
      until: keepsCurrent ? (versions[0]?.effectiveFrom ?? null) : at.toISOString(),
    })),
  )
  await client.query(
    `delete from model_prices p
     using json_to_recordset($1) as r(id uuid)
     where p.model_id = r.id and p.source in ('genai-prices', 'litellm') and p.effective_from > $2`,
    [rows, at],
  )
  await client.query(
    `update model_prices p
     set effective_until = r.until
     from json_to_recordset($1) as r(id uuid, until timestamptz)
     where p.model_id = r.id and p.source in ('genai-prices', 'litellm')
       and p.effective_from <= $2 and (p.effective_until is null or p.effective_until > $2)`,
    [rows, at],
  )
}

async function insertVersions(
  client: PoolClient,
  models: readonly { id: string; versions: readonly PlannedVersion[] }[],
  { syncId, source, next }: PlanIds,
  at: Date,
): Promise<void> {
  const rows = models.flatMap(({ id: modelId, versions }) =>
    versions.map(({ tables, effectiveFrom }, index) => ({
      id: next(),
      model_id: modelId,
      ordinal: index + 1,
      rates: { tables },
      effective_from: effectiveFrom ?? at.toISOString(),
      effective_until: versions[index + 1]?.effectiveFrom ?? null,
    })),
  )
  if (rows.length === 0) return
  await client.query(
    `insert into model_prices (id, model_id, version, source, catalog_sync_id, rates, effective_from, effective_until)
     select r.id, r.model_id, coalesce(v.newest, 0) + r.ordinal, $2, $3, r.rates, r.effective_from, r.effective_until
     from json_to_recordset($1) as r(id uuid, model_id uuid, ordinal integer, rates jsonb,
       effective_from timestamptz, effective_until timestamptz)
     left join lateral (select max(p.version) as newest from model_prices p where p.model_id = r.model_id) v on true`,
    [JSON.stringify(rows), source, syncId],
  )
}
