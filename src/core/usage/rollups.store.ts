/**
 * SQL text that keeps the rollups: sums of usage by UTC hour, day and month. They move in the transaction that changes
 * what they sum up, and only ever by differences, so whoever changes usage hands those to `rollupCtes`.
 */

/** What is summed up, and what one terminal record adds to it. */
const measureOf = {
  requests: () => '1',
  /** Those that ended with an error, or of which nobody knows how they ended. */
  failed_requests: (record) => `(${record}.finish is null or ${record}.finish not in (${endings}))::integer`,
  disconnected_requests: (record) => `(${record}.finish is not distinct from 'client_disconnected')::integer`,
  /** Those whose provider told us no usage: counted by us, or estimated. */
  estimated_requests: (record) => `(${record}.usage_source in ('counted', 'estimated'))::integer`,
  unpriced_requests: (record) => `(${record}.unpriced)::integer`,
  input_tokens: (record) => `${record}.input_tokens`,
  cache_read_tokens: (record) => `${record}.cache_read_tokens`,
  cache_write_tokens: (record) => `${record}.cache_write_tokens`,
  output_tokens: (record) => `${record}.output_tokens`,
  reasoning_tokens: (record) => `${record}.reasoning_tokens`,
  /** What the providers charge: the sum of the ledger's entries without a budget period. */
  cost_nano: (record) => `${record}.provider_cost_nano`,
  charged_nano: (record) => `${record}.charged_nano`,
} as const satisfies Record<string, (record: string) => string>

const endings = `'stop', 'length', 'tool_calls', 'content_filter', 'client_disconnected'`

export type Measure = keyof typeof measureOf
export const measures = Object.keys(measureOf) as readonly Measure[]

export interface RollupTable {
  name: string
  unit: 'hour' | 'day' | 'month'
  /** The columns of its unique key, the bucket first. */
  key: readonly string[]
}

const usageKey = ['bucket', 'organization_id', 'team_id', 'key_id', 'provider', 'model', 'alias'] as const
/** Without keys, of which there are many: what statistics of a long time read. */
const modelKey = ['bucket', 'organization_id', 'team_id', 'provider', 'model', 'alias'] as const
const tagKey = ['bucket', 'organization_id', 'team_id', 'tag_key', 'tag_value', 'provider', 'model'] as const

export const rollupTables = {
  hourly: { name: 'usage_hourly', unit: 'hour', key: usageKey },
  daily: { name: 'usage_daily', unit: 'day', key: usageKey },
  monthly: { name: 'monthly_usage_summary', unit: 'month', key: usageKey },
  modelDaily: { name: 'usage_model_daily', unit: 'day', key: modelKey },
  tagHourly: { name: 'usage_tag_hourly', unit: 'hour', key: tagKey },
  tagDaily: { name: 'usage_tag_daily', unit: 'day', key: tagKey },
  tagMonthly: { name: 'monthly_tag_summary', unit: 'month', key: tagKey },
} as const satisfies Record<string, RollupTable>

/** The columns that say where a record counts; a row of what `rollupCtes` takes has them, and all measures. */
const placeColumns = ['reserved_at', 'organization_id', 'team_id', 'key_id', 'provider', 'model', 'alias', 'tags']

/**
 * The select list of one terminal record as `rollupCtes` wants it.
 *
 * @param record - the alias of a row with the columns of `usage_records`
 * @param instead - SQL for measures that come from elsewhere
 */
export function recordCounts(record: string, instead: Partial<Record<Measure, string>> = {}): string {
  return selectList(record, (measure) => instead[measure] ?? measureOf[measure](record))
}

/**
 * The same with the contrary sign: a record that changes is taken back as it was and counted as it is, in one
 * `union all`, wherever it counted before.
 */
export function recordTakenBack(record: string): string {
  return selectList(record, (measure) => `-(${measureOf[measure](record)})`)
}

/** Moves only some measures of where `record` counts, by SQL expressions; the others by 0. */
export function recordDifference(record: string, differences: Partial<Record<Measure, string>>): string {
  return selectList(record, (measure) => differences[measure] ?? '0')
}

function selectList(record: string, sqlOf: (measure: Measure) => string): string {
  return [
    ...placeColumns.map((column) => `${record}.${column}`),
    ...measures.map((measure) => `${sqlOf(measure)} as ${measure}`),
  ].join(', ')
}

/**
 * Common table expressions that add the rows of the expression `counted` to all rollups; for a statement's `with` list,
 * without a comma around them. A statement may have them once: a row that it would meet twice is an error.
 *
 * Rows are taken in the order of their unique key, the tables in that of the list, so statements of several replicas
 * wait for one another instead of deadlocking. What never reached a target counts under an empty provider and model.
 */
export function rollupCtes(counted: string): string {
  return [
    groupCtes(counted),
    ...Object.values(rollupTables).map(
      (table) => `added_to_${table.name} as (
    ${addSql(table, `select ${groupColumns(table)} from ${hoursOf(table)} group by ${ordinals(table.key.length)}`)}
  )`,
    ),
  ].join(', ')
}

/**
 * `usage_hours` and `tag_hours`: the rows of `counted` summed up by hour and by what else is in the key of a rollup.
 * The tags of a record are taken apart only after records with the same tags have become one row.
 */
export function groupCtes(counted: string): string {
  return `usage_hours as materialized (
    select date_trunc('hour', reserved_at, 'UTC') as bucket, organization_id, team_id, key_id,
      coalesce(provider, '') as provider, coalesce(model, '') as model, alias, ${sums}
    from ${counted}
    group by 1, 2, 3, 4, 5, 6, 7
  ), tag_hours as materialized (
    select bucket, organization_id, team_id, tag.key as tag_key, coalesce(tag.value, '') as tag_value, provider, model, ${sums}
    from (
      select date_trunc('hour', reserved_at, 'UTC') as bucket, organization_id, team_id, tags,
        coalesce(provider, '') as provider, coalesce(model, '') as model, ${sums}
      from ${counted}
      where tags <> '{}'
      group by 1, 2, 3, 4, 5, 6
    ) as tagged
    cross join lateral jsonb_each_text(tags) as tag
    group by 1, 2, 3, 4, 5, 6, 7
  )`
}

/** The select list that turns the rows of `usage_hours` or `tag_hours` into those of the table; to be grouped. */
export function groupColumns({ unit, key }: RollupTable): string {
  const [, ...others] = key
  const bucket = unit === 'hour' ? 'bucket' : `date_trunc('${unit}', bucket, 'UTC') as bucket`
  return `${bucket}, ${others.join(', ')}, ${sums}`
}

export const hoursOf = ({ key }: RollupTable): string => (key.includes('tag_key') ? 'tag_hours' : 'usage_hours')

/** Adds the rows of a query to a rollup; the query gives its key and measures, each key once. */
export function addSql({ name, key }: RollupTable, query: string): string {
  const changed = measures.map((measure) => `${measure} = ${name}.${measure} + excluded.${measure}`)
  return `insert into ${name} (${key.join(', ')}, ${measures.join(', ')})
    ${query}
    order by ${ordinals(key.length)}
    on conflict (${key.join(', ')}) do update set ${changed.join(', ')}`
}

export const ordinals = (count: number): string => Array.from({ length: count }, (_, index) => index + 1).join(', ')

const sums = measures.map((measure) => `sum(${measure}) as ${measure}`).join(', ')
