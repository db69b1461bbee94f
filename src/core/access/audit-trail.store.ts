import type { Pool, PoolClient } from 'pg'
import type { Actor } from '../keys/keys.ts'

/** What a change that was made before runs into: see `Actor.idempotencyKey`. */
export const idempotencyConstraint = 'audit_events_idempotency'

/** Who made a change, and under which id it goes on record. */
export interface AuditEntry {
  id: string
  actor: Actor
}

/** What was changed; no secrets. */
export interface AuditedChange {
  /** Noun and verb, such as `role.grant`. */
  action: string
  subjectKind: string
  subjectId: string
  organizationId?: string | undefined
  before?: object | undefined
  after?: object | undefined
}

/**
 * Puts a change on record, in the transaction that makes it: no audit, no change.
 *
 * @param database - a pool only for what changes nothing by itself, such as that something was asked for
 */
export async function recordAudit(
  database: PoolClient | Pool,
  { id, actor }: AuditEntry,
  { action, subjectKind, subjectId, organizationId, before, after }: AuditedChange,
): Promise<void> {
  await database.query(
    `insert into audit_events
       (id, actor_kind, actor_id, action, subject_kind, subject_id, organization_id, request_id, before, after,
        idempotency_key)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    [
      id,
      actor.kind,
      actor.id ?? null,
      action,
      subjectKind,
      subjectId,
      organizationId ?? null,
      actor.requestId ?? null,
      before ? JSON.stringify(before) : null,
      after ? JSON.stringify(after) : null,
      // One request may make several changes, each of them once.
      actor.idempotencyKey === undefined ? null : `${actor.idempotencyKey} ${action}`,
    ],
  )
}
