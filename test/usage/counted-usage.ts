import type pg from 'pg'
import { createUuidV7Source } from '../../src/core/ids.ts'
import { measures, rollupTables } from '../../src/core/usage/rollups.store.ts'
import type { UsageEnd } from '../../src/core/usage/usage-record.ts'
import { usageEnd, usageIntent } from '../support/usage-records.ts'

const newId = createUuidV7Source()
export const jsonOf = (...records: readonly object[]): Buffer => Buffer.from(JSON.stringify(records))

/** A call of that moment, whose id says the same. */
export function endAt(reservedAt: string, changes: Partial<UsageEnd> = {}): UsageEnd {
  const [attempt] = usageEnd(usageIntent()).attempts
  const end = usageEnd(usageIntent({ request_id: newId(Date.parse(reservedAt)), reserved_at: reservedAt }), changes)
  if (changes.attempts || !attempt) return end
  const { provider, model, units, provider_cost_nano, price_version } = end
  return {
    ...end,
    attempts: [
      { ...attempt, provider: provider ?? '', model: model ?? '', units, cost_nano: provider_cost_nano, price_version },
    ],
  }
}

/** Rollup rows by table and key, as text: what the tables hold, but for ids and times of writing. */
export type Rollups = Record<string, Record<string, string>>

export async function storedRollups(pool: pg.Pool): Promise<Rollups> {
  const all: Rollups = {}
  for (const { name, key } of Object.values(rollupTables)) {
    const { rows } = await pool.query(`select ${key.join(', ')}, ${measures.join(', ')} from ${name}`)
    all[name] = Object.fromEntries(
      rows.map((row) => [keyText(key.map((column) => row[column])), measures.map((measure) => row[measure]).join(' ')]),
    )
  }
  return all
}

/** The same from scratch and by other means: row by row, in JavaScript, from records and ledger. */
export async function expectedRollups(pool: pg.Pool): Promise<Rollups> {
  const { rows: records } = await pool.query(
    `select u.*, u.reserved_at::text as at, (
       select coalesce(sum(l.amount_nano), 0)::text from ledger_entries l
       where l.reserved_at = u.reserved_at and l.request_id = u.request_id and l.budget_period_id is null) as net_nano
     from usage_records u where u.state <> 'reserved'`,
  )
  const sums: Record<string, Record<string, bigint[]>> = {}
  for (const { name } of Object.values(rollupTables)) sums[name] = {}
  for (const record of records) {
    const { reserved_at: at, organization_id, team_id, key_id, alias } = record
    const [provider, model] = [record.provider ?? '', record.model ?? '']
    const answered = ['stop', 'length', 'tool_calls', 'content_filter'].includes(record.finish)
    const left = record.finish === 'client_disconnected'
    const counted: Record<(typeof measures)[number], bigint> = {
      requests: 1n,
      failed_requests: answered || left ? 0n : 1n,
      disconnected_requests: left ? 1n : 0n,
      estimated_requests: ['counted', 'estimated'].includes(record.usage_source) ? 1n : 0n,
      unpriced_requests: record.unpriced ? 1n : 0n,
      input_tokens: BigInt(record.input_tokens),
      cache_read_tokens: BigInt(record.cache_read_tokens),
      cache_write_tokens: BigInt(record.cache_write_tokens),
      output_tokens: BigInt(record.output_tokens),
      reasoning_tokens: BigInt(record.reasoning_tokens),
      cost_nano: BigInt(record.net_nano),
      charged_nano: BigInt(record.charged_nano),
    }
    for (const { name, unit, key } of Object.values(rollupTables)) {
      const bucket = bucketOf(at, unit)
      const columns = key as readonly string[]
      const own = columns.includes('key_id') ? [key_id] : []
      const keys = columns.includes('tag_key')
        ? Object.entries(record.tags).map((tag) => [bucket, organization_id, team_id, ...tag, provider, model])
        : [[bucket, organization_id, team_id, ...own, provider, model, alias]]
      const table = sums[name] ?? {}
      for (const parts of keys) {
        const row = table[keyText(parts)] ?? measures.map(() => 0n)
        table[keyText(parts)] = row
        for (const [index, measure] of measures.entries()) row[index] = (row[index] ?? 0n) + counted[measure]
      }
    }
  }
  return Object.fromEntries(
    Object.entries(sums).map(([name, table]) => [
      name,
      Object.fromEntries(Object.entries(table).map(([key, row]) => [key, row.join(' ')])),
    ]),
  )
}

function bucketOf(at: Date, unit: 'hour' | 'day' | 'month'): Date {
  const [year, month, day, hour] = [at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate(), at.getUTCHours()]
  if (unit === 'month') return new Date(Date.UTC(year, month))
  return new Date(Date.UTC(year, month, day, unit === 'hour' ? hour : 0))
}

const keyText = (parts: readonly unknown[]): string => JSON.stringify(parts)
