import type { Pool } from 'pg'

/** One look at a source of models and prices, as people look at it. */
export interface ListedSync {
  id: string
  source: 'genai-prices' | 'litellm'
  location: string
  sourceVersion: string | null
  status: 'running' | 'succeeded' | 'failed'
  added: number
  changed: number
  unchanged: number
  deprecated: number
  skipped: number
  failure: string | null
  startedAt: Date
  /** As PostgreSQL writes it. */
  startedAtText: string
  finishedAt: Date | null
}

const selectSyncs = `
  select s.id, s.source, s.location, s.source_version as "sourceVersion", s.status, s.added, s.changed, s.unchanged,
    s.deprecated, s.skipped, s.failure, s.started_at as "startedAt", s.started_at::text as "startedAtText",
    s.finished_at as "finishedAt"
  from catalog_syncs s`

/** The latest first. @param after - where the page before ended */
export async function listSyncs(
  pool: Pool,
  after: { startedAtText: string; id: string } | undefined,
  limit: number,
): Promise<ListedSync[]> {
  const { rows } = await pool.query<ListedSync>(
    `${selectSyncs} where ($1::timestamptz is null or (s.started_at, s.id) < ($1, $2::uuid))
     order by s.started_at desc, s.id desc limit $3`,
    [after?.startedAtText ?? null, after?.id ?? null, limit],
  )
  return rows
}

export async function syncsById(pool: Pool, ids: readonly string[]): Promise<ListedSync[]> {
  const { rows } = await pool.query<ListedSync>(`${selectSyncs} where s.id = any ($1)`, [ids])
  return rows
}
