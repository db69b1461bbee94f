import type { PoolClient } from 'pg'

/** One transaction that brings the database to what is declared; everything written in it is dated alike. */
export interface DeclaredChange {
  client: PoolClient
  /** The database's clock, read while no other replica was applying. */
  at: Date
  newId(): string
}

/** Why a declaration was refused, or what an operator should know about one that was taken; no secrets. */
export interface DeclaredNotice {
  /** What it is about, e.g. `providers[openai]`. */
  path: string
  message: string
}

/** The only form in which a key's secret gets here. */
export interface SecretDigest {
  /** 32 bytes. */
  digest: Buffer
  pepperId: string
  displayPrefix: string
  last4: string
}

export interface DeclaredAuditEvent {
  actor: 'file' | 'environment' | 'builtin'
  /** Noun and verb, e.g. `provider.update`. */
  action: string
  subjectKind: string
  subjectId: string
  organizationId?: string | undefined
  before?: object | undefined
  after?: object | undefined
}

/** No change without its audit event, and none of them with a secret in it. */
export async function recordAudit({ client, at, newId }: DeclaredChange, event: DeclaredAuditEvent): Promise<void> {
  const isFile = event.actor === 'file'
  await client.query(
    `insert into audit_events
       (id, actor_kind, actor_id, action, subject_kind, subject_id, organization_id, before, after, created_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      newId(),
      isFile ? 'file' : 'system',
      isFile ? null : event.actor,
      event.action,
      event.subjectKind,
      event.subjectId,
      event.organizationId ?? null,
      jsonOrNull(event.before),
      jsonOrNull(event.after),
      at,
    ],
  )
}

/** JSON with sorted members, so that equal values have equal text; bigint as a decimal string. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, item) => {
    if (typeof item === 'bigint') return item.toString()
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}

const jsonOrNull = (value: object | undefined): string | null => (value === undefined ? null : canonicalJson(value))
