import type { Pool } from 'pg'
import type { Budget } from '../budgets/budget.ts'
import type { RateLimit } from '../limits/rate-limit.ts'
import type { UnpricedPolicy } from './caller.ts'
import type { KeyRecord, WarmKey } from './key-cache.ts'
import { equalDigests } from './key-digest.ts'

/** What the request path reads of keys: one query each, over its own pool. Rejects when the database does not answer. */
export interface KeyLookUp {
  /** @param digests - of one secret, under every pepper in use */
  findByDigests(digests: readonly Buffer[]): Promise<KeyRecord | undefined>
  findById(id: string): Promise<KeyRecord | undefined>
  /** Live keys with usage in the last day, the latest first. */
  recentlyUsed(pepperId: string, keysMax: number): Promise<WarmKey[]>
  /**
   * Keys that changed at or a little before `since`: a change may be reported more than once, and none is left out.
   *
   * @param since - as returned by the call before; undefined only asks where to begin
   */
  changedSince(since: string | undefined): Promise<KeyChanges>
}

export interface KeyChanges {
  changes: ChangedKey[]
  until: string
  /** Raised by every change of a rate limit or a budget, whomever it is about. */
  policyVersion: string
}

export interface ChangedKey {
  id: string
  /** When, as PostgreSQL writes it. */
  at: string
  /** It was revoked, and takes the calls under way with it. */
  endsCalls: boolean
}

interface KeyRow {
  id: string
  name: string
  organization_id: string
  team_id: string | null
  secret_digest: Buffer
  previous_secret_digest: Buffer | null
  previous_until_ms: number | null
  enabled: boolean
  revoked: boolean
  allowed_models: string[] | null
  unpriced_policy: UnpricedPolicy | null
  expires_at_ms: number | null
  changed_at: string
  tags: Record<string, string>
  rate_limits: RateLimitRow[]
  budgets: Budget[]
}

/** Numbers that a row may lack come as null. */
type RateLimitRow = { [Name in keyof RateLimit]: Exclude<RateLimit[Name], undefined> | null }

const columns = `
  k.id, k.name, k.organization_id, k.team_id, k.secret_digest, k.previous_secret_digest,
  floor(extract(epoch from k.previous_valid_until) * 1000)::float8 as previous_until_ms, k.enabled, k.revoked_at is not null as revoked,
  k.allowed_models, k.unpriced_policy, floor(extract(epoch from k.expires_at) * 1000)::float8 as expires_at_ms,
  k.updated_at::text as changed_at, coalesce(m.tags, '{}') as tags,
  (
    select coalesce(json_agg(json_build_object(
      'scope', case when r.api_key_id is not null then 'key' when r.team_id is not null then 'team' else 'organization' end,
      'scopeId', coalesce(r.api_key_id, r.team_id, r.organization_id), 'requestsPerMinute', r.requests_per_minute,
      'tokensPerMinute', r.tokens_per_minute, 'maxConcurrent', r.max_concurrent, 'algorithm', r.algorithm,
      'strict', r.strict)), '[]')
    from rate_limits r
    where r.api_key_id = k.id or r.team_id = k.team_id or r.organization_id = k.organization_id
  ) as rate_limits,
  (
    select coalesce(json_agg(json_build_object('id', b.id, 'scope', case
        when b.tag_key is not null then 'tag' when b.api_key_id is not null then 'key'
        when b.team_id is not null then 'team' else 'organization' end, 'period', b.period, 'timeZone', b.time_zone, 'mode', b.mode)
      order by b.id), '[]')
    from budgets b
    where (b.api_key_id is null or b.api_key_id = k.id)
      and (b.team_id is null or b.team_id = k.team_id)
      and (b.organization_id is null or b.organization_id = k.organization_id)
      and (b.tag_key is null or m.tags ->> b.tag_key = b.tag_value)
      and (b.api_key_id = k.id or b.team_id = k.team_id or b.organization_id = k.organization_id
        or (b.tag_key, b.tag_value) in (select t.key, t.value from jsonb_each_text(m.tags) t))
  ) as budgets`

const findByDigestsSql = `
  select ${columns}
  from api_keys k
  left join key_metadata m on m.api_key_id = k.id
  where k.secret_digest = any($1) or k.previous_secret_digest = any($1)`

const findByIdSql = `
  select ${columns}
  from api_keys k
  left join key_metadata m on m.api_key_id = k.id
  where k.id = $1`

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
    select coalesce(jsonb_agg(jsonb_build_object('id', k.id, 'at', k.updated_at::text, 'endsCalls', k.ends_calls)), '[]')
    from api_keys k
    where k.updated_at >= $1::timestamptz - interval '15 seconds'
  ) as changes, (select version::text from key_policy_version) as "policyVersion"`

export function createKeyLookUp(pool: Pool): KeyLookUp {
  return {
    async findByDigests(digests) {
      const { rows } = await pool.query<KeyRow>(findByDigestsSql, [digests])
      const isOneOf = (stored: Buffer | null): boolean =>
        stored !== null && digests.some((digest) => equalDigests(digest, stored))
      const row = rows.find((each) => isOneOf(each.secret_digest) || isOneOf(each.previous_secret_digest))
      if (!row) return undefined
      return recordOf(isOneOf(row.secret_digest) ? row : asPrevious(row))
    },

    async findById(id) {
      const { rows } = await pool.query<KeyRow>(findByIdSql, [id])
      return rows[0] && recordOf(rows[0])
    },

    async recentlyUsed(pepperId, keysMax) {
      const { rows } = await pool.query<KeyRow>(recentlyUsedSql, [pepperId, keysMax])
      return rows.map((row) => ({ digest: row.secret_digest.toString('latin1'), record: recordOf(row) }))
    },

    async changedSince(since) {
      const { rows } = await pool.query<KeyChanges>(changedSinceSql, [since ?? 'infinity'])
      return rows[0] as KeyChanges // a select without a table gives one row
    },
  }
}

/** The secret that was replaced ends with its overlap, if the key does not end before. */
const asPrevious = (row: KeyRow): KeyRow => ({
  ...row,
  expires_at_ms: Math.min(row.expires_at_ms ?? Number.POSITIVE_INFINITY, row.previous_until_ms ?? 0),
})

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
      rateLimits: Object.freeze(row.rate_limits.map(rateLimitOf)),
      budgets: Object.freeze(row.budgets),
    }),
    status: row.revoked ? 'revoked' : row.enabled ? 'active' : 'disabled',
    changedAt: row.changed_at,
  })
}

const rateLimitOf = (row: RateLimitRow): RateLimit =>
  Object.freeze({
    scope: row.scope as RateLimit['scope'],
    scopeId: row.scopeId as string,
    requestsPerMinute: row.requestsPerMinute ?? undefined,
    tokensPerMinute: row.tokensPerMinute ?? undefined,
    maxConcurrent: row.maxConcurrent ?? undefined,
    algorithm: row.algorithm as RateLimit['algorithm'],
    strict: row.strict === true,
  })
