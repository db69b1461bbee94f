import type { Pool } from 'pg'
import type { VisibleTenants } from './principal.ts'

/** Reads what changes have left; they are written where changes are made. */
export interface AuditEvents {
  /** The latest first. */
  list(query: AuditQuery): Promise<AuditEvent[]>
  byId(ids: readonly string[]): Promise<AuditEvent[]>
  /** Of the last so many milliseconds, the earliest first; 1,000 at most. */
  latest(lastMs: number): Promise<AuditEvent[]>
}

export interface AuditQuery {
  visible: VisibleTenants
  action: string | undefined
  subjectId: string | undefined
  since: Date | undefined
  until: Date | undefined
  after: { createdAtText: string; id: string } | undefined
  limit: number
}

export interface AuditEvent {
  id: string
  createdAt: Date
  /** As PostgreSQL writes it. */
  createdAtText: string
  actorKind: string
  actorId: string | null
  action: string
  subjectKind: string
  subjectId: string
  organizationId: string | null
  before: unknown
  after: unknown
}

const selectEvents = `
  select e.id, e.created_at as "createdAt", e.created_at::text as "createdAtText", e.actor_kind as "actorKind",
    e.actor_id as "actorId", e.action, e.subject_kind as "subjectKind", e.subject_id as "subjectId",
    e.organization_id as "organizationId", e.before, e.after
  from audit_events e`

export function createAuditEvents(pool: Pool): AuditEvents {
  return {
    async list({ visible, action, subjectId, since, until, after, limit }) {
      // Of a team alone, nobody could tell which changes of its organization are about it.
      const { rows } = await pool.query<AuditEvent>(
        `${selectEvents}
         where ($1 or e.organization_id = any ($2)) and ($3::text is null or e.action = $3)
           and ($4::text is null or e.subject_id = $4) and ($5::timestamptz is null or e.created_at >= $5)
           and ($6::timestamptz is null or e.created_at < $6)
           and ($7::timestamptz is null or (e.created_at, e.id) < ($7, $8::uuid))
         order by e.created_at desc, e.id desc limit $9`,
        [
          visible.everything,
          visible.organizationIds,
          action ?? null,
          subjectId ?? null,
          since ?? null,
          until ?? null,
          after?.createdAtText ?? null,
          after?.id ?? null,
          limit,
        ],
      )
      return rows
    },
    async latest(lastMs) {
      const { rows } = await pool.query<AuditEvent>(
        `select * from (${selectEvents} where e.created_at > clock_timestamp() - $1 * interval '1 millisecond'
           order by e.created_at desc, e.id desc limit 1000) as latest
         order by "createdAt", id`,
        [lastMs],
      )
      return rows
    },
    async byId(ids) {
      const { rows } = await pool.query<AuditEvent>(`${selectEvents} where e.id = any ($1)`, [ids])
      return rows
    },
  }
}
