import type { Pool } from 'pg'
import type { RateLimit } from './rate-limit.ts'

type RateLimitRow = { [Name in keyof RateLimit]: Exclude<RateLimit[Name], undefined> | null }

const limitsOfKeySql = `
  select
    case when r.api_key_id is not null then 'key' when r.team_id is not null then 'team' else 'organization' end as scope,
    coalesce(r.api_key_id, r.team_id, r.organization_id) as "scopeId", r.requests_per_minute::float8 as "requestsPerMinute",
    r.tokens_per_minute::float8 as "tokensPerMinute", r.max_concurrent as "maxConcurrent", r.algorithm, r.strict
  from api_keys k
  join rate_limits r on r.api_key_id = k.id or r.team_id = k.team_id or r.organization_id = k.organization_id
  where k.id = $1
  order by r.api_key_id, r.team_id`

/** Of a key, its team and its organization, in this order, as far as they have any. */
export async function readLimitsOfKey(pool: Pool, keyId: string): Promise<RateLimit[]> {
  const { rows } = await pool.query<RateLimitRow>(limitsOfKeySql, [keyId])
  return rows.map((row) => ({
    scope: row.scope as RateLimit['scope'],
    scopeId: row.scopeId as string,
    requestsPerMinute: row.requestsPerMinute ?? undefined,
    tokensPerMinute: row.tokensPerMinute ?? undefined,
    maxConcurrent: row.maxConcurrent ?? undefined,
    algorithm: row.algorithm as RateLimit['algorithm'],
    strict: row.strict === true,
  }))
}
