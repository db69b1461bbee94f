import type { Pool } from 'pg'
import type { UnpricedPolicy } from './caller.ts'
import type { KeyRecord, WarmKey } from './key-cache.ts'
import { equalDigests } from './key-digest.ts'

/** What the request path reads of keys: one query each, over its own pool. Rejects when the database does not answer. */
export interface KeyLookUp {
  /** @param digests - of one secret, under every pepper in use */
  findByDigests(digests: readonly Buffer[]): Promise<KeyRecord | undefined>
  /** Live keys with usage in the last day, the latest first. */
  recentlyUsed(pepperId: string, keysMax: number): Promise<WarmKey[]>
  /**
   * Keys that changed at or a little before `since`: a change may be reported more than once, and none is left out.
   *
   * @param since - as returned by the call before; undefined only asks where to begin
   */
  changedSince(since: string | undefined): Promise<{ changes: ChangedKey[]; until: string }>
}

export interface ChangedKey {
  id: string
  /** When, as PostgreSQL writes it. */
  at: string
}

interface KeyRow {
  id: string
  name: string
  organization_id: string
  team_id: string | null
  secret_digest: Buffer
  enabled: boolean
  revoked: boolean
  allowed_models: string[] | null
  unpriced_policy: UnpricedPolicy | null
  expires_at_ms: number | null
  tags: Record<string, string>
}

const columns = `
  k.id, k.name, k.organization_id, k.team_id, k.secret_digest, k.enabled, k.revoked_at is not null as revoked,
  k.allowed_models, k.unpriced_policy, floor(extract(epoch from k.expires_at) * 1000)::float8 as expires_at_ms,
  coalesce(m.tags, '{}') as tags`

const findByDigestsSql = `
  select ${columns}
  from api_keys k
  left join key_metadata m on m.api_key_id = k.id
  where k.secret_digest = any($1)`

// From the hourly rollup: the raw usage table is far too large to look for keys in.
const recentlyUsedSql = `
  select ${columns}
  from api_keys k
  join (
    select h.key_id, max(h.bucket) as bucket
    from usage_hourly h
    where h.bucket >= now() - interval '1 day'
    group by h.key_id
  ) used on used.key_id = k.id
  left join key_metadata m on m.api_key_id = k.id
  where k.pepper_id = $1 and k.enabled and k.revoked_at is null
  order by used.bucket desc, k.id
  limit $2`

// The overlap is longer than any transaction may take, for a row carries the time of its statement, not of its commit.
const changedSinceSql = `
  select clock_timestamp()::text as until, (
    select coalesce(jsonb_agg(jsonb_build_object('id', k.id, 'at', k.updated_at::text)), '[]')
    from api_keys k
    where k.updated_at >= $1::timestamptz - interval '15 seconds'
  ) as changes`

export function createKeyLookUp(pool: Pool): KeyLookUp {
  return {
    async findByDigests(digests) {
      const { rows } = await pool.query<KeyRow>(findByDigestsSql, [digests])
      const row = rows.find((each) => digests.some((digest) => equalDigests(digest, each.secret_digest)))
      return row && recordOf(row)
    },

    async recentlyUsed(pepperId, keysMax) {
      const { rows } = await pool.query<KeyRow>(recentlyUsedSql, [pepperId, keysMax])
      return rows.map((row) => ({ digest: row.secret_digest.toString('latin1'), record: recordOf(row) }))
    },

    async changedSince(since) {
      const { rows } = await pool.query<{ changes: ChangedKey[]; until: string }>(changedSinceSql, [
        since ?? 'infinity',
      ])
      return rows[0] as { changes: ChangedKey[]; until: string } // a select without a table gives one row
    },
  }
}

function recordOf(row: KeyRow): KeyRecord {
  return Object.freeze({
    caller: Object.freeze({
      keyId: row.id,
      keyName: row.name,
      organizationId: row.organization_id,
      teamId: row.team_id,
      allowedModels: row.allowed_models === null ? undefined : Object.freeze(row.allowed_models),
      expiresAtMs: row.expires_at_ms ?? undefined,
      unpricedPolicy: row.unpriced_policy ?? undefined,
      tags: Object.freeze(row.tags),
    }),
    status: row.revoked ? 'revoked' : row.enabled ? 'active' : 'disabled',
  })
}
