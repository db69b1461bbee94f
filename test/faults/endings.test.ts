import { setTimeout as delay } from 'node:timers/promises'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openRawConnection, postRequest } from '../support/raw-connection.ts'
import { expectExactAccounts, expectExactCharges, recordsOf } from './kit/accounts.ts'
import { callOnce } from './kit/caller.ts'
import { createMoneyWatch } from './kit/money-watch.ts'
import type { ProviderCall } from './kit/provider.ts'
import { type ProviderScript, promptOf, promptTokens, type UsageKind } from './kit/provider-script.ts'
import type { Replica } from './kit/replica.ts'
import type { Tenant } from './kit/tenants.ts'
import { models, outputNanoPerToken } from './kit/world.ts'
import { worldOfFile } from './kit/world-of-file.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const accountsMsMax = 20_000

let tenant: Tenant
const world = worldOfFile()
beforeEach(async () => {
  // Wide enough never to refuse anything here, so that it counts whatever is spent.
  const budgets = [{ scope: 'key' as const, amountNano: 1_000_000_000_000n }]
  tenant = await world().tenants.create({ budgets })
})

const replicaFor = (index: number): Replica => world().replicas[index % world().replicas.length] as Replica

/** The calls of this tenant, as the provider saw them. */
async function callsOfTenant(): Promise<ProviderCall[]> {
  const records = await recordsOf(world().postgres.pool, tenant)
  return (await world().provider.calls()).filter(({ requestId }) => records.has(requestId))
}

describe('a client that leaves', () => {
  const stages = [
    ['before the body is whole', {}, 0],
    ['while the provider is silent', { afterMs: 10_000 }, 1],
    ['in the middle of a stream', { chunks: 40, everyMs: 50 }, 1],
    ['after the last byte', { chunks: 2 }, 1],
  ] as const satisfies readonly [string, ProviderScript, number][]

  test.for(stages)('%s is accounted once, for what the provider did', async ([stage, script, callsPerClient]) => {
    const clients = 9
    const seenBefore = (await world().provider.calls()).length
    const expected = seenBefore + clients * callsPerClient
    const arrived = () =>
      eventually('all calls to arrive', async () => (await world().provider.calls()).length >= expected)
    await Promise.all(
      Array.from({ length: clients }, (_, client) => leave(replicaFor(client), client, stage, script, arrived)),
    )
    await eventually('the provider to have seen them', async () => (await world().provider.calls()).length >= expected)
    await expectExactCharges(world(), accountsMsMax)
    const calls = await callsOfTenant()
    const records = await recordsOf(world().postgres.pool, tenant)
    expect(calls).toHaveLength(clients * callsPerClient)
    expect(records.size).toBe(clients * callsPerClient)
    for (const { end, requestId } of calls) {
      const record = records.get(requestId)
      if (stage === 'after the last byte') {
        expect(record).toMatchObject({ finish: 'stop', usage_source: 'provider' })
      } else {
        // The gateway has hung up on the provider, and what was asked for is not free.
        expect(end?.how).toBe('client_gone')
        expect(record).toMatchObject({ state: 'settled', finish: 'client_disconnected', usage_source: 'counted' })
      }
      if (stage === 'in the middle of a stream') {
        // Each word is five bytes: more than one token by our count, less than two.
        const words = end?.chunksSent ?? 0
        const cost = BigInt(record?.provider_cost_nano ?? 0)
        expect(words).toBeGreaterThan(0)
        expect(cost).toBeGreaterThan(0n)
        expect(cost).toBeLessThanOrEqual(BigInt(words) * 2n * outputNanoPerToken)
      }
    }
  })

  async function leave(
    replica: Replica,
    client: number,
    stage: string,
    script: ProviderScript,
    arrived: () => Promise<unknown>,
  ): Promise<void> {
    const stream = stage !== 'while the provider is silent' || client % 2 === 0
    const body = { model: models.byOutput, stream, messages: [{ role: 'user', content: promptOf(script) }] }
    using connection = await openRawConnection(replica.restUrl)
    const request = postRequest('/v1/chat/completions', tenant.secret, body)
    if (stage === 'before the body is whole') {
      connection.send(request.slice(0, -10))
      await delay(50)
      return
    }
    connection.send(request)
    if (stage === 'while the provider is silent') {
      // All of them: who sees only that another's call has arrived may leave before its own is sent.
      await arrived()
    } else if (stage === 'in the middle of a stream') {
      await eventually('the first words', () => connection.received.split('word').length > 3)
    } else {
      await eventually('the end of the answer', () => connection.received.includes('[DONE]'))
    }
  }
})

describe('a provider', () => {
  const wordBytes = 5
  const chunks = 8

  test.for(['none', 'negative', 'fractional', 'huge'] satisfies UsageKind[])(
    'whose usage is %s is accounted by our own count',
    async (usage) => {
      for (const stream of [false, true]) {
        const outcomes = await Promise.all(
          world().replicas.map((replica) => callOnce(replica, tenant, { chunks, usage }, { stream })),
        )
        expect(outcomes.map(({ isWhole }) => isWhole)).toEqual(world().replicas.map(() => true))
      }
      await expectExactCharges(world(), accountsMsMax)
      const records = [...(await recordsOf(world().postgres.pool, tenant)).values()]
      expect(records).toHaveLength(2 * world().replicas.length)
      const tokens = (chunks * wordBytes) / 4
      for (const record of records) {
        expect(record).toMatchObject({
          state: 'settled',
          usage_source: 'counted',
          output_tokens: String(tokens),
          provider_cost_nano: String(BigInt(tokens) * outputNanoPerToken),
        })
        expect(record.implausible_usage === null).toBe(usage === 'none')
      }
    },
  )

  test('that tells its usage is believed', async () => {
    const script = { chunks: 4, outputTokens: 77 }
    const outcomes = await Promise.all(
      world().replicas.map((replica) => callOnce(replica, tenant, script, { model: models.priced })),
    )
    expect(outcomes.map(({ isWhole }) => isWhole)).toEqual(world().replicas.map(() => true))
    await expectExactCharges(world(), accountsMsMax)
    for (const record of (await recordsOf(world().postgres.pool, tenant)).values()) {
      expect(record).toMatchObject({
        usage_source: 'provider',
        input_tokens: String(promptTokens),
        output_tokens: '77',
        provider_cost_nano: String(promptTokens * 1_000 + 77 * 4_000),
      })
    }
  })

  test('that breaks off never looks finished, and what came of it is accounted', async () => {
    const outcomes = await Promise.all(
      world().replicas.flatMap((replica) => [
        callOnce(replica, tenant, { chunks, cutAfterChunks: 4 }, { stream: true }),
        callOnce(replica, tenant, { chunks, cutAfterChunks: 4 }),
      ]),
    )
    expect(outcomes.map(({ isWhole }) => isWhole)).toEqual(outcomes.map(() => false))
    await expectExactCharges(world(), accountsMsMax)
    const records = await recordsOf(world().postgres.pool, tenant)
    expect(records.size).toBe(outcomes.length)
    for (const { requestId, stream } of await callsOfTenant()) {
      const record = records.get(requestId)
      expect(record?.finish).toBe('provider_error')
      if (stream) expect(record).toMatchObject({ usage_source: 'counted', output_tokens: String((4 * wordBytes) / 4) })
    }
  })

  test('that fails is not paid', async () => {
    const outcomes = await Promise.all(world().replicas.map((replica) => callOnce(replica, tenant, { status: 500 })))
    expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map(() => 502))
    await expectExactCharges(world(), accountsMsMax)
    for (const record of (await recordsOf(world().postgres.pool, tenant)).values()) {
      expect(record).toMatchObject({ state: 'released', provider_cost_nano: '0' })
    }
  })
})

describe('books that are wrong are found', () => {
  const wrongs = [
    ['a record is missing', 'delete from usage_records where request_id = $1', /calls have none/],
    ['a record was left open', `update usage_records set state = 'reserved' where request_id = $1`, /calls have none/],
    [
      'a call has two records',
      `insert into usage_records (request_id, reserved_at, organization_id, key_id, operation, door, requested_model,
         state, owner_replica)
       select request_id, reserved_at + interval '1 ms', organization_id, key_id, operation, door, requested_model,
         'released', owner_replica
       from usage_records where request_id = $1`,
      /M2/,
    ],
    [
      'a call is charged twice',
      `insert into ledger_entries (id, request_id, reserved_at, kind, seq, amount_nano, budget_period_id,
         organization_id, key_id)
       select gen_random_uuid(), request_id, reserved_at, kind, 7, amount_nano, budget_period_id, organization_id,
         key_id
       from ledger_entries where request_id = $1`,
      /M3/,
    ],
    ['a charge is missing', 'delete from ledger_entries where request_id = $1', /M3/],
    ['a charge is wrong', 'update ledger_entries set amount_nano = amount_nano - 1 where request_id = $1', /M3/],
    ['a settled call is adjusted', `update ledger_entries set kind = 'adjust' where request_id = $1`, /M3/],
    ['a cost is wrong', 'update usage_attempts set cost_nano = cost_nano + 1 where request_id = $1', /M4/],
    ['a count is wrong', 'update usage_records set output_tokens = output_tokens + 1 where request_id = $1', /M4/],
    [
      'something is still leased',
      `with period as (${onePeriodSql('leased_nano')})
       select 1 from period where $1::uuid is not null`,
      /Still leased/,
    ],
    [
      'something is committed that was never charged',
      `with period as (${onePeriodSql('committed_nano')})
       select 1 from period where $1::uuid is not null`,
      /M7/,
    ],
  ] as const

  test('and those of all the calls before are right', async () => {
    await expectExactAccounts(world(), accountsMsMax)
  })

  test.for(wrongs)('%s', async ([, sql, complaint]) => {
    // Of a key without budgets, so that nothing is leased.
    const outcome = await callOnce(replicaFor(0), await world().tenants.create(), { outputTokens: 9 })
    await expectExactAccounts(world(), accountsMsMax)
    const client = await world().postgres.pool.connect()
    try {
      await client.query('begin')
      await client.query('set local session_replication_role = replica') // the ledger refuses changes to everybody else
      await client.query(sql, [outcome.requestId])
      await expect(expectExactAccounts({ ...world(), postgres: { pool: client } }, 100)).rejects.toThrow(complaint)
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  /** A second period of some budget. */
  function onePeriodSql(column: 'leased_nano' | 'committed_nano'): string {
    return `insert into budget_periods (id, budget_id, period_start, limit_nano, mode, ${column})
      select gen_random_uuid(), b.id, '2001-01-01', 1000, 'soft', 5 from budgets b limit 1
      returning id`
  }
})

test('a hard budget that is overspent for a moment is noticed', async () => {
  const { pool } = world().postgres
  await using watch = createMoneyWatch(pool)
  await pool.query(
    `insert into budget_periods (id, budget_id, period_start, limit_nano, mode, committed_nano, leased_nano)
     select gen_random_uuid(), b.id, '2001-01-01', 10, 'hard', 6, 5 from budgets b limit 1`,
  )
  await eventually('the breach to be noticed', () => watch.breaches.length > 0)
  await pool.query(`delete from budget_periods where period_start = '2001-01-01'`)
  expect(watch.breaches).toEqual([expect.stringMatching(/committed 6 \+ leased 5 > limit 10$/)])
})
