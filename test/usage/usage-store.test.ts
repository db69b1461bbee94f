import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createCheckpointStore } from '../../src/core/usage/checkpoints.store.ts'
import { createOrphanStore } from '../../src/core/usage/orphans.store.ts'
import { blame, createUsageStore, type UsageStore } from '../../src/core/usage/usage.store.ts'
import type { UsageEnd } from '../../src/core/usage/usage-record.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { usageEnd, usageIntent } from '../support/usage-records.ts'

let database: TestDatabase
let store: UsageStore

beforeAll(async () => {
  database = await createTestDatabase()
  store = createUsageStore(database.pools.settlement)
})

afterAll(() => database.drop())

beforeEach(() => database.pools.admin.query('truncate usage_records, usage_attempts, ledger_entries'))

const json = (...records: object[]) => Buffer.from(JSON.stringify(records))

async function select(sql: string): Promise<Record<string, unknown>[]> {
  return (await database.pools.admin.query(sql)).rows
}

test('a record becomes its row, its attempts and one charge', async () => {
  const intent = usageIntent({ end_user: 'Zoë "🦊"', tags: { team: 'pay\\ments' } })
  const end = usageEnd(intent, {
    provider_cost_nano: '9007199254740993',
    reasoning_tokens: 12,
    implausible_usage: { total: -1 },
  })
  const [attempt] = end.attempts
  const failed = { ...attempt, attempt_no: 1, outcome: 'failed', billing: 'not_billed', cost_nano: '0' }
  const attempts = [failed, { ...attempt, attempt_no: 2 }]

  expect((await store.apply(json({ ...end, attempts }))).changed).toBe(1)

  const [row] = await select('select * from usage_records')
  expect(row).toMatchObject({
    request_id: end.request_id,
    reserved_at: new Date(end.reserved_at),
    ended_at: new Date(end.ended_at),
    state: 'settled',
    finish: 'stop',
    usage_source: 'provider',
    end_user: 'Zoë "🦊"',
    tags: { team: 'pay\\ments' },
    units: { input: 1_200, output: 300 },
    implausible_usage: { total: -1 },
    input_tokens: '1200',
    output_tokens: '300',
    reasoning_tokens: '12',
    provider_cost_nano: '9007199254740993',
    attempts: 2,
    stream: true,
    first_output_ms: 210,
    client_request_id: null,
  })
  for (const [name, value] of Object.entries(end)) {
    if (typeof value === 'string' && !name.endsWith('_at')) expect([name, row?.[name]]).toEqual([name, value])
  }
  expect(await select('select * from usage_attempts order by attempt_no')).toMatchObject([
    { attempt_no: 1, outcome: 'failed', billing: 'not_billed', cost_nano: '0' },
    {
      attempt_no: 2,
      outcome: 'answered',
      billing: 'billed',
      cost_nano: '360000',
      units: { input: 1_200, output: 300 },
    },
  ])
  expect(await select('select * from ledger_entries')).toMatchObject([
    {
      id: end.request_id,
      request_id: end.request_id,
      kind: 'charge',
      seq: 0,
      amount_nano: '9007199254740993',
      key_id: end.key_id,
      team_id: end.team_id,
      budget_period_id: null,
    },
  ])
})

test('applied again, in any company, a record changes nothing', async () => {
  const ends = Array.from({ length: 6 }, () => usageEnd(usageIntent()))
  await store.apply(json(...ends.slice(0, 4)))
  const rows = await select('select * from usage_records order by request_id')

  expect((await store.apply(json(...ends.slice(0, 4)))).changed).toBe(0)
  const late = { ...ends[0], state: 'estimated', provider_cost_nano: '1', attempts: [] }
  expect((await store.apply(json(late, ...ends.slice(1)))).changed).toBe(2)

  const after = await select('select * from usage_records order by request_id')
  const known = new Set(rows.map((row) => row.request_id))
  expect(after.filter((row) => known.has(row.request_id))).toEqual(rows)
  expect(await select('select count(*), sum(amount_nano) from ledger_entries')).toEqual([
    { count: '6', sum: String(6 * 360_000) },
  ])
  expect(await select('select count(*) from usage_attempts')).toEqual([{ count: '6' }])
})

test('a row reserved ahead is completed and charged, once', async () => {
  const end = usageEnd(usageIntent())
  await database.pools.admin.query(
    `insert into usage_records (request_id, reserved_at, organization_id, key_id, operation, door, requested_model,
      state, owner_replica, checkpoint_output_tokens) values ($1, $2, $3, $4, 'chat', 'rest', 'smart', 'reserved', 'r', 17)`,
    [end.request_id, end.reserved_at, end.organization_id, end.key_id],
  )

  expect((await store.apply(json(end))).changed).toBe(1)
  expect((await store.apply(json(end))).changed).toBe(0)

  expect(await select('select * from usage_records')).toMatchObject([
    { state: 'settled', attempts: 1, provider: 'openai', output_tokens: '300', checkpoint_output_tokens: '17' },
  ])
  expect(await select('select amount_nano from ledger_entries')).toEqual([{ amount_nano: '360000' }])
})

test('a call under way that another key pays for is found again as both keys had it', async () => {
  const intent = usageIntent({ caller_key_id: '0193591c-7d5c-7abc-8def-0000000000c1', orphan_cost_nano: '700' })
  const { input_tokens_estimate, orphan_cost_nano, ...identity } = intent
  await createCheckpointStore(database.pools.settlement).write([
    { ...identity, input_tokens: input_tokens_estimate, checkpoint_output_tokens: 9, provider_cost_nano: '700' },
  ])

  const [open] = await createOrphanStore(database.pools.admin).openCalls(intent.owner_replica, 10)
  expect({ ...open?.intent, reserved_at: intent.reserved_at }).toEqual(intent)
  await store.apply(json(usageEnd(open?.intent ?? intent)))
  expect(await select('select key_id, caller_key_id, state from usage_records')).toEqual([
    { key_id: intent.key_id, caller_key_id: intent.caller_key_id, state: 'settled' },
  ])
})

test('what costs nothing leaves no ledger entry', async () => {
  await store.apply(json(usageEnd(usageIntent(), { state: 'released', provider_cost_nano: '0', attempts: [] })))

  expect(await select('select state from usage_records')).toEqual([{ state: 'released' }])
  expect(await select('select * from ledger_entries')).toEqual([])
})

test('a fraction of a millisecond does not cost a record', async () => {
  const end = usageEnd(usageIntent(), { total_ms: 12.6, first_output_ms: 0.2 })
  await store.apply(json(end))

  expect(await select('select total_ms, first_output_ms from usage_records')).toEqual([
    { total_ms: 13, first_output_ms: 0 },
  ])
})

test('a batch is applied whole or not at all, and the error says whose fault it is', async () => {
  const bad: [Partial<Record<keyof UsageEnd, unknown>>, string][] = [
    [{ price_version: 'not a uuid' }, 'record'],
    [{ input_tokens: 1.5 }, 'record'],
    [{ state: 'unheard of' }, 'record'],
    [{ organization_id: null }, 'record'],
    [{ end_user: 'nul \0' }, 'record'],
  ]
  for (const [changes, fault] of bad) {
    const error = await store
      .apply(json(usageEnd(usageIntent()), { ...usageEnd(usageIntent()), ...changes }))
      .catch((thrown: unknown) => thrown)
    expect([changes, blame(error)]).toEqual([changes, fault])
  }
  expect(await select('select * from usage_records')).toEqual([])
})

test('faults that pass are the database’s, and those of too much work at once are known', async () => {
  const { admin } = database.pools
  const thrown = async (sql: string) => admin.query(sql).catch((error: unknown) => error)

  expect(blame(await thrown('select 1 from no_such_table'))).toBe('database')
  expect(blame(await thrown(`do $$ begin raise exception using errcode = '40P01'; end $$`))).toBe('database')
  expect(blame(await thrown(`set statement_timeout = 5; select pg_sleep(10)`))).toBe('time')
  expect(blame(new Error('Connection terminated unexpectedly'))).toBe('database')
  expect(blame(undefined)).toBe('database')
})
