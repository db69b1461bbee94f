import type { Pool, PoolClient } from 'pg'
import { recordAudit } from '../access/audit-trail.store.ts'
import type { VisibleTenants } from '../access/principal.ts'
import type { Clock } from '../clock.ts'
import { inDecidedTransaction } from '../db/transaction.ts'
import type { IdSource } from '../ids.ts'
import type { Actor } from '../keys/keys.ts'
import { type Refused, refused } from '../refusal.ts'
import type { LimitAlgorithm, LimitScope, RateLimit } from './rate-limit.ts'

/** Rate limits as administrators see and set them: one for each key, team and organization. */
export interface ManagedLimits {
  /** The oldest first. */
  page(query: LimitQuery): Promise<ListedLimit[]>
  byId(ids: readonly string[]): Promise<ListedLimit[]>
  /** Of keys, teams and organizations, by their ids. */
  ofOwners(ownerIds: readonly string[]): Promise<ListedLimit[]>
  /** In place of the one that there may be. @returns the id, as both */
  set(owner: LimitOwner, draft: LimitDraft, actor: Actor): Promise<LimitOutcome>
  remove(id: string, actor: Actor): Promise<LimitOutcome>
}

export type LimitOutcome = { ok: true; value: string } | Refused

export interface LimitQuery {
  visible: VisibleTenants
  /** The id that the page before ended with. */
  after: string | undefined
  limit: number
}

export interface ListedLimit {
  id: string
  managedBy: 'file' | 'admin' | 'operator'
  organizationId: string
  /** Also of a key that is in one. */
  teamId: string | null
  keyId: string | null
  /** As the limiter knows it. */
  limit: RateLimit
}

/** It is there. */
export interface LimitOwner {
  scope: LimitScope
  id: string
  organizationId: string
}

export interface LimitDraft {
  requestsPerMinute: number | undefined
  tokensPerMinute: number | undefined
  maxConcurrent: number | undefined
  algorithm: LimitAlgorithm
  strict: boolean
}

export interface ManagedLimitsDeps {
  pool: Pool
  clock: Clock
  newId: IdSource
  /** Told after the change is committed. */
  changed(): void
}

interface LimitRow extends Omit<ListedLimit, 'limit'> {
  scope: LimitScope
  scopeId: string
  requestsPerMinute: number | null
  tokensPerMinute: number | null
  maxConcurrent: number | null
  algorithm: LimitAlgorithm
  strict: boolean
}

const selectLimits = `
  select r.id, r.managed_by as "managedBy",
    coalesce(r.organization_id, t.organization_id, k.organization_id) as "organizationId",
    coalesce(r.team_id, k.team_id) as "teamId", r.api_key_id as "keyId",
    case when r.api_key_id is not null then 'key' when r.team_id is not null then 'team' else 'organization' end as scope,
    coalesce(r.api_key_id, r.team_id, r.organization_id) as "scopeId",
    r.requests_per_minute::float8 as "requestsPerMinute", r.tokens_per_minute::float8 as "tokensPerMinute",
    r.max_concurrent as "maxConcurrent", r.algorithm, r.strict
  from rate_limits r
  left join api_keys k on k.id = r.api_key_id
  left join teams t on t.id = r.team_id`

export function createManagedLimits({ pool, clock, newId, changed }: ManagedLimitsDeps): ManagedLimits {
  const read = async (where: string, values: unknown[]): Promise<ListedLimit[]> =>
    (await pool.query<LimitRow>(`${selectLimits} ${where}`, values)).rows.map(listedOf)
  const id = (): string => newId(clock.nowMs())
  const change = async (work: (client: PoolClient) => Promise<LimitOutcome>): Promise<LimitOutcome> => {
    const outcome = await inDecidedTransaction(pool, work)
    if (outcome.ok) changed()
    return outcome
  }
  return {
    page: ({ visible, after, limit }) =>
      read(
        `where ($1 or coalesce(r.organization_id, t.organization_id, k.organization_id) = any ($2)
           or coalesce(r.team_id, k.team_id) = any ($3)) and ($4::uuid is null or r.id > $4)
         order by r.id limit $5`,
        [visible.everything, visible.organizationIds, visible.teamIds, after ?? null, limit],
      ),
    byId: (ids) => read('where r.id = any ($1)', [ids]),
    ofOwners: (ids) =>
      read('where r.api_key_id = any ($1) or r.team_id = any ($1) or r.organization_id = any ($1)', [ids]),
    async set(owner, draft, actor) {
      const problem = problemOf(draft)
      if (problem) return problem
      return change((client) => set(client, owner, draft, { id: id(), auditId: id(), actor }))
    },
    remove: (limitId, actor) => change((client) => remove(client, { id: limitId, auditId: id(), actor })),
  }
}

interface Change {
  id: string
  auditId: string
  actor: Actor
}

const ownerColumns = { key: 'api_key_id', team: 'team_id', organization: 'organization_id' } as const

async function set(
  client: PoolClient,
  owner: LimitOwner,
  draft: LimitDraft,
  { id, auditId, actor }: Change,
): Promise<LimitOutcome> {
  const column = ownerColumns[owner.scope]
  const before = await locked(client, `r.${column} = $1`, owner.id)
  if (before?.managedBy === 'file') return ofFile('ownerId')
  const { requestsPerMinute, tokensPerMinute, maxConcurrent, algorithm, strict } = draft
  const { rows } = await client.query<{ id: string }>(
    `insert into rate_limits (id, ${column}, requests_per_minute, tokens_per_minute, max_concurrent, algorithm, strict,
       managed_by)
     values ($1, $2, $3, $4, $5, $6, $7, 'admin')
     on conflict (api_key_id, team_id, organization_id) do update
     set requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute,
       max_concurrent = excluded.max_concurrent, algorithm = excluded.algorithm, strict = excluded.strict,
       managed_by = excluded.managed_by
     returning id`,
    [...[id, owner.id, requestsPerMinute ?? null, tokensPerMinute ?? null, maxConcurrent ?? null, algorithm, strict]],
  )
  const [row] = rows as [{ id: string }] // an insert that updates on conflict returns its row
  await recordAudit(
    client,
    { id: auditId, actor },
    {
      action: before ? 'rate_limit.update' : 'rate_limit.create',
      subjectKind: 'rate_limit',
      subjectId: row.id,
      organizationId: owner.organizationId,
      before: before?.limit,
      after: { scope: owner.scope, scopeId: owner.id, ...draft },
    },
  )
  return { ok: true, value: row.id }
}

async function remove(client: PoolClient, { id, auditId, actor }: Change): Promise<LimitOutcome> {
  const before = await locked(client, 'r.id = $1', id)
  if (!before) return refused('not_found', 'There is no such rate limit.', 'rateLimitId')
  if (before.managedBy === 'file') return ofFile('rateLimitId')
  await client.query('delete from rate_limits where id = $1', [id])
  await recordAudit(
    client,
    { id: auditId, actor },
    {
      action: 'rate_limit.remove',
      subjectKind: 'rate_limit',
      subjectId: id,
      organizationId: before.organizationId,
      before: before.limit,
    },
  )
  return { ok: true, value: id }
}

async function locked(client: PoolClient, where: string, id: string): Promise<ListedLimit | undefined> {
  const { rows } = await client.query<LimitRow>(`${selectLimits} where ${where} for update of r`, [id])
  return rows[0] && listedOf(rows[0])
}

const ofFile = (field: string): Refused =>
  refused('managed_by_file', 'The rate limit is declared in the configuration file; change it there.', field)

const numbersMax = { requestsPerMinute: 1_000_000_000, tokensPerMinute: 1_000_000_000_000, maxConcurrent: 1_000_000 }

function problemOf(draft: LimitDraft): Refused | undefined {
  const names = Object.keys(numbersMax) as (keyof typeof numbersMax)[]
  if (names.every((name) => draft[name] === undefined)) {
    return refused('invalid', 'Give at least one of requestsPerMinute, tokensPerMinute and maxConcurrent.')
  }
  const wrong = names.find((name) => {
    const value = draft[name]
    return value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= numbersMax[name])
  })
  return wrong && refused('invalid', `Expected a whole number from 1 to ${numbersMax[wrong]}.`, wrong)
}

const listedOf = ({ id, managedBy, organizationId, teamId, keyId, ...limit }: LimitRow): ListedLimit => ({
  id,
  managedBy,
  organizationId,
  teamId,
  keyId,
  limit: {
    ...limit,
    requestsPerMinute: limit.requestsPerMinute ?? undefined,
    tokensPerMinute: limit.tokensPerMinute ?? undefined,
    maxConcurrent: limit.maxConcurrent ?? undefined,
  },
})
