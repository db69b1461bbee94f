import type { Pool, PoolClient } from 'pg'
import { recordAudit } from '../access/audit-trail.store.ts'
import type { Clock } from '../clock.ts'
import { inDecidedTransaction } from '../db/transaction.ts'
import type { IdSource } from '../ids.ts'
import type { Actor } from '../keys/keys.ts'
import { type Refused, refused } from '../refusal.ts'
import type { BudgetMode, BudgetPeriod } from './budget.ts'
import { budgetPeriodAt } from './budget-period.ts'
import { removeBudgets } from './remove-budgets.store.ts'

/** Budgets that administrators make; those of the file are changed there. A change and its audit event commit together. */
export interface ManagedBudgets {
  /** @returns the id, as all of these */
  create(draft: BudgetDraft, actor: Actor): Promise<BudgetOutcome>
  update(id: string, patch: BudgetPatch, actor: Actor): Promise<BudgetOutcome>
  /** What was spent of it stays on record with the calls. */
  remove(id: string, actor: Actor): Promise<BudgetOutcome>
}

export type BudgetOutcome = { ok: true; value: string } | Refused

export interface BudgetDraft {
  owner: NewBudgetOwner
  period: BudgetPeriod
  timeZone: string
  mode: BudgetMode
  /** Nano-USD. */
  amountNano: bigint
  alertThresholdsPercent: readonly number[]
}

/** A key, a team or an organization; or keys with a tag, in an organization or anywhere. They are there. */
export interface NewBudgetOwner {
  keyId?: string | undefined
  teamId?: string | undefined
  organizationId?: string | undefined
  tag?: { name: string; value: string } | undefined
  /** Where it goes on record. */
  placeOrganizationId: string | undefined
}

/** What is undefined stays. */
export interface BudgetPatch {
  mode?: BudgetMode | undefined
  amountNano?: bigint | undefined
  alertThresholdsPercent?: readonly number[] | undefined
}

export interface ManagedBudgetsDeps {
  pool: Pool
  clock: Clock
  newId: IdSource
  /** Told after the change is committed. */
  changed(): void
}

const amountNanoMax = 1_000_000_000n * 1_000_000_000n
const thresholdsMax = 10

export function createManagedBudgets({ pool, clock, newId, changed }: ManagedBudgetsDeps): ManagedBudgets {
  const id = (): string => newId(clock.nowMs())
  const change = async (work: (client: PoolClient) => Promise<BudgetOutcome>): Promise<BudgetOutcome> => {
    const outcome = await inDecidedTransaction(pool, work)
    if (outcome.ok) changed()
    return outcome
  }
  return {
    async create(draft, actor) {
      const problem = problemOf(draft) ?? zoneProblem(draft.timeZone)
      if (problem) return problem
      return change((client) => create(client, draft, { id: id(), auditId: id(), actor }))
    },
    async update(budgetId, patch, actor) {
      const problem = problemOf(patch)
      if (problem) return problem
      return change((client) => update(client, patch, { id: budgetId, auditId: id(), actor }))
    },
    remove: (budgetId, actor) => change((client) => remove(client, { id: budgetId, auditId: id(), actor })),
  }
}

interface Change {
  id: string
  auditId: string
  actor: Actor
}

interface BudgetRow {
  managedBy: string
  organizationId: string | null
  period: string
  timeZone: string
  mode: BudgetMode
  amountNano: string
  alertThresholdsPercent: readonly number[]
}

async function create(client: PoolClient, draft: BudgetDraft, { id, auditId, actor }: Change): Promise<BudgetOutcome> {
  const { owner, period, timeZone, mode, amountNano, alertThresholdsPercent } = draft
  const { keyId = null, teamId = null, organizationId = null, tag, placeOrganizationId } = owner
  // Two at once would both find none.
  await client.query('lock table budgets in share row exclusive mode')
  const { rowCount } = await client.query(
    `select from budgets b
     where (b.api_key_id, b.team_id, b.organization_id, b.tag_key, b.tag_value)
         is not distinct from ($1::uuid, $2::uuid, $3::uuid, $4::text, $5::text)
       and b.period = $6 and b.time_zone = $7`,
    [keyId, teamId, organizationId, tag?.name ?? null, tag?.value ?? null, period, timeZone],
  )
  if (rowCount) return refused('conflict', 'There is a budget of this period already; change that one.', 'period')
  await client.query(
    `insert into budgets (id, api_key_id, team_id, organization_id, tag_key, tag_value, period, time_zone, mode,
       amount_nano, alert_thresholds_percent, managed_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'admin')`,
    [
      ...[id, keyId, teamId, organizationId, tag?.name ?? null, tag?.value ?? null, period, timeZone, mode],
      ...[amountNano.toString(), alertThresholdsPercent],
    ],
  )
  await recordAudit(
    client,
    { id: auditId, actor },
    {
      action: 'budget.create',
      subjectKind: 'budget',
      subjectId: id,
      organizationId: placeOrganizationId,
      after: {
        ...{ keyId, teamId, organizationId, tag: tag ?? null, period, timeZone, mode },
        ...{ amountNano: amountNano.toString(), alertThresholdsPercent },
      },
    },
  )
  return { ok: true, value: id }
}

async function update(client: PoolClient, patch: BudgetPatch, { id, auditId, actor }: Change): Promise<BudgetOutcome> {
  const found = await locked(client, id)
  if (!found.ok) return found
  const { mode, amountNano, alertThresholdsPercent } = found.row
  const after = {
    mode: patch.mode ?? mode,
    amountNano: patch.amountNano?.toString() ?? amountNano,
    alertThresholdsPercent: patch.alertThresholdsPercent ?? alertThresholdsPercent,
  }
  await client.query('update budgets set mode = $2, amount_nano = $3, alert_thresholds_percent = $4 where id = $1', [
    id,
    after.mode,
    after.amountNano,
    after.alertThresholdsPercent,
  ])
  await recordAudit(
    client,
    { id: auditId, actor },
    {
      action: 'budget.update',
      subjectKind: 'budget',
      subjectId: id,
      organizationId: found.row.organizationId ?? undefined,
      before: { mode, amountNano, alertThresholdsPercent },
      after,
    },
  )
  return { ok: true, value: id }
}

async function remove(client: PoolClient, { id, auditId, actor }: Change): Promise<BudgetOutcome> {
  const found = await locked(client, id)
  if (!found.ok) return found
  await removeBudgets(client, [id])
  const { organizationId, managedBy: _managedBy, ...before } = found.row
  await recordAudit(
    client,
    { id: auditId, actor },
    {
      action: 'budget.remove',
      subjectKind: 'budget',
      subjectId: id,
      organizationId: organizationId ?? undefined,
      before,
    },
  )
  return { ok: true, value: id }
}

async function locked(client: PoolClient, id: string): Promise<{ ok: true; row: BudgetRow } | Refused> {
  const { rows } = await client.query<BudgetRow>(
    `select b.managed_by as "managedBy", coalesce(b.organization_id, k.organization_id, t.organization_id) as "organizationId",
       b.period, b.time_zone as "timeZone", b.mode, b.amount_nano::text as "amountNano",
       b.alert_thresholds_percent as "alertThresholdsPercent"
     from budgets b
     left join api_keys k on k.id = b.api_key_id
     left join teams t on t.id = b.team_id
     where b.id = $1 for update of b`,
    [id],
  )
  const [row] = rows
  if (!row) return refused('not_found', 'There is no such budget.', 'budgetId')
  if (row.managedBy !== 'file') return { ok: true, row }
  return refused('managed_by_file', 'The budget is declared in the configuration file; change it there.', 'budgetId')
}

function problemOf({ amountNano, alertThresholdsPercent }: BudgetPatch): Refused | undefined {
  if (amountNano !== undefined && (amountNano < 0n || amountNano > amountNanoMax)) {
    return refused('invalid', `The amount is from 0 to ${amountNanoMax} nano-dollars.`, 'amountNanoUsd')
  }
  const percent = alertThresholdsPercent ?? []
  const isRight =
    percent.length <= thresholdsMax && percent.every((one) => Number.isInteger(one) && one >= 1 && one <= 1_000)
  return isRight
    ? undefined
    : refused('invalid', 'Alerts are at most 10 whole numbers from 1 to 1,000.', 'alertThresholdsPercent')
}

function zoneProblem(timeZone: string): Refused | undefined {
  try {
    budgetPeriodAt('day', timeZone, 0)
    return undefined
  } catch {
    return refused('invalid', 'Expected a time zone such as UTC or Europe/Berlin.', 'timeZone')
  }
}
