import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Log } from '../log.ts'
import { openConnection } from './connection.ts'

export interface PartitionOptions {
  url: string
  log: Log
  /** Days after today that get a partition before they begin. */
  daysAhead?: number
  /** Days before today that get one, too: yesterday, for calls that began just before midnight. */
  daysBack?: number
  /** Whole days to keep besides today; undefined keeps them for ever. */
  usageRetentionDays?: number | undefined
  ledgerRetentionDays?: number | undefined
  /** Instead of the database's time, so that tests can choose the day; milliseconds since the epoch. */
  nowMs?: number
  /** Calls queue behind whoever waits for a strong lock; so never wait long, rather step back and try again. */
  lockTimeoutMs?: number
}

export interface PartitionReport {
  created: readonly string[]
  dropped: readonly string[]
  /** Rows that had waited in a default partition for their day. */
  movedRows: number
  /** What could not get its lock; the next run tries again, and until then rows go to the default partition. */
  postponed: readonly string[]
}

export interface PartitionJob {
  close(): Promise<void>
}

export const defaultUsageRetentionDays = 400
export const defaultLedgerRetentionDays = 2_555

const dayMs = 86_400_000
/** Held by whoever makes or drops partitions; whoever must not have them dropped meanwhile shares it. */
export const partitionsLock = 'hashtext($$llmgw partitions$$)'
const attemptsMax = 5
const waitForOthersMs = 60_000

/**
 * Sees to it that every day from yesterday on has its partitions, and drops those that retention has passed.
 *
 * Days are UTC, by the database's clock. A row of a day without a partition is in the table's default partition, which
 * is never dropped: rows are not refused. When that day gets its partition, the rows move there in the same transaction.
 * Safe to run on several replicas at once: one works, the others wait and find nothing to do.
 */
export async function maintainPartitions(options: PartitionOptions): Promise<PartitionReport> {
  const { lockTimeoutMs = 2_000 } = options
  await using client = await openConnection({ url: options.url, purpose: 'partitions', lockTimeoutMs })
  const today = startOfDay(options.nowMs ?? (await databaseNowMs(client)))
  if ((await planWork(client, today, options)).length === 0) return nothingDone
  await client.query(`select set_config('lock_timeout', $1, false)`, [String(waitForOthersMs)])
  await client.query(`select pg_advisory_lock(${partitionsLock})`)
  await client.query(`select set_config('lock_timeout', $1, false)`, [String(lockTimeoutMs)])
  // The database's log is flushed in order: what a crash takes back of this, no acknowledged usage has come after.
  await client.query('set synchronous_commit = off')

  const report = { created: [] as string[], dropped: [] as string[], movedRows: 0, postponed: [] as string[] }
  for (const task of await planWork(client, today, options)) {
    const name = partitionName(task.table, task.day)
    try {
      if (task.kind === 'create') {
        report.movedRows += await retrying(() => createPartition(client, task))
        report.created.push(name)
      } else {
        await retrying(() => inTransaction(client, () => dropDay(client, task)))
        report.dropped.push(task.kind === 'drop' ? name : `${task.table}_default before ${isoDay(task.day)}`)
      }
    } catch (error) {
      if (!isLockTimeout(error)) throw error
      report.postponed.push(name)
      options.log.warn({ partition: name }, 'A partition has to wait: its table is too busy.')
    }
  }
  return report
}

/** Runs `maintainPartitions` now and then; the caller has run it once before serving. */
export function startPartitionJob(options: PartitionOptions & { everyMs?: number }): PartitionJob {
  const { everyMs = 3_600_000, log } = options
  const stopping = new AbortController()
  const running = run()
  return {
    close: async () => {
      stopping.abort()
      await running
    },
  }

  async function run(): Promise<void> {
    while (true) {
      // Replicas that start together do not stay in step.
      const waitMs = everyMs * (0.8 + 0.4 * Math.random())
      await delay(waitMs, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined)
      if (stopping.signal.aborted) return
      try {
        const { created, dropped, movedRows } = await maintainPartitions(options)
        if (created.length + dropped.length > 0)
          log.info({ created, dropped, movedRows }, 'Partitions were maintained.')
      } catch (error) {
        log.warn({ err: error }, 'Partitions were not maintained; the next run tries again.')
      }
    }
  }
}

const nothingDone: PartitionReport = { created: [], dropped: [], movedRows: 0, postponed: [] }

/** Days are the milliseconds at which they begin, UTC. */
interface Task {
  kind: 'create' | 'drop' | 'drop-default-rows'
  table: PartitionedTable
  day: number
}

type PartitionedTable = (typeof partitionedTables)[number]
export const partitionedTables = ['usage_records', 'usage_attempts', 'ledger_entries'] as const

async function planWork(client: pg.Client, today: number, options: PartitionOptions): Promise<Task[]> {
  const { daysAhead = 7, daysBack = 1 } = options
  const tasks: Task[] = []
  for (const table of partitionedTables) {
    const retentionDays = table === 'ledger_entries' ? options.ledgerRetentionDays : options.usageRetentionDays
    const firstKept = retentionDays === undefined ? Number.NEGATIVE_INFINITY : today - retentionDays * dayMs
    const existing = await existingDays(client, table)
    const stray = await strayDays(client, table)
    const wanted = new Set<number>()
    for (let ahead = -daysBack; ahead <= daysAhead; ahead++) wanted.add(today + ahead * dayMs)
    // What lies further ahead stays in the default partition until its day comes near.
    for (const day of stray) if (day <= today + daysAhead * dayMs) wanted.add(day)
    for (const day of wanted) {
      if (day >= firstKept && !existing.has(day)) tasks.push({ kind: 'create', table, day })
    }
    for (const day of existing) if (day < firstKept) tasks.push({ kind: 'drop', table, day })
    if (stray.some((day) => day < firstKept)) tasks.push({ kind: 'drop-default-rows', table, day: firstKept })
  }
  return tasks
}

async function existingDays(client: pg.Client, table: PartitionedTable): Promise<Set<number>> {
  const { rows } = await client.query<{ name: string }>(
    `select child.relname as name
     from pg_inherits
     join pg_class child on child.oid = pg_inherits.inhrelid
     where pg_inherits.inhparent = $1::regclass`,
    [table],
  )
  const days = new Set<number>()
  for (const { name } of rows) {
    const [, year, month, day] = new RegExp(`^${table}_(\\d{4})(\\d\\d)(\\d\\d)$`).exec(name) ?? []
    if (year && month && day) days.add(Date.UTC(Number(year), Number(month) - 1, Number(day)))
  }
  return days
}

/** The days of which the default partition has rows; next to none, as a rule. */
async function strayDays(client: pg.Client, table: PartitionedTable): Promise<number[]> {
  const { rows } = await client.query<{ day: number }>(
    `select distinct extract(epoch from date_trunc('day', reserved_at, 'UTC'))::float8 as day from ${table}_default`,
  )
  return rows.map(({ day }) => day * 1_000)
}

/**
 * Attaching a finished table needs a weaker lock than creating a partition in place: reads and writes of other days go
 * on. Only when rows have to move are writers kept out, since one that is already on its way to the default partition
 * would fail there once the day is somebody else's.
 *
 * Names and dates are made of constants and digits here; DDL takes no parameters.
 *
 * @returns how many rows moved
 */
async function createPartition(client: pg.Client, { table, day }: Task): Promise<number> {
  const name = partitionName(table, day)
  const from = `timestamptz '${isoDay(day)} 00:00:00+00'`
  const to = `timestamptz '${isoDay(day + dayMs)} 00:00:00+00'`
  return inTransaction(client, async () => {
    const inDay = `reserved_at >= ${from} and reserved_at < ${to}`
    const { rows } = await client.query(`select exists (select from ${table}_default where ${inDay}) as found`)
    if (rows[0].found) await client.query(`lock table ${table} in share row exclusive mode`)
    await client.query(`create table ${name} (like ${table} including all)`)
    const moved = rows[0].found
      ? await withoutTriggers(client, `${table}_default`, () =>
          client.query(
            `with moved as (delete from ${table}_default where ${inDay} returning *)
             insert into ${name} select * from moved`,
          ),
        )
      : undefined
    await client.query(`alter table ${table} attach partition ${name} for values from (${from}) to (${to})`)
    return moved?.rowCount ?? 0
  })
}

/** What is gone is written down: nobody shall take the rows that are left for all there were. */
async function dropDay(client: pg.Client, { kind, table, day }: Task): Promise<void> {
  if (kind === 'drop') {
    const name = partitionName(table, day)
    await client.query(`lock table ${name}`) // in the mode that dropping needs: nothing comes in after the sum
    if (table === 'ledger_entries') await archiveSums(client, name)
    await client.query(`drop table ${name}`)
  } else {
    const isOld = `reserved_at < timestamptz '${isoDay(day)} 00:00:00+00'`
    await withoutTriggers(client, `${table}_default`, async () => {
      if (table === 'ledger_entries') {
        await archiveSums(client, `(select * from ${table}_default where ${isOld}) dropped`)
      }
      await client.query(`delete from ${table}_default where ${isOld}`)
    })
  }
  await client.query(
    `insert into usage_retention (table_name, dropped_before) values ($1, $2)
     on conflict (table_name) do update set dropped_before = greatest(usage_retention.dropped_before, excluded.dropped_before)`,
    [table, new Date(kind === 'drop' ? day + dayMs : day)],
  )
}

/** A budget of all time outlives its entries: what they had added up to stays with the period, for the audit. */
async function archiveSums(client: pg.Client, entries: string): Promise<void> {
  await client.query(
    `update budget_periods p set archived_nano = p.archived_nano + sums.nano
     from (select budget_period_id, sum(amount_nano) as nano from ${entries} group by budget_period_id) sums
     where p.id = sums.budget_period_id`,
  )
}

/** The ledger refuses deletions; moving rows between its partitions and ending their retention are not changes to it. */
async function withoutTriggers<T>(client: pg.Client, table: string, work: () => Promise<T>): Promise<T> {
  await client.query(`alter table ${table} disable trigger user`)
  const result = await work()
  await client.query(`alter table ${table} enable trigger user`)
  return result
}

async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin')
  try {
    const result = await work()
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt === attemptsMax || !isLockTimeout(error)) throw error
      await delay(Math.random() * 200 * attempt)
    }
  }
}

function isLockTimeout(error: unknown): boolean {
  const { code } = error as { code?: string }
  return code === '55P03' || code === '40P01' // a deadlock is resolved by stepping back, too
}

async function databaseNowMs(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ now: Date }>('select clock_timestamp() as now')
  return (rows[0] as { now: Date }).now.getTime()
}

function startOfDay(nowMs: number): number {
  return Math.floor(nowMs / dayMs) * dayMs
}

function isoDay(day: number): string {
  return new Date(day).toISOString().slice(0, 10)
}

function partitionName(table: PartitionedTable, day: number): string {
  return `${table}_${isoDay(day).replaceAll('-', '')}`
}
