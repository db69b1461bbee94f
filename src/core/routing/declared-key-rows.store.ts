import { type BudgetState, budgetStateSql } from './declared-budgets.store.ts'
import type { DeclaredChange, SecretDigest } from './declared-change.ts'
import type { DeclaredKey } from './declared-configuration.ts'
import { type LimitsState, limitsStateSql } from './declared-limits.store.ts'

/** A declared key with the digest of its secret, when it has one. */
export interface DigestedKey {
  key: DeclaredKey
  digest: SecretDigest | undefined
}

/** A key that the file once declared, revoked or not. */
export interface KeyRow {
  id: string
  name: string
  organizationId: string
  secretDigest: Buffer
  isRevoked: boolean
  /** The file revoked it by leaving it out, and may bring it back; what an administrator revoked stays revoked. */
  isRestorable: boolean
  state: KeyState
}

/** A key without its secret, as the audit trail shows it. */
export interface KeyState {
  name: string
  description: string | null
  organization: string
  team: string | null
  enabled: boolean
  allowedModels: readonly string[] | null
  unpricedPolicy: string | null
  /** ISO 8601, UTC. */
  expiresAt: string | null
  tags: Readonly<Record<string, string>>
  metadata: Readonly<Record<string, unknown>>
  rateLimits: LimitsState | null
  /** Ordered by period and time zone. */
  budgets: readonly BudgetState[]
}

export interface KeyMatch extends DigestedKey {
  /** Undefined for a key that is new. */
  row: KeyRow | undefined
  /** An administrator revoked this very key: it is left alone. */
  isRevokedElsewhere: boolean
}

/**
 * Finds for each declared key the row it is about. The secret says so first, hence a renamed key keeps its history and
 * its budgets; the name says so next, hence a key whose secret is exchanged does.
 */
export function matchKeys(
  keys: readonly DigestedKey[],
  rows: readonly KeyRow[],
): { matches: KeyMatch[]; vanished: KeyRow[] } {
  const free = new Set(rows)
  const take = (isWanted: (row: KeyRow) => boolean): KeyRow | undefined => {
    const row = rows.find((candidate) => free.has(candidate) && isWanted(candidate))
    if (row) free.delete(row)
    return row
  }
  const bySecret = keys.map(({ digest }) => digest && take((row) => row.secretDigest.equals(digest.digest)))
  const matches = keys.map(({ key, digest }, index): KeyMatch => {
    const isNamed = (row: KeyRow): boolean => row.name === key.name
    const row =
      bySecret[index] ??
      take((candidate) => isNamed(candidate) && !candidate.isRevoked) ??
      take((candidate) => isNamed(candidate) && candidate.isRestorable) ??
      // Without a secret of its own the key is the one of that name, revoked or not.
      (digest ? undefined : take(isNamed))
    return { key, digest, row, isRevokedElsewhere: row?.isRevoked === true && !row.isRestorable }
  })
  return { matches, vanished: rows.filter((row) => free.has(row) && !row.isRevoked) }
}

/** Newest first, so that a name finds its latest key. */
export async function loadFileKeys({ client, at }: DeclaredChange): Promise<KeyRow[]> {
  const { rows } = await client.query<{
    id: string
    name: string
    organization_id: string
    secret_digest: Buffer
    is_revoked: boolean
    is_restorable: boolean
    expires_at: Date | null
    state: Omit<KeyState, 'expiresAt'>
  }>(
    `select k.id, k.name, k.organization_id, k.secret_digest, k.expires_at, k.revoked_at is not null as is_revoked,
       exists (
         select 1 from audit_events e
         where e.subject_kind = 'api_key' and e.subject_id = k.id::text and e.actor_kind = 'file'
           and e.action = 'key.revoke' and e.created_at = k.revoked_at
       ) as is_restorable,
       json_build_object(
         'name', k.name, 'description', m.description, 'organization', o.slug, 'team', t.slug, 'enabled', k.enabled,
         'allowedModels', k.allowed_models, 'unpricedPolicy', k.unpriced_policy,
         'tags', coalesce(m.tags, '{}'), 'metadata', coalesce(m.metadata, '{}'),
         'rateLimits', (
           select ${limitsStateSql}
           from rate_limits r where r.api_key_id = k.id
         ),
         'budgets', coalesce((
           select json_agg(
             ${budgetStateSql}
             order by b.period || ' ' || b.time_zone collate "C"
           )
           from budgets b where b.api_key_id = k.id and b.managed_by = 'file'
         ), '[]')
       ) as state
     from api_keys k
     join organizations o on o.id = k.organization_id
     left join teams t on t.id = k.team_id
     left join key_metadata m on m.api_key_id = k.id
     where k.managed_by = 'file'
     order by k.created_at desc, k.id desc`,
    [at],
  )
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    organizationId: row.organization_id,
    secretDigest: row.secret_digest,
    isRevoked: row.is_revoked,
    isRestorable: row.is_restorable,
    state: { ...row.state, expiresAt: row.expires_at?.toISOString() ?? null },
  }))
}
