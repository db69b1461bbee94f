import type { Pool } from 'pg'

export interface ListedReplica {
  id: string
  host: string
  version: string
  label: string
  startedAt: Date
  /** As PostgreSQL writes it. */
  startedAtText: string
  heartbeatAt: Date
  stoppedAt: Date | null
}

/** The latest first. @param before - where the page before ended */
export async function listReplicas(
  pool: Pool,
  before: { startedAtText: string; id: string } | undefined,
  limit: number,
): Promise<ListedReplica[]> {
  const { rows } = await pool.query<ListedReplica>(
    `select r.id, r.host, r.version, r.label, r.started_at as "startedAt", r.started_at::text as "startedAtText",
       r.heartbeat_at as "heartbeatAt", r.stopped_at as "stoppedAt"
     from replicas r where ($1::timestamptz is null or (r.started_at, r.id) < ($1, $2))
     order by r.started_at desc, r.id desc limit $3`,
    [before?.startedAtText ?? null, before?.id ?? null, limit],
  )
  return rows
}
