import type { Pool } from 'pg'
import type { AliasSettings } from './declared-configuration.ts'

/** The configuration as people look at it; routing itself reads a snapshot. */
export interface ListedRouting {
  /** By name. @param after - the name that the page before ended with */
  aliases(after: string | undefined, limit: number): Promise<ListedAlias[]>
  aliasesById(ids: readonly string[]): Promise<ListedAlias[]>
  /** The latest first. @param before - the version that the page before ended with */
  versions(before: string | undefined, limit: number): Promise<ListedVersion[]>
  /** Of the last so many milliseconds, the earliest first. */
  latestVersions(lastMs: number): Promise<ListedVersion[]>
}

export interface ListedAlias {
  id: string
  name: string
  description: string | null
  enabled: boolean
  managedBy: 'file' | 'admin'
  settings: AliasSettings
  billingKeyId: string | null
  targets: { provider: string; model: string; weight: number; priority: number; region: string | null }[]
}

export interface ListedVersion {
  /** A decimal. */
  version: string
  source: 'file' | 'admin' | 'catalog' | 'system'
  status: 'active' | 'rejected'
  problems: { path: string; message: string }[]
  createdAt: Date
}

const selectAliases = `
  select a.id, a.name, a.description, a.enabled, a.managed_by as "managedBy", a.settings,
    a.billing_key_id as "billingKeyId", (
      select coalesce(json_agg(json_build_object('provider', p.name, 'model', t.model, 'weight', t.weight,
        'priority', t.priority, 'region', t.region) order by t.priority, t.created_at, t.id), '[]')
      from alias_targets t join providers p on p.id = t.provider_id where t.alias_id = a.id
    ) as targets
  from model_aliases a`

export function createListedRouting(pool: Pool): ListedRouting {
  return {
    async aliases(after, limit) {
      const { rows } = await pool.query<ListedAlias>(
        `${selectAliases} where ($1::text is null or a.name > $1) order by a.name limit $2`,
        [after ?? null, limit],
      )
      return rows
    },
    async aliasesById(ids) {
      const { rows } = await pool.query<ListedAlias>(`${selectAliases} where a.id = any ($1)`, [ids])
      return rows
    },
    async latestVersions(lastMs) {
      const { rows } = await pool.query<ListedVersion>(
        `select v.version, v.source, v.status, v.problems, v.created_at as "createdAt"
         from (select * from config_versions order by version desc limit 1000) v
         where v.created_at > clock_timestamp() - $1 * interval '1 millisecond' order by v.version`,
        [lastMs],
      )
      return rows
    },
    async versions(before, limit) {
      const { rows } = await pool.query<ListedVersion>(
        `select v.version, v.source, v.status, v.problems, v.created_at as "createdAt"
         from config_versions v where ($1::bigint is null or v.version < $1) order by v.version desc limit $2`,
        [before ?? null, limit],
      )
      return rows
    },
  }
}
