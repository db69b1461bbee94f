import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type ReplicaLock, type ReplicaLockDeps, takeReplicaLock } from '../../src/core/replicas/replica-lock.store.ts'
import { StartRefusal } from '../../src/core/start-refusal.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { createRecordingLog, silent } from '../support/log.ts'
import { openPostgresProxy } from '../support/postgres-proxy.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

const opened: ReplicaLock[] = []
afterEach(async () => {
  for (const lock of opened.splice(0)) await lock.close()
})

const times = { waitForOthersMs: 300, retryMs: 20, probeMs: 50, probeTimeoutMs: 500, regainMsMax: 50 }

async function take(replica: string, sharesState: boolean, more: Partial<ReplicaLockDeps> = {}): Promise<ReplicaLock> {
  const lock = await takeReplicaLock({ url: database.url, replica, sharesState, log: silent, times, ...more })
  opened.push(lock)
  return lock
}

async function refusalOf(taking: Promise<ReplicaLock>): Promise<StartRefusal> {
  const error = await taking.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(StartRefusal)
  return error as StartRefusal
}

test('replicas with shared state hold the database together', async () => {
  const locks = [await take('web-1', true), await take('web-2', true), await take('web-3', true)]
  for (const lock of locks) expect(lock.notReadyReasons()).toEqual([])
})

test('a second one without Redis is refused, and told who is there and what to set', async () => {
  await take('web-1', false)
  const refusal = await refusalOf(take('web-2', false))
  expect(refusal).toMatchObject({ reason: 'replica_refused', exitCode: 78 })
  expect(refusal.message).toBe(
    'Another gateway (replica web-1) uses this database. Several replicas need a Redis in common: set REDIS_URL, the ' +
      'same for all of them. Otherwise stop the other one, or give this one a database of its own (DATABASE_URL).',
  )
})

test('one without Redis beside one with it is refused, and so is one with Redis beside one without', async () => {
  const shared = await take('web-1', true)
  expect((await refusalOf(take('web-2', false))).message).toMatch(
    /^Another gateway \(replica web-1\) uses this database and shares its state by Redis\. .* set REDIS_URL/,
  )
  await shared.close()
  await take('web-3', false)
  expect((await refusalOf(take('web-4', true))).message).toMatch(
    /^Another gateway \(replica web-3\) uses this database without REDIS_URL, .* Give every replica the same REDIS_URL/,
  )
})

test('one that waits gets the database when the other one goes within the time', async () => {
  const first = await take('web-1', false)
  const second = take('web-2', false, { times: { ...times, waitForOthersMs: 30_000 } })
  await first.close()
  expect((await second).notReadyReasons()).toEqual([])
})

test('another database, and another use of advisory locks, are nobody else’s business', async () => {
  await take('web-1', false)
  const other = await createTestDatabase()
  const lock = await take('web-2', false, { url: other.url })
  await other.pools.admin.query('select pg_advisory_lock(42)')
  expect(lock.notReadyReasons()).toEqual([])
  await lock.close()
  await other.drop()
})

test('a database that is not there is no refusal: the caller waits for it', async () => {
  await using proxy = await openPostgresProxy(database.url)
  proxy.mode = 'down'
  const error = await take('web-1', false, { url: proxy.url }).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(Error)
  expect(error).not.toBeInstanceOf(StartRefusal)
})

for (const mode of ['down', 'mute'] as const) {
  test(`a connection lost to a server that is ${mode} is made again, and the process is ready all the time`, async () => {
    await using proxy = await openPostgresProxy(database.url)
    const log = createRecordingLog()
    const lock = await take('web-1', false, { url: proxy.url, log })
    proxy.mode = mode
    await eventually('the loss to be noticed', () => log.lines.some(({ level }) => level === 'warn'))
    expect(lock.notReadyReasons()).toEqual([])
    proxy.mode = 'up'
    await eventually('the lock to be held again', () =>
      log.lines.some(({ message }) => message === 'The lock that keeps other gateways off is held again.'),
    )
    expect(lock.notReadyReasons()).toEqual([])
    expect((await refusalOf(take('web-2', false))).message).toContain('(replica web-1)')
  })
}

test('when somebody else has it meanwhile, it says so once, is unready, and gets ready when the other one is gone', async () => {
  await using proxy = await openPostgresProxy(database.url)
  const log = createRecordingLog()
  const lock = await take('web-1', false, { url: proxy.url, log })
  proxy.mode = 'down'
  const usurper = await take('web-2', false, { times: { ...times, waitForOthersMs: 10_000 } })
  proxy.mode = 'up'
  await eventually('it to notice', () => lock.notReadyReasons().length > 0)
  expect(lock.notReadyReasons()).toEqual(['another gateway has the database, and state is not shared with it'])
  const errors = log.lines.filter(({ level }) => level === 'error')
  expect(errors).toEqual([
    {
      level: 'error',
      fields: { holder: 'web-2' },
      message: expect.stringMatching(/^Unready\. Another gateway \(replica web-2\) uses this database\. .*REDIS_URL/),
    },
  ])
  await usurper.close()
  await eventually('it to be ready again', () => lock.notReadyReasons().length === 0)
  expect(log.lines.filter(({ level }) => level === 'error')).toEqual(errors)
})

test('it closes in the middle of getting the lock back, and leaves none behind', async () => {
  await using proxy = await openPostgresProxy(database.url)
  const log = createRecordingLog()
  const lock = await take('web-1', false, { url: proxy.url, log })
  proxy.mode = 'down'
  await eventually('the loss to be noticed', () => log.lines.some(({ level }) => level === 'warn'))
  proxy.mode = 'up'
  await lock.close()
  await take('web-2', false)
})
