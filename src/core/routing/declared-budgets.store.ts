import { removeBudgets } from '../budgets/remove-budgets.store.ts'
import { canonicalJson, type DeclaredChange, recordAudit } from './declared-change.ts'
import type { DeclaredBudget, DeclaredScopeBudget } from './declared-configuration.ts'
import { ensureOwner } from './declared-owners.store.ts'

/** A budget as the audit trail shows it, and as the declared one and the stored one can be compared. */
export interface BudgetState {
  period: string
  timeZone: string
  mode: string
  /** Nano-USD. */
  amountNano: string
  alertThresholdsPercent: readonly number[]
  /** What the file has given and is not over; null else. `until` is ISO 8601, UTC. */
  temporaryIncrease: { amountNano: string; until: string } | null
}

/** The same of a row `b` of `budgets`; the first parameter is the moment of the change. */
export const budgetStateSql = `json_build_object('period', b.period, 'timeZone', b.time_zone, 'mode', b.mode,
  'amountNano', b.amount_nano::text, 'alertThresholdsPercent', b.alert_thresholds_percent, 'temporaryIncrease', case
    when b.temporary_increase_by = 'file' and b.temporary_increase_until > $1
    then json_build_object('amountNano', b.temporary_increase_nano::text, 'until',
      to_char(b.temporary_increase_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
  end)`

export function budgetStateOf(budget: DeclaredBudget, at: Date): BudgetState {
  const { amountNano, period, timeZone, mode, alertThresholdsPercent, temporaryIncrease: increase } = budget
  return {
    period,
    timeZone,
    mode,
    amountNano: amountNano.toString(),
    alertThresholdsPercent,
    temporaryIncrease:
      increase && increase.untilMs > at.getTime()
        ? { amountNano: increase.amountNano.toString(), until: new Date(increase.untilMs).toISOString() }
        : null,
  }
}

/** Of one key; its audit event is the key's. @returns ids of budgets that are to be removed with all others */
export async function writeKeyBudgets(
  change: DeclaredChange,
  keyId: string,
  declared: readonly DeclaredBudget[],
): Promise<string[]> {
  const { rows } = await change.client.query<{ id: string; state: BudgetState }>(
    `select b.id, ${budgetStateSql} as state from budgets b where b.api_key_id = $2 and b.managed_by = 'file'`,
    [change.at, keyId],
  )
  const isDeclared = ({ state }: { state: BudgetState }): boolean =>
    declared.some(({ period, timeZone }) => period === state.period && timeZone === state.timeZone)
  for (const budget of declared) {
    const after = budgetStateOf(budget, change.at)
    const row = rows.find(({ state }) => state.period === after.period && state.timeZone === after.timeZone)
    if (!row) await insertBudget(change, { ...nobody, apiKeyId: keyId }, after)
    else if (canonicalJson(row.state) !== canonicalJson(after)) await updateBudget(change, row.id, row.state, after)
  }
  return rows.filter((row) => !isDeclared(row)).map(({ id }) => id)
}

/**
 * Those of organizations, teams and tags. A budget is found again by its owner, period and time zone; whatever else
 * changes, it stays the same one and what was spent of it stays spent. Budgets that an administrator has made are others.
 *
 * @param vanishedOfKeys - ids of budgets of keys, to be removed as well
 */
export async function applyBudgets(
  change: DeclaredChange,
  declared: readonly DeclaredScopeBudget[],
  vanishedOfKeys: readonly string[],
): Promise<void> {
  const stored = await loadScopeBudgets(change)
  const storedByName = new Map(stored.map((row) => [nameOf(row, row.state), row]))
  const kept = new Set<string>()
  for (const budget of declared) {
    const after = budgetStateOf(budget, change.at)
    const row = storedByName.get(nameOf(budget, after))
    if (row) kept.add(row.id)
    if (row && canonicalJson(row.state) === canonicalJson(after)) continue
    const { organization, team, tag } = budget
    const owner = organization === undefined ? undefined : await ensureOwner(change, { organization, team })
    let id = row?.id
    if (row) await updateBudget(change, row.id, row.state, after)
    else {
      // A team belongs to one organization; naming that as well would only be another way to be wrong.
      const organizationId = owner && owner.teamId === null ? owner.organizationId : null
      id = await insertBudget(change, { apiKeyId: null, teamId: owner?.teamId ?? null, organizationId, tag }, after)
    }
    await auditBudget(change, row ? 'budget.update' : 'budget.create', {
      id: id as string,
      organizationId: owner?.organizationId,
      before: row && { ...ownerOf(row), ...row.state },
      after: { ...ownerOf(budget), ...after },
    })
  }
  const vanished = stored.filter(({ id }) => !kept.has(id))
  await removeBudgets(change.client, [...vanishedOfKeys, ...vanished.map(({ id }) => id)])
  for (const row of vanished) {
    await auditBudget(change, 'budget.remove', {
      id: row.id,
      organizationId: row.organizationId ?? undefined,
      before: { ...ownerOf(row), ...row.state },
    })
  }
}

interface ScopeBudgetRow extends Pick<DeclaredScopeBudget, 'organization' | 'team' | 'tag'> {
  id: string
  organizationId: string | null
  state: BudgetState
}

async function loadScopeBudgets({ client, at }: DeclaredChange): Promise<ScopeBudgetRow[]> {
  const { rows } = await client.query<{
    id: string
    organization_id: string | null
    organization: string | null
    team: string | null
    tag_key: string | null
    tag_value: string
    state: BudgetState
  }>(
    `select b.id, o.id as organization_id, o.slug as organization, t.slug as team, b.tag_key, b.tag_value,
       ${budgetStateSql} as state
     from budgets b
     left join teams t on t.id = b.team_id
     left join organizations o on o.id = coalesce(b.organization_id, t.organization_id)
     where b.managed_by = 'file' and b.api_key_id is null`,
    [at],
  )
  return rows.map((row) => ({
    id: row.id,
    organizationId: row.organization_id,
    organization: row.organization ?? undefined,
    team: row.team ?? undefined,
    tag: row.tag_key === null ? undefined : { name: row.tag_key, value: row.tag_value },
    state: row.state,
  }))
}

type Owned = Pick<DeclaredScopeBudget, 'organization' | 'team' | 'tag'>

const ownerOf = ({ organization, team, tag }: Owned): object => ({
  organization: organization ?? null,
  team: team ?? null,
  tag: tag ?? null,
})

const nameOf = (owned: Owned, { period, timeZone }: BudgetState): string =>
  canonicalJson({ ...ownerOf(owned), period, timeZone })

interface OwnerColumns {
  apiKeyId: string | null
  teamId: string | null
  organizationId: string | null
  tag: DeclaredScopeBudget['tag']
}

const nobody: OwnerColumns = { apiKeyId: null, teamId: null, organizationId: null, tag: undefined }

async function insertBudget(change: DeclaredChange, owner: OwnerColumns, state: BudgetState): Promise<string> {
  const id = change.newId()
  const { period, timeZone, amountNano, mode, alertThresholdsPercent, temporaryIncrease: increase } = state
  await change.client.query(
    `insert into budgets (id, api_key_id, team_id, organization_id, tag_key, tag_value, period, time_zone, amount_nano,
       mode, alert_thresholds_percent, temporary_increase_nano, temporary_increase_until, temporary_increase_by, managed_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'file')`,
    [
      ...[id, owner.apiKeyId, owner.teamId, owner.organizationId, owner.tag?.name ?? null, owner.tag?.value ?? null],
      ...[period, timeZone, amountNano, mode, alertThresholdsPercent],
      ...[increase?.amountNano ?? '0', increase?.until ?? null, increase && 'file'],
    ],
  )
  return id
}

async function updateBudget(
  { client }: DeclaredChange,
  id: string,
  before: BudgetState,
  { amountNano, mode, alertThresholdsPercent, temporaryIncrease: increase }: BudgetState,
): Promise<void> {
  await client.query('update budgets set amount_nano = $2, mode = $3, alert_thresholds_percent = $4 where id = $1', [
    id,
    amountNano,
    mode,
    alertThresholdsPercent,
  ])
  // Without one of the file, before and after, whatever an operator has given stays.
  if (canonicalJson(before.temporaryIncrease) === canonicalJson(increase)) return
  await client.query(
    `update budgets
     set temporary_increase_nano = $2, temporary_increase_until = $3, temporary_increase_by = $4
     where id = $1`,
    [id, increase?.amountNano ?? '0', increase?.until ?? null, increase && 'file'],
  )
}

function auditBudget(
  change: DeclaredChange,
  action: string,
  event: { id: string; organizationId: string | undefined; before?: object | undefined; after?: object | undefined },
): Promise<void> {
  const { id, organizationId, before, after } = event
  return recordAudit(change, {
    actor: 'file',
    action,
    subjectKind: 'budget',
    subjectId: id,
    organizationId,
    before,
    after,
  })
}
