import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startIdempotencyExpiry } from '../../src/core/idempotency/idempotency-expiry.ts'
import {
  createIdempotencyKeyStore,
  type IdempotencyKeyStore,
  type KeyUse,
} from '../../src/core/idempotency/idempotency-keys.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { letPass, readKeyRow } from '../support/idempotency.ts'
import { createRecordingLog } from '../support/log.ts'

const apiKeyId = randomUUID()
const otherApiKeyId = randomUUID()

let database: TestDatabase
let store: IdempotencyKeyStore
/** Over other connections, as another replica. */
let otherStore: IdempotencyKeyStore
beforeAll(async () => {
  database = await createTestDatabase()
  const settings = { retentionMs: 86_400_000, leaseMs: 45_000 }
  store = createIdempotencyKeyStore({ ...settings, pool: database.pools.admin, replica: 'one' })
  otherStore = createIdempotencyKeyStore({ ...settings, pool: database.pools.settlement, replica: 'two' })
  await database.pools.admin.query(
    `with organization as (
       insert into organizations (id, slug, name) values (gen_random_uuid(), 'acme', 'Acme') returning id
     )
     insert into api_keys (id, organization_id, name, secret_digest, pepper_id, display_prefix, last4, managed_by)
     select given.id, organization.id, 'test', decode(md5(given.id::text) || md5(given.id::text), 'hex'), 'p', 'sk', 'abcd', 'admin'
     from organization cross join unnest($1::uuid[]) as given (id)`,
    [[apiKeyId, otherApiKeyId]],
  )
})
afterAll(() => database.drop())
beforeEach(() => database.pools.admin.query('truncate idempotency_keys'))

const use = (idempotencyKey: string, more: Partial<KeyUse> = {}): KeyUse => ({
  apiKeyId,
  idempotencyKey,
  requestId: randomUUID(),
  fingerprint: Buffer.alloc(32, 1),
  ...more,
})
const rowOf = (key: string) => readKeyRow(database.pools.admin, key)
const answer = { status: 200, contentType: 'text/event-stream', body: Buffer.from('data: [DONE]\n\n') }

describe('claim', () => {
  test('of many at once exactly one gets the key', async () => {
    for (let round = 0; round < 20; round++) {
      const claims = Array.from({ length: 16 }, (_, index) => [store, otherStore][index % 2]?.claim(use(`k${round}`)))
      expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(1)
    }
  })

  test('of many at once that find it expired exactly one gets it', async () => {
    for (let round = 0; round < 20; round++) {
      await store.claim(use(`k${round}`))
      await letPass(database.pools.admin, `k${round}`, '24 hours')
      const claims = Array.from({ length: 16 }, (_, index) => [store, otherStore][index % 2]?.claim(use(`k${round}`)))
      expect((await Promise.all(claims)).filter(Boolean)).toHaveLength(1)
    }
  })

  test('the key of another caller is another key', async () => {
    expect(await store.claim(use('k'))).toBe(true)
    expect(await store.claim(use('k', { apiKeyId: otherApiKeyId }))).toBe(true)
  })

  test('a claim on an expired key leaves nothing of what was there', async () => {
    const first = use('k')
    await store.claim(first)
    await store.end(first, answer)
    await letPass(database.pools.admin, 'k', '24 hours')
    const second = use('k', { fingerprint: Buffer.alloc(32, 2) })
    expect(await store.find(second)).toBeUndefined()
    expect(await otherStore.claim(second)).toBe(true)
    expect(await rowOf('k')).toMatchObject({
      request_id: second.requestId,
      state: 'running',
      owner_replica: 'two',
      status: null,
      body: null,
    })
    // The first one is late, and has no say any more.
    await store.end(first, answer)
    await store.release([first])
    expect(await rowOf('k')).toMatchObject({ request_id: second.requestId, state: 'running', body: null })
  })
})

describe('find', () => {
  test('a running request, an ended one, one with its answer', async () => {
    const first = use('k')
    await store.claim(first)
    const { requestId } = first
    expect(await otherStore.find(use('k'))).toEqual({ requestId, isSame: true, state: 'running', answer: undefined })
    await store.end(first, undefined)
    expect(await otherStore.find(use('k'))).toEqual({ requestId, isSame: true, state: 'ended', answer: undefined })
    await store.end(first, answer)
    expect(await otherStore.find(use('k'))).toEqual({
      requestId,
      isSame: true,
      state: 'ended',
      answer: { requestId, ...answer },
    })
  })

  test('whoever asks for something else is not given the answer', async () => {
    const first = use('k')
    await store.claim(first)
    await store.end(first, answer)
    const found = await store.find(use('k', { fingerprint: Buffer.alloc(32, 2) }))
    expect(found).toMatchObject({ isSame: false, answer: undefined })
  })

  test('an empty answer is one', async () => {
    const first = use('k')
    await store.claim(first)
    await store.end(first, { ...answer, body: Buffer.alloc(0) })
    expect((await store.find(use('k')))?.answer?.body).toEqual(Buffer.alloc(0))
  })

  test('a request that is not renewed counts as abandoned after 45 s, one that has ended does not', async () => {
    const [running, ended] = [use('running'), use('ended')]
    await Promise.all([store.claim(running), store.claim(ended)])
    await store.end(ended, undefined)
    const states = async () => [
      (await otherStore.find(use('running')))?.state,
      (await otherStore.find(use('ended')))?.state,
    ]
    await letPass(database.pools.admin, 'running', '30 seconds')
    await letPass(database.pools.admin, 'ended', '1 hour')
    expect(await states()).toEqual(['running', 'ended'])
    await letPass(database.pools.admin, 'running', '15 seconds')
    expect(await states()).toEqual(['abandoned', 'ended'])
    await store.renew([running, ended, use('unknown')])
    expect(await states()).toEqual(['running', 'ended'])
  })
})

test('release frees the keys of running requests, and nobody else’s', async () => {
  const [running, ended, foreign] = [use('running'), use('ended'), use('foreign')]
  for (const each of [running, ended, foreign]) await store.claim(each)
  await store.end(ended, undefined)
  await store.release([running, ended, use('foreign')])
  expect(await store.find(use('running'))).toBeUndefined()
  expect((await store.find(use('ended')))?.state).toBe('ended')
  expect((await store.find(use('foreign')))?.requestId).toBe(foreign.requestId)
})

describe('expiry', () => {
  async function fill(count: number, expired: boolean): Promise<void> {
    await database.pools.admin.query(
      `insert into idempotency_keys (api_key_id, idempotency_key, fingerprint, request_id, owner_replica, expires_at)
       select $1, $3 || n, $4, gen_random_uuid(), 'one',
         now() + case when $3 = 'expired' then - interval '1 second' else interval '1 minute' end
       from generate_series(1, $2) as n`,
      [apiKeyId, count, expired ? 'expired' : 'live', Buffer.alloc(32)],
    )
  }
  const remaining = async (): Promise<Record<string, number>> => {
    const { rows } = await database.pools.admin.query(
      `select count(*) filter (where idempotency_key like 'expired%')::integer as expired,
         count(*) filter (where idempotency_key like 'live%')::integer as live
       from idempotency_keys`,
    )
    return rows[0]
  }

  test('what has expired is deleted in batches, and nothing else', async () => {
    await fill(25, true)
    await fill(5, false)
    expect(await store.deleteExpired(10)).toBe(10)
    expect(await remaining()).toEqual({ expired: 15, live: 5 })
    expect([await store.deleteExpired(10), await store.deleteExpired(10), await store.deleteExpired(10)]).toEqual([
      10, 5, 0,
    ])
    expect(await remaining()).toEqual({ expired: 0, live: 5 })
  })

  test('replicas that delete at once do not wait for each other, nor delete twice', async () => {
    await fill(200, true)
    const deleted = await Promise.all([0, 1, 0, 1].map((at) => (at ? store : otherStore).deleteExpired(50)))
    expect(deleted.reduce((sum, count) => sum + count, 0) + ((await remaining()).expired ?? 0)).toBe(200)
  })

  test('the job deletes them all, however many there are, and goes on after a failure', async () => {
    await fill(450, true)
    await fill(5, false)
    let failures = 1
    const log = createRecordingLog()
    const job = startIdempotencyExpiry({
      store: {
        async deleteExpired(rowsMax) {
          if (failures-- > 0) throw new Error('The database is away.')
          return store.deleteExpired(rowsMax)
        },
      },
      log,
      everyMs: 10,
    })
    await eventually('everything that has expired to be gone', async () => (await remaining()).expired === 0)
    await job.close()
    expect(await remaining()).toEqual({ expired: 0, live: 5 })
    expect(log.lines.map(({ level }) => level)).toEqual(['warn'])
  })
})

test('the database itself refuses what is no key, no fingerprint, or half an answer', async () => {
  for (const [column, value] of [
    ['idempotency_key', ''],
    ['idempotency_key', 'two words'],
    ['idempotency_key', 'k'.repeat(256)],
    ['fingerprint', Buffer.alloc(31)],
    ['status', 200],
    ['body', Buffer.alloc(1024 * 1024 + 1)],
  ] as const) {
    await store.claim(use('k'))
    await expect(
      database.pools.admin.query(`update idempotency_keys set ${column} = $1, state = 'ended'`, [value]),
    ).rejects.toMatchObject({ code: '23514' })
  }
})

test('keys go with their virtual key', async () => {
  await store.claim(use('k', { apiKeyId: otherApiKeyId }))
  await database.pools.admin.query('delete from api_keys where id = $1', [otherApiKeyId])
  expect(await rowOf('k')).toBeUndefined()
})
