import type { Pool, PoolClient } from 'pg'
import { recordAudit } from '../access/audit-trail.store.ts'
import type { VisibleTenants } from '../access/principal.ts'
import { inDecidedTransaction } from '../db/transaction.ts'
import type { Actor } from '../keys/keys.ts'
import type { BudgetMode, BudgetPeriod, BudgetScope } from './budget.ts'
import { budgetPeriodAt } from './budget-period.ts'

/** Budgets as operators see them: how each stands in its current period. The request path has its own store. */
export interface BudgetStore {
  /** All of them, by owner, as of one moment of the database's clock. @throws what the database throws */
  list(): Promise<BudgetStanding[]>
  /** Those that belong to the places given, the oldest first. @throws what the database throws */
  page(query: BudgetQuery): Promise<PlacedBudget[]>
  byId(ids: readonly string[]): Promise<PlacedBudget[]>
  /** Periods in which something was spent or held, of each budget, the latest first. */
  periods(query: BudgetPeriodQuery): Promise<BudgetPeriodStanding[]>
  /**
   * Raises a budget for a while; an increase that is under way is replaced, one of zero ends it. The audit event commits
   * with it.
   *
   * @throws what the database throws
   */
  raise(raise: BudgetRaise): Promise<{ ok: true; budget: BudgetStanding } | RaiseRefusal>
}

export interface BudgetPeriodQuery {
  budgetIds: readonly string[]
  /** Where the page before ended, as PostgreSQL writes it. */
  before: string | undefined
  /** Of each budget. */
  limit: number
}

/** How a period stands, or ended. */
export interface BudgetPeriodStanding {
  budgetId: string
  start: Date
  /** As PostgreSQL writes it. */
  startText: string
  /** Null for a budget of all time. */
  end: Date | null
  /** Nano-USD as decimal text. */
  limitNano: string
  committedNano: string
  leasedNano: string
}

export interface BudgetQuery {
  visible: VisibleTenants
  /** The id that the page before ended with. */
  after: string | undefined
  limit: number
}

/** With the ids of what it belongs to; a key's has its team and organization. */
export interface PlacedBudget extends BudgetStanding {
  keyId: string | null
  teamId: string | null
  /** Null for that of a tag anywhere. */
  organizationId: string | null
}

export interface BudgetStanding {
  id: string
  owner: BudgetOwner
  period: BudgetPeriod
  timeZone: string
  mode: BudgetMode
  managedBy: 'file' | 'admin' | 'operator'
  /** Nano-USD, without an increase. */
  amountNano: bigint
  /** Shares of the amount at which alerts are given. */
  alertThresholdsPercent: readonly number[]
  /** Undefined when there is none, or none any more. */
  increase: BudgetIncrease | undefined
  periodStart: Date
  /** Undefined for a budget of all time. */
  periodEnd: Date | undefined
  /** What may be spent in the period as of now: the amount and the increase. */
  limitNano: bigint
  committedNano: bigint
  leasedNano: bigint
  /** What nobody has spent or leased; negative when more was spent than the limit is now. */
  leftNano: bigint
  alerts: BudgetAlerts
}

export interface BudgetIncrease {
  amountNano: bigint
  until: Date
  by: 'file' | 'admin' | 'operator' | undefined
}

/** Names, where there are such: a key has an organization and perhaps a team, a tag perhaps an organization. */
export interface BudgetOwner {
  scope: BudgetScope
  key: string | undefined
  /** The key is revoked: nobody spends from its budgets. */
  isRevoked: boolean
  organization: string | undefined
  team: string | undefined
  tag: { name: string; value: string } | undefined
}

/** Of the current period. */
export interface BudgetAlerts {
  /** Thresholds that were reached, ascending. */
  percent: number[]
  /** Calls that cost more than was held for them. */
  overruns: number
  /** Differences to the ledger that an audit has found. */
  differences: number
}

export interface BudgetRaise {
  id: string
  auditId: string
  /** Nano-USD. */
  amountNano: bigint
  until: Date
  actor: Actor
}

export type RaiseRefusal = {
  ok: false
  /** `declared`: the config file has given one that is not over. `past`: `until` is. */
  reason: 'not_found' | 'declared' | 'past'
}

interface StandingRow {
  id: string
  key: string | null
  is_revoked: boolean
  organization: string | null
  team: string | null
  tag_key: string | null
  tag_value: string
  scope: BudgetScope
  period: BudgetPeriod
  time_zone: string
  mode: BudgetMode
  managed_by: BudgetStanding['managedBy']
  amount_nano: string
  alert_thresholds_percent: number[]
  increase_nano: string
  increase_until: Date | null
  increase_by: BudgetIncrease['by'] | null
  organization_id: string | null
  team_id: string | null
  api_key_id: string | null
  at: Date
  period_start: Date | null
  period_end: Date | null
  committed_nano: string
  leased_nano: string
  alerts: BudgetAlerts
}

/** `now()` is one moment for all rows. */
const standingSql = `
  select b.id, k.name as key, k.revoked_at is not null as is_revoked, o.slug as organization, t.slug as team,
    b.tag_key, b.tag_value, case when b.tag_key is not null then 'tag' when b.api_key_id is not null then 'key'
      when b.team_id is not null then 'team' else 'organization' end as scope,
    b.period, b.time_zone, b.mode, b.managed_by, b.amount_nano::text, b.alert_thresholds_percent, o.id as organization_id, t.id as team_id,
    b.api_key_id, now() as at,
    case when b.temporary_increase_until > now() then b.temporary_increase_nano else 0 end::text as increase_nano,
    b.temporary_increase_until as increase_until, b.temporary_increase_by as increase_by,
    p.period_start, p.period_end, coalesce(p.committed_nano, 0)::text as committed_nano,
    coalesce(p.leased_nano, 0)::text as leased_nano, (
      select json_build_object(
        'percent', coalesce(json_agg(a.threshold_percent order by a.threshold_percent)
          filter (where a.kind = 'threshold'), '[]'),
        'overruns', count(*) filter (where a.kind = 'overrun'),
        'differences', count(*) filter (where a.kind = 'audit'))
      from budget_alerts a where a.budget_period_id = p.id
    ) as alerts
  from budgets b
  left join api_keys k on k.id = b.api_key_id
  left join teams t on t.id = coalesce(b.team_id, k.team_id)
  left join organizations o on o.id = coalesce(b.organization_id, k.organization_id, t.organization_id)
  left join budget_periods p on p.budget_id = b.id and p.period_start <= now()
    and (p.period_end is null or p.period_end > now())`

/** @param pool - whose users need not be quick */
export function createBudgetStore(pool: Pool): BudgetStore {
  return {
    async list() {
      const { rows } = await pool.query<StandingRow>(
        `${standingSql}
         order by o.slug nulls last, t.slug nulls first, k.name nulls first, b.tag_key, b.tag_value, b.period, b.id`,
      )
      return rows.map(standingOf)
    },
    async page({ visible, after, limit }) {
      const { rows } = await pool.query<StandingRow>(
        `${standingSql}
         where ($1 or o.id = any ($2) or t.id = any ($3)) and ($4::uuid is null or b.id > $4)
         order by b.id limit $5`,
        [visible.everything, visible.organizationIds, visible.teamIds, after ?? null, limit],
      )
      return rows.map(placedOf)
    },
    async byId(ids) {
      const { rows } = await pool.query<StandingRow>(`${standingSql} where b.id = any ($1)`, [ids])
      return rows.map(placedOf)
    },
    async periods({ budgetIds, before, limit }) {
      const { rows } = await pool.query<BudgetPeriodStanding>(
        `select wanted.id as "budgetId", p.*
         from unnest($1::uuid[]) as wanted (id)
         cross join lateral (
           select p.period_start as start, p.period_start::text as "startText", p.period_end as "end",
             p.limit_nano::text as "limitNano", p.committed_nano::text as "committedNano", p.leased_nano::text as "leasedNano"
           from budget_periods p
           where p.budget_id = wanted.id and ($2::timestamptz is null or p.period_start < $2)
           order by p.period_start desc limit $3) p
         order by wanted.id, p.start desc`,
        [budgetIds, before ?? null, limit],
      )
      return rows
    },
    raise: (raise) => inDecidedTransaction(pool, (client) => raiseBudget(client, raise)),
  }
}

async function raiseBudget(
  client: PoolClient,
  { id, auditId, amountNano, until, actor }: BudgetRaise,
): Promise<{ ok: true; budget: BudgetStanding } | RaiseRefusal> {
  await client.query('select b.id from budgets b where b.id = $1 for no key update', [id])
  const before = await readStanding(client, id)
  if (!before) return { ok: false, reason: 'not_found' }
  if (before.budget.increase?.by === 'file') return { ok: false, reason: 'declared' }
  if (amountNano > 0n && until <= before.at) return { ok: false, reason: 'past' }
  await client.query(
    `update budgets
     set temporary_increase_nano = $2, temporary_increase_until = $3, temporary_increase_by = $4
     where id = $1`,
    amountNano > 0n
      ? [id, amountNano.toString(), until, actor.kind === 'operator' ? 'operator' : 'admin']
      : [id, '0', null, null],
  )
  const after = (await readStanding(client, id)) as ReadStanding // its row is locked
  await recordAudit(
    client,
    { id: auditId, actor },
    {
      action: 'budget.raise',
      subjectKind: 'budget',
      subjectId: id,
      organizationId: before.organizationId ?? undefined,
      before: auditedOf(before.budget),
      after: auditedOf(after.budget),
    },
  )
  return { ok: true, budget: after.budget }
}

interface ReadStanding {
  budget: BudgetStanding
  organizationId: string | null
  at: Date
}

async function readStanding(client: PoolClient, id: string): Promise<ReadStanding | undefined> {
  const { rows } = await client.query<StandingRow>(`${standingSql} where b.id = $1`, [id])
  const [row] = rows
  return row && { budget: standingOf(row), organizationId: row.organization_id, at: row.at }
}

const auditedOf = ({ amountNano, increase }: BudgetStanding): object => ({
  amountNano: amountNano.toString(),
  temporaryIncrease: increase
    ? { amountNano: increase.amountNano.toString(), until: increase.until.toISOString() }
    : null,
})

const placedOf = (row: StandingRow): PlacedBudget => ({
  ...standingOf(row),
  keyId: row.api_key_id,
  teamId: row.team_id,
  organizationId: row.organization_id,
})

function standingOf(row: StandingRow): BudgetStanding {
  const amountNano = BigInt(row.amount_nano)
  const increaseNano = BigInt(row.increase_nano)
  const limitNano = amountNano + increaseNano
  const committedNano = BigInt(row.committed_nano)
  const leasedNano = BigInt(row.leased_nano)
  // Nobody has spent anything yet where there is no period.
  const bounds = budgetPeriodAt(row.period, row.time_zone, row.at.getTime())
  return {
    id: row.id,
    owner: {
      scope: row.scope,
      key: row.key ?? undefined,
      isRevoked: row.is_revoked,
      organization: row.organization ?? undefined,
      team: row.team ?? undefined,
      tag: row.tag_key === null ? undefined : { name: row.tag_key, value: row.tag_value },
    },
    period: row.period,
    timeZone: row.time_zone,
    mode: row.mode,
    managedBy: row.managed_by,
    amountNano,
    alertThresholdsPercent: row.alert_thresholds_percent,
    increase:
      increaseNano > 0n && row.increase_until
        ? { amountNano: increaseNano, until: row.increase_until, by: row.increase_by ?? undefined }
        : undefined,
    periodStart: row.period_start ?? new Date(bounds.startMs),
    periodEnd: row.period_end ?? (row.period_start || bounds.endMs === undefined ? undefined : new Date(bounds.endMs)),
    limitNano,
    committedNano,
    leasedNano,
    leftNano: limitNano - committedNano - leasedNano,
    alerts: row.alerts,
  }
}
