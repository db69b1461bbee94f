import type { Pool, PoolClient } from 'pg'
import type { ProviderType } from '../providers/provider.ts'
import type { AliasSettings } from './declared-configuration.ts'
import type { LastGoodRouting } from './last-good-routing.ts'

/** The stored configuration of routing, all of it as of one moment. */
export interface StoredRouting {
  version: bigint
  providers: StoredProvider[]
  /** Enabled ones. */
  aliases: StoredAlias[]
}

export interface StoredProvider {
  id: string
  name: string
  type: ProviderType
  baseUrl: string | null
  settings: Readonly<Record<string, unknown>>
  passthroughModels: boolean
  enabled: boolean
  managedBy: 'builtin' | 'environment' | 'file' | 'admin'
  credentials: StoredCredential[]
}

/** A sealed secret; only the envelope that sealed it can open it. */
export interface StoredCredential {
  id: string
  field: string
  /** Scheme, host and port that the secret was entered for. */
  origin: string
  ciphertext: Buffer
  nonce: Buffer
  wrappedDataKey: Buffer
  keyEncryptionKeyId: string
}

export interface StoredAlias {
  name: string
  managedBy: 'file' | 'admin'
  createdS: number
  /** By priority, then in the order in which they were added. */
  targets: { providerId: string; model: string; weight: number; priority: number; region: string | null }[]
  settings: AliasSettings
  billingKeyId: string | null
}

const activeVersionSql = `
  select coalesce(max(v.version), 0) from config_versions v where v.status = 'active'`

// One statement sees one state of the database; several would need a transaction to.
const storedRoutingSql = `
  select (${activeVersionSql})::text as version,
    (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', p.id, 'name', p.name, 'type', p.type, 'baseUrl', p.base_url, 'settings', p.settings,
        'passthroughModels', p.passthrough_models, 'enabled', p.enabled, 'managedBy', p.managed_by,
        'credentials', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'id', c.id, 'field', c.field, 'origin', c.origin, 'ciphertext', encode(c.ciphertext, 'base64'),
            'nonce', encode(c.nonce, 'base64'), 'wrappedDataKey', encode(c.wrapped_data_key, 'base64'),
            'keyEncryptionKeyId', c.key_encryption_key_id) order by c.field), '[]')
          from provider_credentials c
          where c.provider_id = p.id)) order by p.name), '[]')
      from providers p
    ) as providers,
    (
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', a.name, 'managedBy', a.managed_by, 'settings', a.settings, 'billingKeyId', a.billing_key_id, 'createdS', floor(extract(epoch from a.created_at)),
        'targets', (
          select coalesce(jsonb_agg(jsonb_build_object(
            'providerId', t.provider_id, 'model', t.model, 'weight', t.weight, 'priority', t.priority,
            'region', t.region)
            order by t.priority, t.created_at, t.id), '[]')
          from alias_targets t
          where t.alias_id = a.id)) order by a.name), '[]')
      from model_aliases a
      where a.enabled
    ) as aliases`

const saveLastGoodSql = `
  insert into last_good_routing (version, providers, aliases)
  select now.version::bigint, now.providers, now.aliases from (${storedRoutingSql}) as now where now.version = $1
  on conflict (id) do update
  set version = excluded.version, providers = excluded.providers, aliases = excluded.aliases
  where last_good_routing.version < excluded.version`

interface StoredRoutingRow {
  version: string
  providers: (Omit<StoredProvider, 'credentials'> & { credentials: Record<keyof StoredCredential, string>[] })[]
  aliases: StoredAlias[]
}

/** @param database - a client sees what its transaction has changed */
export async function readStoredRouting(database: Pool | PoolClient): Promise<StoredRouting> {
  const { rows } = await database.query<StoredRoutingRow>(storedRoutingSql)
  return routingOf(rows[0] as StoredRoutingRow) // a select without a table gives one row
}

/** Copied by the database itself: what was sealed stays sealed, under the keys it is sealed with now. */
export function createLastGoodRouting(pool: Pool): LastGoodRouting {
  return {
    async save(version) {
      await pool.query(saveLastGoodSql, [String(version)])
    },
    async read() {
      const { rows } = await pool.query<StoredRoutingRow>(
        'select version::text, providers, aliases from last_good_routing',
      )
      return rows[0] && routingOf(rows[0])
    },
  }
}

function routingOf(row: StoredRoutingRow): StoredRouting {
  return {
    version: BigInt(row.version),
    providers: row.providers.map((provider) => ({ ...provider, credentials: provider.credentials.map(credentialOf) })),
    aliases: row.aliases,
  }
}

/** The newest version that was taken, which is what replicas watch. */
export async function readActiveVersion(pool: Pool): Promise<bigint> {
  const { rows } = await pool.query<{ version: string }>(`select (${activeVersionSql})::text as version`)
  return BigInt(rows[0]?.version ?? 0)
}

function credentialOf(credential: Record<keyof StoredCredential, string>): StoredCredential {
  return {
    ...credential,
    ciphertext: Buffer.from(credential.ciphertext, 'base64'),
    nonce: Buffer.from(credential.nonce, 'base64'),
    wrappedDataKey: Buffer.from(credential.wrappedDataKey, 'base64'),
  }
}
