import type { Pool, PoolClient } from 'pg'
import { type AuditEntry, recordAudit } from '../access/audit-trail.store.ts'
import { searchPattern } from '../db/search-pattern.ts'
import type { Refusal } from '../refusal.ts'
import type { UnpricedPolicy } from './caller.ts'
import type { KeyDigest } from './key-digest.ts'
import type { Actor, Key, KeyDraft, KeyPage, KeyQuery, ManagedBy, Tenant, TenantReference } from './keys.ts'

/** Keys and their metadata in SQL. A change and its audit event commit together or not at all. */
export interface KeyStore {
  insert(key: NewKey): Promise<{ ok: true; key: Key } | StoreRefusal>
  change(change: KeyChange): Promise<{ ok: true; key: Key; changed: boolean } | StoreRefusal>
  get(id: string): Promise<Key | undefined>
  getMany(ids: readonly string[]): Promise<Key[]>
  findByDigests(digests: readonly KeyDigest[]): Promise<Key | undefined>
  findByName(name: string): Promise<Key[]>
  list(query: KeyQuery): Promise<KeyPage>
  /** Whether there ever was a key. */
  isEmpty(): Promise<boolean>
}

export interface NewKey {
  id: string
  auditId: string
  /** For the default organization, should it have to be made. */
  organizationId: string
  draft: KeyDraft
  /** Under every pepper, the current one first. */
  digests: readonly KeyDigest[]
  display: { displayPrefix: string; last4: string }
  managedBy: ManagedBy
  actor: Actor
}

export interface KeyChange {
  id: string
  action: 'key.revoke' | 'key.enable' | 'key.disable'
  actor: Actor
  auditId: string
}

export interface StoreRefusal {
  ok: false
  refusal: Refusal
}

/** Where keys belong that name no organization. */
export const defaultOrganization = { slug: 'default', name: 'Default' }

interface KeyRow {
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
  created_at_ms: number
  created_at_text: string
  managed_by: ManagedBy
  description: string | null
  tags: Record<string, string>
}

const selectKeys = `
  select k.id, k.name, k.organization_id, o.slug as organization_slug, k.team_id, t.slug as team_slug,
    k.display_prefix, k.last4, k.enabled, k.allowed_models, k.unpriced_policy,
    floor(extract(epoch from k.expires_at) * 1000)::float8 as expires_at_ms,
    floor(extract(epoch from k.revoked_at) * 1000)::float8 as revoked_at_ms,
    floor(extract(epoch from k.created_at) * 1000)::float8 as created_at_ms,
    k.created_at::text as created_at_text, k.managed_by, m.description, coalesce(m.tags, '{}') as tags
  from api_keys k
  join organizations o on o.id = k.organization_id
  left join teams t on t.id = k.team_id
  left join key_metadata m on m.api_key_id = k.id`

export function createKeyStore(pool: Pool): KeyStore {
  return {
    insert: (key) => inTransaction(pool, (client) => insertKey(client, key)).catch(refusalOfConflict),
    change: (change) => inTransaction(pool, (client) => changeKey(client, change)),

    async get(id) {
      const { rows } = await pool.query<KeyRow>(`${selectKeys} where k.id = $1`, [id])
      return rows[0] && keyOf(rows[0])
    },

    async getMany(ids) {
      const { rows } = await pool.query<KeyRow>(`${selectKeys} where k.id = any ($1)`, [ids])
      return rows.map(keyOf)
    },

    async findByDigests(digests) {
      const { rows } = await pool.query<KeyRow>(`${selectKeys} where k.secret_digest = any($1)`, [bytesOf(digests)])
      return rows[0] && keyOf(rows[0])
    },

    async findByName(name) {
      const { rows } = await pool.query<KeyRow>(
        `${selectKeys} where k.name = $1 order by k.created_at desc, k.id desc limit 100`,
        [name],
      )
      return rows.map(keyOf)
    },

    async list({ visible, organizationId, teamId, search, tag, after, limit }) {
      const { rows } = await pool.query<KeyRow>(
        `${selectKeys}
        where ($1::uuid is null or k.organization_id = $1)
          and ($2::uuid is null or k.team_id = $2)
          and ($3::text is null or k.name ilike $3)
          and ($4::jsonb is null or m.tags @> $4)
          and ($5::timestamptz is null or (k.created_at, k.id) < ($5, $6::uuid))
          and ($8 or k.organization_id = any ($9) or k.team_id = any ($10))
        order by k.created_at desc, k.id desc
        limit $7`,
        [
          organizationId ?? null,
          teamId ?? null,
          searchPattern(search),
          tag === undefined ? null : JSON.stringify({ [tag.key]: tag.value }),
          after?.createdAt ?? null,
          after?.id ?? null,
          limit + 1,
          visible?.everything ?? true,
          visible?.organizationIds ?? [],
          visible?.teamIds ?? [],
        ],
      )
      const page = rows.slice(0, limit)
      const last = rows.length > limit ? page[page.length - 1] : undefined
      const cursorOf = (row: KeyRow) => ({ createdAt: row.created_at_text, id: row.id })
      return { keys: page.map(keyOf), cursors: page.map(cursorOf), next: last && cursorOf(last) }
    },

    async isEmpty() {
      const { rows } = await pool.query<{ empty: boolean }>('select not exists (select from api_keys) as empty')
      return rows[0]?.empty === true
    },
  }
}

async function insertKey(client: PoolClient, key: NewKey): Promise<{ ok: true; key: Key } | StoreRefusal> {
  const { draft, digests, display, actor } = key
  const organization = await organizationOf(client, draft.organization, key.organizationId)
  if (!organization) return refusal('not_found', 'There is no such organization.', 'organization')
  const team = draft.team && (await teamOf(client, organization.id, draft.team))
  if (draft.team && !team) {
    return refusal('not_found', `There is no such team in the organization ${organization.slug}.`, 'team')
  }
  // Under a previous pepper the same secret has another digest, which no constraint sees.
  const { rows: taken } = await client.query<{ name: string }>(
    'select k.name from api_keys k where k.secret_digest = any($1)',
    [bytesOf(digests)],
  )
  if (taken[0]) return secretTaken()
  const [current] = digests
  if (!current) throw new RangeError('A key is stored under at least one pepper.')
  await client.query(
    `insert into api_keys (id, organization_id, team_id, name, secret_digest, pepper_id, display_prefix, last4,
      allowed_models, unpriced_policy, expires_at, managed_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      key.id,
      organization.id,
      team?.id ?? null,
      draft.name,
      current.bytes,
      current.pepperId,
      display.displayPrefix,
      display.last4,
      draft.allowedModels ?? null,
      draft.unpricedPolicy ?? null,
      draft.expiresAtMs === undefined ? null : new Date(draft.expiresAtMs).toISOString(),
      key.managedBy,
    ],
  )
  await client.query('insert into key_metadata (api_key_id, description, tags) values ($1, $2, $3)', [
    key.id,
    draft.description ?? null,
    JSON.stringify(draft.tags ?? {}),
  ])
  const stored = await lockedKey(client, key.id)
  if (!stored) throw new Error('The key that was just stored is not there.')
  await auditKey(client, { id: key.auditId, actor }, 'key.create', undefined, stored)
  return { ok: true, key: stored }
}

async function changeKey(
  client: PoolClient,
  { id, action, actor, auditId }: KeyChange,
): Promise<{ ok: true; key: Key; changed: boolean } | StoreRefusal> {
  const before = await lockedKey(client, id)
  if (!before) return refusal('not_found', 'There is no such key.', 'id')
  if (before.managedBy === 'file' && actor.kind !== 'file') {
    return refusal(
      'managed_by_file',
      `The key "${before.name}" is declared in the configuration file; change it there.`,
      'id',
    )
  }
  if (action !== 'key.revoke' && before.revokedAtMs !== undefined) {
    return refusal('conflict', `The key "${before.name}" was revoked, and that is for good. Make a new one.`, 'id')
  }
  const isDone =
    action === 'key.revoke' ? before.revokedAtMs !== undefined : before.enabled === (action === 'key.enable')
  if (isDone) return { ok: true, key: before, changed: false }
  await client.query(changeSql[action], [id])
  const after = await lockedKey(client, id)
  if (!after) throw new Error('The key that was just changed is not there.')
  await auditKey(client, { id: auditId, actor }, action, before, after)
  return { ok: true, key: after, changed: true }
}

const changeSql = {
  'key.revoke': 'update api_keys set revoked_at = clock_timestamp() where id = $1',
  'key.enable': 'update api_keys set enabled = true where id = $1',
  'key.disable': 'update api_keys set enabled = false where id = $1',
} as const

async function organizationOf(
  client: PoolClient,
  reference: TenantReference | undefined,
  newId: string,
): Promise<Tenant | undefined> {
  if (reference === undefined) {
    await client.query('insert into organizations (id, slug, name) values ($1, $2, $3) on conflict (slug) do nothing', [
      newId,
      defaultOrganization.slug,
      defaultOrganization.name,
    ])
    return organizationOf(client, { slug: defaultOrganization.slug }, newId)
  }
  const [id, slug] = columnsOf(reference)
  const { rows } = await client.query<Tenant>(
    'select o.id, o.slug from organizations o where o.id = $1 or o.slug = $2 for key share',
    [id, slug],
  )
  return rows[0]
}

async function teamOf(
  client: PoolClient,
  organizationId: string,
  reference: TenantReference,
): Promise<Tenant | undefined> {
  const [id, slug] = columnsOf(reference)
  const { rows } = await client.query<Tenant>(
    'select t.id, t.slug from teams t where t.organization_id = $1 and (t.id = $2 or t.slug = $3) for key share',
    [organizationId, id, slug],
  )
  return rows[0]
}

const columnsOf = (reference: TenantReference): [id: string | null, slug: string | null] =>
  'id' in reference ? [reference.id, null] : [null, reference.slug]

async function lockedKey(client: PoolClient, id: string): Promise<Key | undefined> {
  const { rows } = await client.query<KeyRow>(`${selectKeys} where k.id = $1 for no key update of k`, [id])
  return rows[0] && keyOf(rows[0])
}

const auditKey = (client: PoolClient, entry: AuditEntry, action: string, before: Key | undefined, after: Key) =>
  recordAudit(client, entry, {
    action,
    subjectKind: 'api_key',
    subjectId: after.id,
    organizationId: after.organization.id,
    before,
    after,
  })

/** Commits what `work` did unless it refused or threw. */
async function inTransaction<T extends { ok: boolean }>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  let broken = false
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query(result.ok ? 'commit' : 'rollback')
    return result
  } catch (error) {
    // A connection that cannot even roll back is not given to anybody else.
    await client.query('rollback').catch(() => {
      broken = true
    })
    throw error
  } finally {
    client.release(broken)
  }
}

/** Two at once with the same secret, or the same file applied twice: the constraint is the one that notices. */
function refusalOfConflict(error: unknown): StoreRefusal {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown }
  if (code === '23505' && constraint === 'api_keys_secret_digest_key') return secretTaken()
  if (code === '23505' && constraint === 'api_keys_file_name') {
    return refusal('conflict', 'The configuration file declares two keys of this name.', 'name')
  }
  throw error
}

/** Does not say which key it is: whoever brings a secret may not be the one who may see that key. */
const secretTaken = (): StoreRefusal =>
  refusal('conflict', 'This secret is already a key, or was one. Every key needs a secret of its own.', 'secret')

const refusal = (code: Refusal['code'], message: string, ...path: string[]): StoreRefusal => ({
  ok: false,
  refusal: { code, message, path },
})

const bytesOf = (digests: readonly KeyDigest[]): Buffer[] => digests.map(({ bytes }) => bytes)

function keyOf(row: KeyRow): Key {
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
  }
}
