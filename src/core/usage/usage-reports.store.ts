import { hash } from 'node:crypto'
import type { Pool } from 'pg'
import type { VisibleTenants } from '../access/principal.ts'
import type { Units } from './usage.ts'

/** Usage as people look at it: one call, many calls, and sums of them. Everything is within what the viewer may see. */
export interface UsageReports {
  records(query: RecordQuery): Promise<ReportedCall[]>
  recordsById(requestIds: readonly string[]): Promise<ReportedCall[]>
  /** Without looking at every day. */
  recordsByKey(calls: readonly CallKey[]): Promise<ReportedCall[]>
  attempts(calls: readonly CallKey[]): Promise<ReportedAttempt[]>
  ledgerEntries(calls: readonly CallKey[]): Promise<ReportedEntry[]>
  /** Of all time, by the database's clock as of now: what is between two of these is what came between. */
  totals(query: TotalsQuery): Promise<UsageTotals>
  /** From the rollups, the earliest first. */
  sums(query: SumsQuery): Promise<UsageSums[]>
}

/** Both are needed to find a row without looking at every day. */
export interface CallKey {
  requestId: string
  /** As PostgreSQL writes it. */
  reservedAtText: string
}

export interface RecordQuery {
  visible: VisibleTenants
  filter: RecordFilter
  after: CallKey | undefined
  limit: number
}

export interface RecordFilter {
  since?: Date | undefined
  until?: Date | undefined
  organizationId?: string | undefined
  teamId?: string | undefined
  keyId?: string | undefined
  provider?: string | undefined
  model?: string | undefined
  alias?: string | undefined
  tag?: { name: string; value: string } | undefined
  failed?: boolean | undefined
  finish?: string | undefined
  errorCode?: string | undefined
  clientRequestId?: string | undefined
  costAtLeastNano?: bigint | undefined
}

/** 64-bit integers as decimal text. */
export interface ReportedCall extends CallKey {
  clientRequestId: string | null
  reservedAt: Date
  endedAt: Date | null
  organizationId: string
  teamId: string | null
  keyId: string
  callerKeyId: string | null
  operation: string
  requestedModel: string
  alias: string | null
  provider: string | null
  model: string | null
  stream: boolean
  state: string
  finish: string | null
  usageSource: string
  errorCode: string | null
  inputTokens: string
  cacheReadTokens: string
  cacheWriteTokens: string
  outputTokens: string
  reasoningTokens: string
  costNano: string
  reservedNano: string
  unpriced: boolean
  retryUncertain: boolean
  firstOutputMs: number | null
  totalMs: number | null
  tags: Readonly<Record<string, string>>
  endUser: string | null
}

export interface ReportedAttempt {
  requestId: string
  number: number
  provider: string
  model: string
  outcome: string
  httpStatus: number | null
  errorCode: string | null
  billing: string
  units: Units
  costNano: string
  totalMs: number | null
}

export interface ReportedEntry {
  requestId: string
  kind: string
  amountNano: string
  isOfBudgetPeriod: boolean
  createdAt: Date
}

export const usageIntervals = ['hour', 'day', 'month'] as const
export type UsageInterval = (typeof usageIntervals)[number]

export const usageDimensions = ['organization', 'team', 'api_key', 'provider', 'model', 'alias', 'tag'] as const
export type UsageDimension = (typeof usageDimensions)[number]

export interface SumsQuery {
  visible: VisibleTenants
  since: Date
  until: Date
  interval: UsageInterval
  by: readonly UsageDimension[]
  organizationId: string | undefined
  teamId: string | undefined
  keyId: string | undefined
  /** Only calls that carry this tag, told apart by its value where `by` has `tag`; not together with a key or an alias. */
  tagName?: string | undefined
  limit: number
}

export type TotalsQuery = Pick<SumsQuery, 'visible' | 'organizationId' | 'teamId' | 'keyId'>

/** 64-bit integers as bigints, for somebody to subtract. */
export interface UsageTotals {
  at: Date
  requests: bigint
  failedRequests: bigint
  inputTokens: bigint
  outputTokens: bigint
  costNano: bigint
}

export interface UsageSums {
  bucket: Date
  organizationId: string | null
  teamId: string | null
  keyId: string | null
  provider: string | null
  model: string | null
  alias: string | null
  /** The value of the tag that was asked for. */
  tagValue: string | null
  requests: string
  failedRequests: string
  inputTokens: string
  outputTokens: string
  costNano: string
}

const selectCalls = `
  select u.request_id as "requestId", u.reserved_at::text as "reservedAtText", u.client_request_id as "clientRequestId",
    u.reserved_at as "reservedAt", u.ended_at as "endedAt", u.organization_id as "organizationId", u.team_id as "teamId",
    u.key_id as "keyId", u.caller_key_id as "callerKeyId", u.operation, u.requested_model as "requestedModel", u.alias,
    u.provider, u.model, u.stream, u.state, u.finish, u.usage_source as "usageSource", u.error_code as "errorCode",
    u.input_tokens as "inputTokens", u.cache_read_tokens as "cacheReadTokens", u.cache_write_tokens as "cacheWriteTokens",
    u.output_tokens as "outputTokens", u.reasoning_tokens as "reasoningTokens", u.provider_cost_nano as "costNano",
    u.reserved_nano as "reservedNano", u.unpriced, u.retry_uncertain as "retryUncertain",
    u.first_output_ms as "firstOutputMs", u.total_ms as "totalMs", u.tags, u.end_user as "endUser"
  from usage_records u`

const tagRollups = { hour: 'usage_tag_hourly', day: 'usage_tag_daily', month: 'monthly_tag_summary' } as const

/** A tenth of the rows, where keys are not told apart. */
const modelRollup = 'usage_model_daily'

const rollups = { hour: 'usage_hourly', day: 'usage_daily', month: 'monthly_usage_summary' } as const

const dimensionColumns = {
  organization: 'organization_id',
  team: 'team_id',
  api_key: 'key_id',
  provider: 'provider',
  model: 'model',
  alias: 'alias',
  tag: 'tag_value',
} as const satisfies Record<UsageDimension, string>

const dimensionNames = {
  organization: 'organizationId',
  team: 'teamId',
  api_key: 'keyId',
  provider: 'provider',
  model: 'model',
  alias: 'alias',
  tag: 'tagValue',
} as const satisfies Record<UsageDimension, keyof UsageSums>

/** Conditions with their values, bound in the order in which they are added. */
class Conditions {
  readonly values: unknown[] = []
  readonly #texts: string[] = []

  /** @param text - with `?` for the value */
  add(text: string, value: unknown): void {
    if (value === undefined || value === null) return
    this.values.push(value)
    this.#texts.push(text.replaceAll('?', `$${this.values.length}`))
  }

  visible(alias: string, { everything, organizationIds, teamIds }: VisibleTenants): void {
    if (everything) return
    this.values.push(organizationIds, teamIds)
    const [organizations, teams] = [this.values.length - 1, this.values.length]
    this.#texts.push(`(${alias}.organization_id = any ($${organizations}) or ${alias}.team_id = any ($${teams}))`)
  }

  /** @returns the place of a value that no condition needs */
  bind(value: unknown): string {
    this.values.push(value)
    return `$${this.values.length}`
  }

  get where(): string {
    return this.#texts.length === 0 ? '' : `where ${this.#texts.join(' and ')}`
  }
}

export function createUsageReports(pool: Pool): UsageReports {
  return {
    async records({ visible, filter, after, limit }) {
      const conditions = new Conditions()
      conditions.visible('u', visible)
      conditions.add('u.reserved_at >= ?', filter.since)
      conditions.add('u.reserved_at < ?', filter.until)
      conditions.add('u.organization_id = ?', filter.organizationId)
      conditions.add('u.team_id = ?', filter.teamId)
      conditions.add('u.key_id = ?', filter.keyId)
      conditions.add('u.provider = ?', filter.provider)
      conditions.add('u.model = ?', filter.model)
      conditions.add('u.alias = ?', filter.alias)
      conditions.add('u.tags @> ?::jsonb', filter.tag && JSON.stringify({ [filter.tag.name]: filter.tag.value }))
      conditions.add('(u.error_code is not null) = ?', filter.failed)
      conditions.add('u.finish = ?', filter.finish)
      conditions.add('u.error_code = ?', filter.errorCode)
      conditions.add('u.client_request_id = ?', filter.clientRequestId)
      conditions.add('u.provider_cost_nano >= ?::bigint', filter.costAtLeastNano?.toString())
      // The row comparison is what pages; the plain one is what keeps later days from being looked at.
      conditions.add('u.reserved_at <= ?::timestamptz', after?.reservedAtText)
      if (after) {
        const at = conditions.bind(after.reservedAtText)
        conditions.add(`(u.reserved_at, u.request_id) < (${at}::timestamptz, ?::uuid)`, after.requestId)
      }
      const sql = `${selectCalls} ${conditions.where}
        order by u.reserved_at desc, u.request_id desc limit ${conditions.bind(limit)}`
      // Planning over a hundred days of partitions takes longer than reading a page: a connection does it once for each
      // combination of filters, of which there are few in use.
      const name = `usage_records_${hash('sha256', sql, 'hex').slice(0, 32)}`
      const { rows } = await pool.query<ReportedCall>({ name, text: sql, values: conditions.values })
      return rows
    },

    async recordsById(requestIds) {
      const [from, to] = daysOf(requestIds)
      const { rows } = await pool.query<ReportedCall>(
        `${selectCalls} where u.request_id = any ($1) and u.reserved_at between $2::timestamptz and $3::timestamptz`,
        [requestIds, from, to],
      )
      return rows
    },

    async recordsByKey(calls) {
      const { rows } = await pool.query<ReportedCall>({
        name: 'usage_records_by_key',
        text: `${selectCalls}
         join unnest($1::timestamptz[], $2::uuid[]) as call (at, id) on u.reserved_at = call.at and u.request_id = call.id
         order by u.reserved_at, u.request_id`,
        values: keysOf(calls),
      })
      return rows
    },

    async attempts(calls) {
      const { rows } = await pool.query<ReportedAttempt>({
        name: 'usage_attempts_of_calls',
        text: `select a.request_id as "requestId", a.attempt_no as number, a.provider, a.model, a.outcome,
           a.http_status as "httpStatus", a.error_code as "errorCode", a.billing, a.units, a.cost_nano as "costNano",
           a.total_ms as "totalMs"
         from unnest($1::timestamptz[], $2::uuid[]) as call (at, id)
         join usage_attempts a on a.reserved_at = call.at and a.request_id = call.id
         order by a.request_id, a.attempt_no`,
        values: keysOf(calls),
      })
      return rows
    },

    async ledgerEntries(calls) {
      const { rows } = await pool.query<ReportedEntry>({
        name: 'ledger_entries_of_calls',
        text: `select l.request_id as "requestId", l.kind, l.amount_nano as "amountNano",
           l.budget_period_id is not null as "isOfBudgetPeriod", l.created_at as "createdAt"
         from unnest($1::timestamptz[], $2::uuid[]) as call (at, id)
         join ledger_entries l on l.reserved_at = call.at and l.request_id = call.id
         order by l.request_id, l.created_at, l.seq, l.budget_period_id nulls first`,
        values: keysOf(calls),
      })
      return rows
    },

    async totals({ visible, organizationId, teamId, keyId }) {
      const conditions = new Conditions()
      conditions.visible('r', visible)
      conditions.add('r.organization_id = ?', organizationId)
      conditions.add('r.team_id = ?', teamId)
      conditions.add('r.key_id = ?', keyId)
      const { rows } = await pool.query<{ at: Date } & Record<Exclude<keyof UsageTotals, 'at'>, string>>(
        `select clock_timestamp() as at, coalesce(sum(r.requests), 0)::bigint as requests,
           coalesce(sum(r.failed_requests), 0)::bigint as "failedRequests",
           coalesce(sum(r.input_tokens), 0)::bigint as "inputTokens",
           coalesce(sum(r.output_tokens), 0)::bigint as "outputTokens",
           coalesce(sum(r.cost_nano), 0)::bigint as "costNano"
         from monthly_usage_summary r ${conditions.where}`,
        conditions.values,
      )
      const [row] = rows as [(typeof rows)[number]] // an aggregate gives one row
      return {
        at: row.at,
        requests: BigInt(row.requests),
        failedRequests: BigInt(row.failedRequests),
        inputTokens: BigInt(row.inputTokens),
        outputTokens: BigInt(row.outputTokens),
        costNano: BigInt(row.costNano),
      }
    },

    async sums({ visible, since, until, interval, by, organizationId, teamId, keyId, tagName, limit }) {
      const conditions = new Conditions()
      conditions.add(`r.bucket >= date_trunc('${interval}', ?::timestamptz, 'UTC')`, since)
      conditions.add('r.bucket < ?', until)
      conditions.visible('r', visible)
      conditions.add('r.organization_id = ?', organizationId)
      conditions.add('r.team_id = ?', teamId)
      conditions.add('r.key_id = ?', keyId)
      conditions.add('r.tag_key = ?', tagName)
      const needsKeys = keyId !== undefined || by.includes('api_key')
      const rollup =
        tagName !== undefined
          ? tagRollups[interval]
          : interval === 'day' && !needsKeys
            ? modelRollup
            : rollups[interval]
      const asked = usageDimensions.filter((dimension) => by.includes(dimension))
      const columns = asked.map((dimension) => `r.${dimensionColumns[dimension]}`)
      const selected = usageDimensions.map((dimension) => {
        const value = by.includes(dimension) ? `r.${dimensionColumns[dimension]}` : 'null'
        return `${value} as "${dimensionNames[dimension]}"`
      })
      const { rows } = await pool.query<UsageSums>(
        `select r.bucket, ${selected.join(', ')}, sum(r.requests)::bigint as requests,
           sum(r.failed_requests)::bigint as "failedRequests", sum(r.input_tokens)::bigint as "inputTokens",
           sum(r.output_tokens)::bigint as "outputTokens", sum(r.cost_nano)::bigint as "costNano"
         from ${rollup} r ${conditions.where}
         group by ${['r.bucket', ...columns].join(', ')}
         order by ${['r.bucket', ...columns].join(', ')}
         limit ${conditions.bind(limit)}`,
        conditions.values,
      )
      return rows
    },
  }
}

const dayMs = 86_400_000

/** Ids of ours begin with the time of the call, so there is no need to look at every day for them. */
function daysOf(requestIds: readonly string[]): [from: string, to: string] {
  const times = requestIds.map((id) =>
    id[14] === '7' ? Number.parseInt(id.replace('-', '').slice(0, 12), 16) : undefined,
  )
  const known = times.filter((time) => time !== undefined)
  if (known.length < times.length || known.length === 0) return ['-infinity', 'infinity']
  const dated = (ms: number): string => new Date(ms).toISOString()
  return [dated(Math.min(...known) - dayMs), dated(Math.max(...known) + dayMs)]
}

const keysOf = (calls: readonly CallKey[]): [string[], string[]] => [
  calls.map(({ reservedAtText }) => reservedAtText),
  calls.map(({ requestId }) => requestId),
]
