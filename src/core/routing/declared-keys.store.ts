import { defaultOrganization } from '../keys/keys.store.ts'
import type { Secret } from '../secret.ts'
import { budgetStateOf, writeKeyBudgets } from './declared-budgets.store.ts'
import {
  canonicalJson,
  type DeclaredChange,
  type DeclaredNotice,
  recordAudit,
  type SecretDigest,
} from './declared-change.ts'
import type { DeclaredKey } from './declared-configuration.ts'
import { type DigestedKey, type KeyRow, type KeyState, loadFileKeys, matchKeys } from './declared-key-rows.store.ts'
import { limitsStateOf, writeKeyLimits } from './declared-limits.store.ts'
import { ensureOwner, type Owner } from './declared-owners.store.ts'

/** Names and secrets that belong to keys made elsewhere. */
export async function keyRefusals({ client }: DeclaredChange, keys: readonly DigestedKey[]): Promise<DeclaredNotice[]> {
  const { rows } = await client.query<{ name: string; is_admin: boolean; secret_digest: Buffer; is_live: boolean }>(
    `select k.name, k.managed_by = 'admin' as is_admin, k.secret_digest, k.revoked_at is null as is_live
     from api_keys k where k.managed_by <> 'file' and (k.name = any ($1) or k.secret_digest = any ($2))`,
    [keys.map(({ key }) => key.name), keys.flatMap(({ digest }) => digest?.digest ?? [])],
  )
  return keys.flatMap(({ key, digest }): DeclaredNotice[] => {
    const path = `keys[${key.name}]`
    if (rows.some(({ name, is_admin, is_live }) => is_admin && is_live && name === key.name)) {
      return [
        {
          path,
          message: 'is the name of a key that an administrator manages; rename it in the file, or revoke the other one',
        },
      ]
    }
    if (digest && rows.some(({ secret_digest }) => secret_digest.equals(digest.digest))) {
      return [
        {
          path: `${path}.secret`,
          message: 'is the secret of a key that was not made by the file; expected another one',
        },
      ]
    }
    return []
  })
}

export interface AppliedKeys {
  generatedKeys: { name: string; secret: Secret }[]
  warnings: DeclaredNotice[]
  /** Of keys that stay; not removed yet. */
  vanishedBudgetIds: string[]
}

export async function applyKeys(
  change: DeclaredChange,
  keys: readonly DigestedKey[],
  makeSecret: () => { secret: Secret; digest: SecretDigest },
): Promise<AppliedKeys> {
  const { matches, vanished } = matchKeys(keys, await loadFileKeys(change))
  for (const row of vanished) await revoke(change, row)
  // Names are unique among live keys, and the keys of a file may well exchange theirs.
  for (const { key, row, isRevokedElsewhere } of matches) {
    if (!row || isRevokedElsewhere || row.name === key.name) continue
    await change.client.query('update api_keys set name = id::text where id = $1', [row.id])
  }
  const applied: AppliedKeys = { generatedKeys: [], warnings: [], vanishedBudgetIds: [] }
  for (const { key, digest, row, isRevokedElsewhere } of matches) {
    if (isRevokedElsewhere) {
      applied.warnings.push({
        path: `keys[${key.name}]`,
        message: 'was revoked by an administrator and stays so; give it another secret, or remove it from the file',
      })
      continue
    }
    const owner = await ensureOwner(change, key)
    if (row) {
      applied.vanishedBudgetIds.push(...(await updateKey(change, row, key, digest, owner)))
      continue
    }
    const made = digest ? undefined : makeSecret()
    if (made) applied.generatedKeys.push({ name: key.name, secret: made.secret })
    await createKey(change, key, digest ?? (made as { digest: SecretDigest }).digest, owner)
  }
  return applied
}

async function createKey(change: DeclaredChange, key: DeclaredKey, digest: SecretDigest, owner: Owner): Promise<void> {
  const id = change.newId()
  await change.client.query(
    `insert into api_keys (id, organization_id, team_id, name, secret_digest, pepper_id, display_prefix, last4, enabled,
       allowed_models, unpriced_policy, expires_at, managed_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'file')`,
    [
      id,
      owner.organizationId,
      owner.teamId,
      key.name,
      digest.digest,
      digest.pepperId,
      digest.displayPrefix,
      digest.last4,
      ...policyColumns(key),
    ],
  )
  await writeAttachments(change, id, key, undefined)
  await recordAudit(change, {
    actor: 'file',
    action: 'key.create',
    subjectKind: 'api_key',
    subjectId: id,
    organizationId: owner.organizationId,
    after: stateOf(key, change.at),
  })
}

/** @returns ids of budgets that the key has no more */
async function updateKey(
  change: DeclaredChange,
  row: KeyRow,
  key: DeclaredKey,
  digest: SecretDigest | undefined,
  owner: Owner,
): Promise<string[]> {
  const after = stateOf(key, change.at)
  const isRotated = digest !== undefined && !digest.digest.equals(row.secretDigest)
  if (!isRotated && !row.isRevoked && canonicalJson(row.state) === canonicalJson(after)) return []
  await change.client.query(
    `update api_keys set organization_id = $2, team_id = $3, name = $4, enabled = $5, allowed_models = $6,
       unpriced_policy = $7, expires_at = $8, revoked_at = null where id = $1`,
    [row.id, owner.organizationId, owner.teamId, key.name, ...policyColumns(key)],
  )
  if (isRotated) {
    await change.client.query(
      'update api_keys set secret_digest = $2, pepper_id = $3, display_prefix = $4, last4 = $5 where id = $1',
      [row.id, digest.digest, digest.pepperId, digest.displayPrefix, digest.last4],
    )
  }
  const vanishedBudgetIds = await writeAttachments(change, row.id, key, row.state)
  await recordAudit(change, {
    actor: 'file',
    action: row.isRevoked ? 'key.restore' : isRotated ? 'key.rotate' : 'key.update',
    subjectKind: 'api_key',
    subjectId: row.id,
    organizationId: owner.organizationId,
    before: row.state,
    after,
  })
  return vanishedBudgetIds
}

async function revoke(change: DeclaredChange, { id, organizationId, state }: KeyRow): Promise<void> {
  await change.client.query('update api_keys set revoked_at = $2 where id = $1', [id, change.at])
  await recordAudit(change, {
    actor: 'file',
    action: 'key.revoke',
    subjectKind: 'api_key',
    subjectId: id,
    organizationId,
    before: state,
  })
}

const policyColumns = (key: DeclaredKey): unknown[] => [
  key.enabled,
  key.allowedModels ?? null,
  key.unpricedPolicy ?? null,
  key.expiresAtMs === undefined ? null : new Date(key.expiresAtMs),
]

/**
 * What hangs on a key: labels, limits, budgets. What is as it was is not written.
 *
 * @returns ids of budgets that the key has no more
 */
async function writeAttachments(
  change: DeclaredChange,
  keyId: string,
  key: DeclaredKey,
  before: KeyState | undefined,
): Promise<string[]> {
  await change.client.query(
    `insert into key_metadata (api_key_id, description, tags, metadata) values ($1, $2, $3, $4)
     on conflict (api_key_id) do update set description = excluded.description, tags = excluded.tags,
       metadata = excluded.metadata`,
    [keyId, key.description ?? null, JSON.stringify(key.tags), JSON.stringify(key.metadata)],
  )
  await writeKeyLimits(change, keyId, before?.rateLimits ?? null, limitsStateOf(key.rateLimits))
  return before || key.budgets.length > 0 ? writeKeyBudgets(change, keyId, key.budgets) : []
}

/** What of a key stands in the database, secrets aside, in the form in which both sides can be compared. */
function stateOf(key: DeclaredKey, at: Date): KeyState {
  return {
    name: key.name,
    description: key.description ?? null,
    organization: key.organization ?? defaultOrganization.slug,
    team: key.team ?? null,
    enabled: key.enabled,
    allowedModels: key.allowedModels ?? null,
    unpricedPolicy: key.unpricedPolicy ?? null,
    expiresAt: key.expiresAtMs === undefined ? null : new Date(key.expiresAtMs).toISOString(),
    tags: key.tags,
    metadata: key.metadata,
    rateLimits: limitsStateOf(key.rateLimits),
    budgets: key.budgets
      .map((budget) => budgetStateOf(budget, at))
      .sort((a, b) => (budgetName(a) < budgetName(b) ? -1 : 1)),
  }
}

const budgetName = ({ period, timeZone }: { period: string; timeZone: string }): string => `${period} ${timeZone}`
