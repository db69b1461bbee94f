import type { Pool, PoolClient } from 'pg'
import { searchPattern } from '../db/search-pattern.ts'
import { inDecidedTransaction } from '../db/transaction.ts'
import {
  changeKey,
  type KeyChange,
  type KeySecretRotation,
  type KeyUpdate,
  rotateKey,
  updateKey,
} from './key-changes.store.ts'
import type { KeyDigest } from './key-digest.ts'
import {
  auditKey,
  bytesOf,
  isTaken,
  type KeyRow,
  keyOf,
  lockedKey,
  refusal,
  type StoreRefusal,
  secretTaken,
  selectKeys,
  writeMetadata,
} from './key-rows.store.ts'
import type { Actor, Key, KeyDraft, KeyPage, KeyQuery, ManagedBy, Tenant, TenantReference } from './keys.ts'

/** Keys and their metadata in SQL. A change and its audit event commit together or not at all. */
export interface KeyStore {
  insert(key: NewKey): Promise<{ ok: true; key: Key } | StoreRefusal>
  change(change: KeyChange): Promise<{ ok: true; key: Key; changed: boolean } | StoreRefusal>
  update(update: KeyUpdate): Promise<{ ok: true; key: Key; changed: boolean } | StoreRefusal>
  /** Another secret; the one before goes on for a while, and the one before that no more. */
  rotate(rotation: KeySecretRotation): Promise<{ ok: true; key: Key } | StoreRefusal>
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

/** Where keys belong that name no organization. */
export const defaultOrganization = { slug: 'default', name: 'Default' }

export function createKeyStore(pool: Pool): KeyStore {
  return {
    insert: (key) => inDecidedTransaction(pool, (client) => insertKey(client, key)).catch(refusalOfConflict),
    change: (change) => inDecidedTransaction(pool, (client) => changeKey(client, change)),
    update: (update) => inDecidedTransaction(pool, (client) => updateKey(client, update)),
    rotate: (rotation) => inDecidedTransaction(pool, (client) => rotateKey(client, rotation)).catch(refusalOfConflict),

    async get(id) {
      const { rows } = await pool.query<KeyRow>(`${selectKeys} where k.id = $1`, [id])
      return rows[0] && keyOf(rows[0])
    },

    async getMany(ids) {
      const { rows } = await pool.query<KeyRow>(`${selectKeys} where k.id = any ($1)`, [ids])
      return rows.map(keyOf)
    },

    async findByDigests(digests) {
      const { rows } = await pool.query<KeyRow>(
        `${selectKeys} where k.secret_digest = any($1) or k.previous_secret_digest = any($1)`,
        [bytesOf(digests)],
      )
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
  if (await isTaken(client, digests)) return secretTaken()
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
  await writeMetadata(client, key.id, draft)
  const stored = await lockedKey(client, key.id)
  if (!stored) throw new Error('The key that was just stored is not there.')
  await auditKey(client, { id: key.auditId, actor }, 'key.create', undefined, stored)
  return { ok: true, key: stored }
}

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

/** Two at once with the same secret, or the same file applied twice: the constraint is the one that notices. */
function refusalOfConflict(error: unknown): StoreRefusal {
  const { code, constraint } = error as { code?: unknown; constraint?: unknown }
  const ofSecrets = ['api_keys_secret_digest_key', 'api_keys_previous_secret_digest_key']
  if (code === '23505' && ofSecrets.includes(String(constraint))) return secretTaken()
  if (code === '23505' && constraint === 'api_keys_file_name') {
    return refusal('conflict', 'The configuration file declares two keys of this name.', 'name')
  }
  throw error
}
