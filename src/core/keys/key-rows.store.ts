import type { PoolClient } from 'pg'
import { type AuditEntry, recordAudit } from '../access/audit-trail.store.ts'
import type { Refusal } from '../refusal.ts'
import type { UnpricedPolicy } from './caller.ts'
import type { KeyDigest } from './key-digest.ts'
import type { Key, KeyPatch, ManagedBy } from './keys.ts'

export interface StoreRefusal {
  ok: false
  refusal: Refusal
}

export interface KeyRow {
  id: string
  name: string
  organization_id: string
  organization_slug: string
  team_id: string | null
  team_slug: string | null
  display_prefix: string
  last4: string
  enabled: boolean
  allowed_models: string[] | null
  unpriced_policy: UnpricedPolicy | null
  expires_at_ms: number | null
  revoked_at_ms: number | null
  previous_until_ms: number | null
  ends_calls: boolean
  created_at_ms: number
  created_at_text: string
  managed_by: ManagedBy
  description: string | null
  tags: Record<string, string>
  metadata: Record<string, unknown>
}

export const selectKeys = `
  select k.id, k.name, k.organization_id, o.slug as organization_slug, k.team_id, t.slug as team_slug,
    k.display_prefix, k.last4, k.enabled, k.allowed_models, k.unpriced_policy,
    floor(extract(epoch from k.expires_at) * 1000)::float8 as expires_at_ms,
    floor(extract(epoch from k.revoked_at) * 1000)::float8 as revoked_at_ms,
    floor(extract(epoch from k.created_at) * 1000)::float8 as created_at_ms,
    floor(extract(epoch from k.previous_valid_until) * 1000)::float8 as previous_until_ms, k.ends_calls,
    k.created_at::text as created_at_text, k.managed_by, m.description, coalesce(m.tags, '{}') as tags,
    coalesce(m.metadata, '{}') as metadata
  from api_keys k
  join organizations o on o.id = k.organization_id
  left join teams t on t.id = k.team_id
  left join key_metadata m on m.api_key_id = k.id`

export async function lockedKey(client: PoolClient, id: string): Promise<Key | undefined> {
  const { rows } = await client.query<KeyRow>(`${selectKeys} where k.id = $1 for no key update of k`, [id])
  return rows[0] && keyOf(rows[0])
}

export const auditKey = (client: PoolClient, entry: AuditEntry, action: string, before: Key | undefined, after: Key) =>
  recordAudit(client, entry, {
    action,
    subjectKind: 'api_key',
    subjectId: after.id,
    organizationId: after.organization.id,
    before,
    after,
  })

export async function isTaken(client: PoolClient, digests: readonly KeyDigest[]): Promise<boolean> {
  const { rowCount } = await client.query(
    'select from api_keys k where k.secret_digest = any ($1) or k.previous_secret_digest = any ($1)',
    [bytesOf(digests)],
  )
  return (rowCount ?? 0) > 0
}

export const writeMetadata = (
  client: PoolClient,
  id: string,
  { description, tags, metadata }: Pick<KeyPatch, 'description' | 'tags' | 'metadata'>,
): Promise<unknown> =>
  client.query(
    `insert into key_metadata (api_key_id, description, tags, metadata) values ($1, $2, $3, $4)
     on conflict (api_key_id) do update
     set description = excluded.description, tags = excluded.tags, metadata = excluded.metadata`,
    [id, description ?? null, JSON.stringify(tags ?? {}), JSON.stringify(metadata ?? {})],
  )

/** Does not say which key it is: whoever brings a secret may not be the one who may see that key. */
export const secretTaken = (): StoreRefusal =>
  refusal('conflict', 'This secret is already a key, or was one. Every key needs a secret of its own.', 'secret')

export const refusal = (code: Refusal['code'], message: string, ...path: string[]): StoreRefusal => ({
  ok: false,
  refusal: { code, message, path },
})

export const bytesOf = (digests: readonly KeyDigest[]): Buffer[] => digests.map(({ bytes }) => bytes)

export function keyOf(row: KeyRow): Key {
  return {
    id: row.id,
    name: row.name,
    organization: { id: row.organization_id, slug: row.organization_slug },
    team: row.team_id === null ? undefined : { id: row.team_id, slug: row.team_slug ?? '' },
    displayPrefix: row.display_prefix,
    last4: row.last4,
    enabled: row.enabled,
    allowedModels: row.allowed_models ?? undefined,
    unpricedPolicy: row.unpriced_policy ?? undefined,
    expiresAtMs: row.expires_at_ms ?? undefined,
    revokedAtMs: row.revoked_at_ms ?? undefined,
    createdAtMs: row.created_at_ms,
    managedBy: row.managed_by,
    description: row.description ?? undefined,
    tags: row.tags,
    metadata: row.metadata,
    previousUntilMs: row.previous_until_ms ?? undefined,
    endsCalls: row.ends_calls,
  }
}
