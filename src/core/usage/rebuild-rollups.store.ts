import type pg from 'pg'
import { inPatientTransaction } from '../db/patient-transaction.ts'
import {
  addSql,
  groupColumns,
  groupCtes,
  hoursOf,
  measures,
  ordinals,
  type RollupTable,
  recordCounts,
  rollupTables,
} from './rollups.store.ts'

/** Recomputes rollups from what they sum up; see `rebuildRollups`, which says in which order. */
export interface RebuildStore {
  /** @returns false when somebody else rebuilds; the lock ends with the connection */
  lock(): Promise<boolean>
  span(): Promise<RebuildSpan>
  /** Hours, days and tags of the UTC day that begins at `day`, from records and ledger. */
  rebuildDay(day: Date, apply: boolean): Promise<DayRebuild>
  /** The month that begins at `month`, from its days. */
  rebuildMonth(month: Date, apply: boolean): Promise<RollupDifference[]>
}

/** Days are the moments at which they begin. */
export interface RebuildSpan {
  /** The first day that has records or rollups; undefined when there is none. */
  firstDay: Date | undefined
  /** Days before this one may have lost records to retention. */
  droppedBefore: Date | undefined
  today: Date
}

export type DayRebuild =
  | { status: 'compared'; records: number; differences: RollupDifference[] }
  /** Retention has dropped its records, or there are none although there are rollups. */
  | { status: 'without-records' }

/** How far a rollup table was from what it sums up; sums are true minus stored. */
export interface RollupDifference {
  table: string
  /** Rows that were wrong, missing or too many. */
  rows: number
  requests: bigint
  costNano: bigint
}

const dayTables: readonly RollupTable[] = [
  rollupTables.hourly,
  rollupTables.daily,
  rollupTables.modelDaily,
  rollupTables.tagHourly,
  rollupTables.tagDaily,
]
const monthSources: readonly { table: RollupTable; days: RollupTable }[] = [
  { table: rollupTables.monthly, days: rollupTables.daily },
  { table: rollupTables.tagMonthly, days: rollupTables.tagDaily },
]

/** @param client - its own, without a statement timeout: a day of a busy gateway takes its time */
export function createRebuildStore(client: pg.ClientBase): RebuildStore {
  return {
    async lock() {
      const { rows } = await client.query<{ locked: boolean }>(
        `select pg_try_advisory_lock(hashtext($$llmgw rebuild rollups$$)) as locked`,
      )
      return rows[0]?.locked ?? false
    },

    async span() {
      const { rows } = await client.query<Record<'first_day' | 'dropped_before', Date | null> & { today: Date }>(
        spanSql,
      )
      const [row] = rows
      if (!row) throw new Error('A select without a table gave no row.')
      return {
        firstDay: row.first_day ?? undefined,
        droppedBefore: row.dropped_before ?? undefined,
        today: row.today,
      }
    },

    rebuildDay: (day, apply) =>
      inPatientTransaction(client, async () => {
        const { rows } = await client.query<{ held: boolean; records: string }>(heldSql, [day])
        if (!rows[0]?.held) return { status: 'without-records' }
        const differences = await rebuild(dayTables, daySql(apply), [day], apply)
        return { status: 'compared', records: Number(rows[0].records), differences }
      }),

    rebuildMonth: (month, apply) =>
      inPatientTransaction(client, () =>
        rebuild(
          monthSources.map(({ table }) => table),
          monthSql(apply),
          [month],
          apply,
        ),
      ),
  }

  async function rebuild(
    tables: readonly RollupTable[],
    sql: string,
    values: [Date],
    apply: boolean,
  ): Promise<RollupDifference[]> {
    const { rows } = await client.query<{ name: string; rows: string; requests: string; cost_nano: string }>(
      sql,
      values,
    )
    const differences = rows.map((row) => ({
      table: row.name,
      rows: Number(row.rows),
      requests: BigInt(row.requests),
      costNano: BigInt(row.cost_nano),
    }))
    if (apply) {
      for (const table of tables) {
        if (differences.some((difference) => difference.table === table.name && difference.rows > 0)) {
          await client.query(emptyRowsSql(table), values)
        }
      }
    }
    return differences.filter((difference) => difference.rows > 0)
  }
}

const spanSql = `
  select date_trunc('day', now(), 'UTC') as today,
    (select max(r.dropped_before) from usage_retention r where r.table_name in ('usage_records', 'ledger_entries'))
      as dropped_before,
    date_trunc('day', least(
      (select min(u.reserved_at) from usage_records u),
      (select min(h.bucket) from usage_hourly h),
      (select min(d.bucket) from usage_daily d)
    ), 'UTC') as first_day`

/** Where sums were and records are not, the records are gone, whatever we know of it. */
const heldSql = `
  with day as (select $1::timestamptz as starts, $1::timestamptz + interval '24 hours' as ends)
  select counted.records, not exists (
      select from usage_retention r
      where r.table_name in ('usage_records', 'ledger_entries') and r.dropped_before > day.starts
    ) and (counted.records > 0 or not exists (
      select from usage_daily d where d.bucket >= day.starts and d.bucket < day.ends
    )) as held
  from day
  cross join lateral (
    select count(*) as records from usage_records u
    where u.reserved_at >= day.starts and u.reserved_at < day.ends and u.state <> 'reserved'
  ) as counted`

/**
 * One statement, hence one view of the database: in it, records and rollups belong together, for settlement changes
 * both in one transaction. What they differ by is added to the rows as they are by then, so settling need not stop.
 */
const daySql = (apply: boolean): string => `
  with charged as (
    select l.request_id, sum(l.amount_nano) as nano
    from ledger_entries l
    where l.reserved_at >= $1 and l.reserved_at < $1::timestamptz + interval '24 hours' and l.budget_period_id is null
    group by l.request_id
  ), counted as materialized (
    select ${recordCounts('u', { cost_nano: 'coalesce(charged.nano, 0)' })}
    from usage_records u
    left join charged on charged.request_id = u.request_id
    where u.reserved_at >= $1 and u.reserved_at < $1::timestamptz + interval '24 hours' and u.state <> 'reserved'
  ), ${groupCtes('counted')}, ${dayTables
    .map((table) =>
      differenceCtes(
        table,
        `select ${groupColumns(table)} from ${hoursOf(table)} group by ${ordinals(table.key.length)}`,
        '24 hours',
        apply,
      ),
    )
    .join(', ')}
  ${summarySql(dayTables)}`

const monthSql = (apply: boolean): string => `
  with ${monthSources
    .map(({ table, days }) =>
      differenceCtes(
        table,
        `select ${groupColumns(table)} from ${days.name}
         where bucket >= $1 and bucket < ($1::timestamptz at time zone 'UTC' + interval '1 month') at time zone 'UTC'
         group by ${ordinals(table.key.length)}`,
        '1 month',
        apply,
      ),
    )
    .join(', ')}
  ${summarySql(monthSources.map(({ table }) => table))}`

/** `wrong_` and the table: what has to be added to it, by key; and the addition. */
function differenceCtes(table: RollupTable, truth: string, span: string, apply: boolean): string {
  const key = table.key.join(', ')
  const stored = measures.map((measure) => `-${measure}`)
  const sums = measures.map((measure) => `sum(${measure}) as ${measure}`)
  const isWrong = measures.map((measure) => `sum(${measure}) <> 0`)
  const wrong = `wrong_${table.name} as materialized (
    select ${key}, ${sums.join(', ')}
    from (
      ${truth}
      union all
      select ${key}, ${stored.join(', ')} from ${table.name} where ${within(span)}
    ) as compared
    group by ${key}
    having ${isWrong.join(' or ')}
  )`
  if (!apply) return wrong
  return `${wrong}, mended_${table.name} as (
    ${addSql(table, `select ${key}, ${measures.join(', ')} from wrong_${table.name}`)}
  )`
}

const within = (span: string): string =>
  `bucket >= $1 and bucket < ($1::timestamptz at time zone 'UTC' + interval '${span}') at time zone 'UTC'`

const summarySql = (tables: readonly RollupTable[]): string =>
  tables
    .map(
      ({ name }) => `select '${name}' as name, count(*) as rows, coalesce(sum(requests), 0) as requests,
    coalesce(sum(cost_nano), 0) as cost_nano from wrong_${name}`,
    )
    .join(' union all ')

/** Rows that were too many are all zero by now. A row that settlement has just begun to fill is not. */
const emptyRowsSql = (table: RollupTable): string =>
  `delete from ${table.name} where ${within(table.unit === 'month' ? '1 month' : '24 hours')}
   and ${measures.map((measure) => `${measure} = 0`).join(' and ')}`
