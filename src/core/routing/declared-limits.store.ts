import { canonicalJson, type DeclaredChange, type DeclaredNotice, recordAudit } from './declared-change.ts'
import type { DeclaredRateLimits, DeclaredScopeLimits } from './declared-configuration.ts'
import { ensureOwner, type Owner } from './declared-owners.store.ts'

/** Rate limits as the audit trail shows them, and as the declared and the stored ones can be compared. */
export interface LimitsState {
  requestsPerMinute: number | null
  tokensPerMinute: number | null
  maxConcurrent: number | null
  algorithm: string
  strict: boolean
}

/** The same of a row `r` of `rate_limits`. */
export const limitsStateSql = `json_build_object('requestsPerMinute', r.requests_per_minute,
  'tokensPerMinute', r.tokens_per_minute, 'maxConcurrent', r.max_concurrent, 'algorithm', r.algorithm, 'strict', r.strict)`

export const limitsStateOf = (limits: DeclaredRateLimits | undefined): LimitsState | null =>
  limits
    ? {
        requestsPerMinute: limits.requestsPerMinute ?? null,
        tokensPerMinute: limits.tokensPerMinute ?? null,
        maxConcurrent: limits.maxConcurrent ?? null,
        algorithm: limits.algorithm,
        strict: limits.strict,
      }
    : null

/** There is one limit for each owner, and the file does not take one over that was made elsewhere. */
export async function rateLimitRefusals(
  change: DeclaredChange,
  declared: readonly DeclaredScopeLimits[],
): Promise<DeclaredNotice[]> {
  const others = new Set((await loadScopeLimits(change)).filter(({ isFile }) => !isFile).map(nameOf))
  return declared.map(nameOf).flatMap((name) =>
    others.has(name)
      ? {
          path: `rateLimits[${name}]`,
          message: 'is a limit that an administrator manages already; remove one of the two',
        }
      : [],
  )
}

/** Those of organizations and teams. */
export async function applyRateLimits(change: DeclaredChange, declared: readonly DeclaredScopeLimits[]): Promise<void> {
  const stored = (await loadScopeLimits(change)).filter(({ isFile }) => isFile)
  const storedByName = new Map(stored.map((row) => [nameOf(row), row]))
  for (const limits of declared) {
    const name = nameOf(limits)
    const row = storedByName.get(name)
    storedByName.delete(name)
    const after = limitsStateOf(limits) as LimitsState // null only for what is not declared
    if (row && canonicalJson(row.state) === canonicalJson(after)) continue
    const owner = await ensureOwner(change, limits)
    const id = await writeLimits(change, columnsOf(owner), after)
    await auditLimits(change, row ? 'rate_limit.update' : 'rate_limit.create', {
      id,
      organizationId: owner.organizationId,
      before: row && { ...ownerOf(row), ...row.state },
      after: { ...ownerOf(limits), ...after },
    })
  }
  for (const row of storedByName.values()) {
    await change.client.query('delete from rate_limits where id = $1', [row.id])
    await auditLimits(change, 'rate_limit.remove', {
      id: row.id,
      organizationId: row.organizationId,
      before: { ...ownerOf(row), ...row.state },
    })
  }
}

/** Of one key that the file manages: its limits are the file's, whoever wrote them. Its audit event is the key's. */
export async function writeKeyLimits(
  change: DeclaredChange,
  keyId: string,
  before: LimitsState | null,
  after: LimitsState | null,
): Promise<void> {
  if (canonicalJson(before) === canonicalJson(after)) return
  if (after) await writeLimits(change, { apiKeyId: keyId }, after)
  else await change.client.query('delete from rate_limits where api_key_id = $1', [keyId])
}

type LimitOwner = { apiKeyId: string } | { teamId: string } | { organizationId: string }

/** @returns the id of the row */
async function writeLimits({ client, newId }: DeclaredChange, owner: LimitOwner, after: LimitsState): Promise<string> {
  const { apiKeyId, teamId, organizationId } = { apiKeyId: null, teamId: null, organizationId: null, ...owner }
  const { rows } = await client.query<{ id: string }>(
    `insert into rate_limits (id, api_key_id, team_id, organization_id, requests_per_minute, tokens_per_minute,
       max_concurrent, algorithm, strict, managed_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'file')
     on conflict (api_key_id, team_id, organization_id) do update
     set requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute,
       max_concurrent = excluded.max_concurrent, algorithm = excluded.algorithm, strict = excluded.strict,
       managed_by = excluded.managed_by
     returning id`,
    [
      ...[newId(), apiKeyId, teamId, organizationId, after.requestsPerMinute, after.tokensPerMinute],
      ...[after.maxConcurrent, after.algorithm, after.strict],
    ],
  )
  const [row] = rows as [{ id: string }] // an insert that updates on conflict returns its row
  return row.id
}

const columnsOf = ({ organizationId, teamId }: Owner): LimitOwner => (teamId === null ? { organizationId } : { teamId })

interface ScopeLimitsRow {
  id: string
  organizationId: string
  organization: string
  team: string | undefined
  isFile: boolean
  state: LimitsState
}

async function loadScopeLimits({ client }: DeclaredChange): Promise<ScopeLimitsRow[]> {
  const { rows } = await client.query<Omit<ScopeLimitsRow, 'team'> & { team: string | null }>(
    `select r.id, o.id as "organizationId", o.slug as organization, t.slug as team, r.managed_by = 'file' as "isFile",
       ${limitsStateSql} as state
     from rate_limits r
     left join teams t on t.id = r.team_id
     join organizations o on o.id = coalesce(r.organization_id, t.organization_id)`,
  )
  return rows.map((row) => ({ ...row, team: row.team ?? undefined }))
}

type Owned = Pick<DeclaredScopeLimits, 'organization' | 'team'>

const nameOf = ({ organization, team }: Owned): string =>
  team === undefined ? organization : `${organization}/${team}`

const ownerOf = ({ organization, team }: Owned): object => ({ organization, team: team ?? null })

function auditLimits(
  change: DeclaredChange,
  action: string,
  event: { id: string; organizationId: string; before?: object | undefined; after?: object | undefined },
): Promise<void> {
  const { id, organizationId, before, after } = event
  return recordAudit(change, {
    actor: 'file',
    action,
    subjectKind: 'rate_limit',
    subjectId: id,
    organizationId,
    before,
    after,
  })
}
