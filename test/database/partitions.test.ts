import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { maintainPartitions, type PartitionOptions, partitionedTables } from '../../src/core/db/partitions.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { silent, warningsOnly } from '../support/log.ts'

let database: TestDatabase
beforeEach(async () => {
  database = await createTestDatabase()
})
afterEach(() => database.drop())

const maintain = (at: string, options: Partial<PartitionOptions> = {}) =>
  maintainPartitions({ url: database.url, log: warningsOnly, nowMs: Date.parse(at), daysAhead: 1, ...options })

async function partitionsOf(table: string): Promise<string[]> {
  const { rows } = await database.pools.admin.query(
    `select child.relname as name from pg_inherits join pg_class child on child.oid = inhrelid
     where inhparent = $1::regclass order by 1`,
    [table],
  )
  return rows.map(({ name }) => name.slice(table.length + 1)).filter((name) => name !== 'default')
}

async function insertUsage(reservedAt: string): Promise<void> {
  const id = randomUUID()
  const owner = [id, reservedAt, randomUUID(), randomUUID()]
  await database.pools.admin.query(
    `insert into usage_records (request_id, reserved_at, organization_id, key_id, operation, door, requested_model,
       state, owner_replica) values ($1, $2, $3, $4, 'chat', 'rest', 'smart', 'settled', 'r1')`,
    owner,
  )
  await database.pools.admin.query(
    `insert into ledger_entries (id, request_id, reserved_at, organization_id, key_id, kind, amount_nano)
     values ($1, $1, $2, $3, $4, 'charge', 5)`,
    owner,
  )
}

/** Where rows lie, e.g. `usage_records_20261123`. */
async function placesOf(table: string): Promise<string[]> {
  const { rows } = await database.pools.admin.query(`select tableoid::regclass::text as place from ${table} order by 1`)
  return rows.map(({ place }) => place)
}

test('a year end has yesterday, today and the days ahead, in all three tables', async () => {
  const report = await maintain('2026-12-31T12:00:00Z', { daysAhead: 2 })
  expect(report.created).toHaveLength(4 * 3)
  for (const table of partitionedTables) {
    expect(await partitionsOf(table)).toEqual(['20261230', '20261231', '20270101', '20270102'])
  }
})

test('a leap day is a day', async () => {
  await maintain('2028-02-28T23:59:59.999Z')
  expect(await partitionsOf('usage_records')).toEqual(['20280227', '20280228', '20280229'])
  await insertUsage('2028-02-29T00:00:00Z')
  await insertUsage('2028-02-29T23:59:59.999999Z')
  await insertUsage('2028-03-01T00:00:00Z')
  expect(await placesOf('usage_records')).toEqual([
    'usage_records_20280229',
    'usage_records_20280229',
    'usage_records_default',
  ])
})

test('a minute after midnight a call reserved before it has its place', async () => {
  await maintain('2026-03-01T00:00:00.001Z', { daysAhead: 0 })
  expect(await partitionsOf('usage_records')).toEqual(['20260228', '20260301'])
  await insertUsage('2026-02-28T23:59:59.999999Z')
  expect(await placesOf('usage_records')).toEqual(['usage_records_20260228'])
})

test('days are UTC whatever the time zone of the database', async () => {
  await database.pools.admin.query(`alter database ${database.name} set timezone to 'Pacific/Auckland'`)
  await maintain('2026-11-23T00:30:00Z', { daysAhead: 0 })
  await insertUsage('2026-11-22T23:59:59Z')
  await insertUsage('2026-11-23T00:00:00Z')
  expect(await placesOf('usage_records')).toEqual(['usage_records_20261122', 'usage_records_20261123'])
})

test('without a chosen time the database says what day it is', async () => {
  await maintainPartitions({ url: database.url, log: silent, daysAhead: 0 })
  const { rows } = await database.pools.admin.query(`select to_char(now() at time zone 'UTC', 'YYYYMMDD') as today`)
  expect(await partitionsOf('ledger_entries')).toContain(rows[0].today)
})

test('a second run finds nothing to do', async () => {
  await maintain('2026-11-23T12:00:00Z')
  expect(await maintain('2026-11-23T13:00:00Z')).toEqual({ created: [], dropped: [], movedRows: 0, postponed: [] })
})

test('of replicas that run at once each partition is made by one', async () => {
  const reports = await Promise.all(Array.from({ length: 4 }, () => maintain('2026-11-23T12:00:00Z', { daysAhead: 7 })))
  const created = reports.flatMap((report) => report.created)
  expect(created).toHaveLength(9 * 3)
  expect(new Set(created).size).toBe(created.length)
})

test('rows that came before their day had a partition move into it, the append-only ledger included', async () => {
  await insertUsage('2026-11-23T08:00:00Z')
  await insertUsage('2026-11-10T08:00:00Z')
  await insertUsage('2027-06-01T08:00:00Z')
  const report = await maintain('2026-11-23T12:00:00Z')
  expect(report.movedRows).toBe(4)
  for (const table of ['usage_records', 'ledger_entries']) {
    expect(await placesOf(table)).toEqual([`${table}_20261110`, `${table}_20261123`, `${table}_default`])
  }
  await expect(database.pools.admin.query('delete from ledger_entries_default')).rejects.toThrow(/append only/)
  await expect(database.pools.admin.query('delete from ledger_entries')).rejects.toThrow(/append only/)
  await expect(insertUsage('2026-11-23T08:00:01Z')).resolves.toBeUndefined()
})

test('calls that write while rows move are delayed, not refused', async () => {
  await insertUsage('2026-11-23T08:00:00Z')
  let stopped = false
  let written = 0
  const writer = (async () => {
    while (!stopped) {
      await insertUsage('2026-11-23T09:00:00Z')
      written++
    }
  })()
  await expect.poll(() => written).toBeGreaterThan(3)
  const report = await maintain('2026-11-23T12:00:00Z')
  const writtenBefore = written
  await expect.poll(() => written).toBeGreaterThan(writtenBefore + 3)
  stopped = true
  await writer
  expect(report.created).toContain('usage_records_20261123')
  expect(new Set(await placesOf('usage_records'))).toEqual(new Set(['usage_records_20261123']))
})

test('retention drops what is older, keeps the ledger longer, and empties the default partition, too', async () => {
  await maintain('2026-01-02T12:00:00Z')
  await insertUsage('2026-01-02T12:00:00Z')
  const report = await maintain('2026-01-12T00:00:00Z', { usageRetentionDays: 10, ledgerRetentionDays: 100 })
  expect(report.dropped).toEqual(['usage_records_20260101', 'usage_attempts_20260101'])
  expect(await partitionsOf('usage_records')).toEqual(['20260102', '20260103', '20260111', '20260112', '20260113'])
  expect(await partitionsOf('ledger_entries')).toContain('20260101')

  await insertUsage('2025-06-01T00:00:00Z')
  const later = await maintain('2026-01-12T00:00:00Z', { usageRetentionDays: 10, ledgerRetentionDays: 100 })
  expect(later.dropped).toEqual(['usage_records_default before 2026-01-02', 'ledger_entries_default before 2025-10-04'])
  expect(await placesOf('usage_records')).toEqual(['usage_records_20260102'])
  expect(await placesOf('ledger_entries')).toEqual(['ledger_entries_20260102'])
})

test('up to where retention has dropped rows is written down, and never taken back', async () => {
  const droppedBefore = async () =>
    Object.fromEntries(
      (await database.pools.admin.query('select table_name, dropped_before from usage_retention')).rows.map((row) => [
        row.table_name,
        row.dropped_before.toISOString().slice(0, 10),
      ]),
    )
  await maintain('2026-01-02T12:00:00Z')
  expect(await droppedBefore()).toEqual({})
  await maintain('2026-01-12T00:00:00Z', { usageRetentionDays: 10, ledgerRetentionDays: 100 })
  expect(await droppedBefore()).toEqual({ usage_records: '2026-01-02', usage_attempts: '2026-01-02' })
  await insertUsage('2025-06-01T00:00:00Z')
  await maintain('2026-01-12T00:00:00Z', { usageRetentionDays: 30, ledgerRetentionDays: 100 })
  expect(await droppedBefore()).toEqual({
    usage_records: '2026-01-02',
    usage_attempts: '2026-01-02',
    ledger_entries: '2025-10-04',
  })
})

test('without a retention nothing is dropped', async () => {
  await maintain('2020-01-02T12:00:00Z')
  expect((await maintain('2026-11-23T12:00:00Z')).dropped).toEqual([])
  expect(await partitionsOf('usage_records')).toContain('20200102')
})

test('a table that is too busy is left for the next run', async () => {
  await using busy = Object.assign(await database.pools.admin.connect(), {
    async [Symbol.asyncDispose]() {
      await busy.query('rollback')
      busy.release()
    },
  })
  await busy.query('begin')
  await busy.query('lock table usage_attempts in share row exclusive mode')
  await busy.query('set local idle_in_transaction_session_timeout = 0')
  const report = await maintain('2026-11-23T12:00:00Z', { daysAhead: -1, log: silent, lockTimeoutMs: 50 })
  expect(report.postponed).toEqual(['usage_attempts_20261122'])
  expect(report.created).toEqual(['usage_records_20261122', 'ledger_entries_20261122'])
})
