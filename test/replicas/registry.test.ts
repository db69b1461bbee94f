import type pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { openPools } from '../../src/core/db/pools.ts'
import { openReplicaRegistry, type ReplicaRegistry } from '../../src/core/replicas/replica-registry.ts'
import { listReplicas, vanishedReplicas } from '../../src/core/replicas/replicas.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { createRecordingLog, silent } from '../support/log.ts'
import { openPostgresProxy } from '../support/postgres-proxy.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())
afterEach(() => database.pools.admin.query('delete from replicas'))

const beatMs = 20

/** Time as the registry measures it, moved by hand. */
function createManualClock() {
  let nowMs = 1_000_000
  return {
    monotonicMs: () => nowMs,
    advance(ms: number) {
      nowMs += ms
    },
  }
}

function open(
  id: string,
  more: Partial<Parameters<typeof openReplicaRegistry>[0]> & { pool?: pg.Pool } = {},
): Promise<ReplicaRegistry> {
  return openReplicaRegistry({
    id,
    host: 'web',
    pid: 1,
    version: '1.2.3',
    label: 'main',
    pool: database.pools.admin,
    clock: { monotonicMs: () => performance.now() },
    log: silent,
    beatMs,
    ...more,
  })
}

/** As though nothing had been heard of it for so long. Its own heartbeats must have ended. */
const silence = (id: string, seconds: number) =>
  database.pools.admin.query(
    `update replicas set heartbeat_at = clock_timestamp() - make_interval(secs => $2) where id = $1`,
    [id, seconds],
  )

/** A replica whose process is gone without a word. */
async function openAndKill(id: string): Promise<void> {
  const own = openPools({ url: database.url, log: silent })
  const registry = await open(id, { pool: own.admin, beatMs: 3_600_000 })
  await own.close()
  await registry.close() // which cannot reach the database any more
}

test('each replica counts those in service, and no longer one that has said goodbye', async () => {
  const first = await open('web-1')
  expect(first.expectedReplicas()).toBe(1)
  const second = await open('web-2', { label: 'worker-1' })
  expect(second.expectedReplicas()).toBe(2)
  await eventually('the first to count the second', () => first.expectedReplicas() === 2)

  expect((await first.list()).map(({ id, label, isLive }) => ({ id, label, isLive }))).toEqual([
    { id: 'web-2', label: 'worker-1', isLive: true },
    { id: 'web-1', label: 'main', isLive: true },
  ])
  await second.close()
  await eventually('the first to be alone', () => first.expectedReplicas() === 1)
  expect((await first.list()).map(({ id, isLive, stoppedAt }) => [id, isLive, stoppedAt instanceof Date])).toEqual([
    ['web-2', false, true],
    ['web-1', true, false],
  ])
  await first.close()
})

test('one that was killed counts for 30 s by the clock of the database, and comes back with its next heartbeat', async () => {
  await openAndKill('web-killed')
  const registry = await open('web-1')
  expect(registry.expectedReplicas()).toBe(2)
  await silence('web-killed', 29)
  expect(await vanishedReplicas(database.pools.admin, ['web-killed'])).toEqual(new Set())
  await silence('web-killed', 31)
  await eventually('it to count no more', () => registry.expectedReplicas() === 1)
  expect(await vanishedReplicas(database.pools.admin, ['web-killed', 'web-1'])).toEqual(new Set(['web-killed']))

  const back = await open('web-killed')
  await eventually('it to count again', () => registry.expectedReplicas() === 2)
  expect(await vanishedReplicas(database.pools.admin, ['web-killed'])).toEqual(new Set())
  await back.close()
  await registry.close()
})

test('a replica is vanished when it stopped, or when nobody has ever heard of it', async () => {
  const stopped = await open('web-stopped')
  await stopped.close()
  expect(await vanishedReplicas(database.pools.admin, ['web-stopped', 'web-unheard-of'])).toEqual(
    new Set(['web-stopped', 'web-unheard-of']),
  )
})

test('steadiness takes 30 s of heartbeats without a gap, and a gap takes it away', async () => {
  const clock = createManualClock()
  const registry = await open('web-1', { clock, gapMs: 1_500 })
  const nextBeat = async (): Promise<void> => {
    await eventually('a heartbeat by the new time', () => registry.sinceBeatMs() === 0)
  }
  expect(await registry.vanished(['web-gone'])).toEqual(new Set())
  for (let passedMs = 0; passedMs < 30_000; passedMs += 1_000) {
    expect(registry.isSteady()).toBe(false)
    clock.advance(1_000)
    await nextBeat()
  }
  expect(registry.isSteady()).toBe(true)
  expect(await registry.vanished(['web-gone', 'web-1'])).toEqual(new Set(['web-gone']))

  clock.advance(1_501)
  expect(registry.isSteady()).toBe(false)
  expect(await registry.vanished(['web-gone'])).toEqual(new Set())
  await nextBeat()
  expect(registry.isSteady()).toBe(false)
  await registry.close()
})

test('while the database is away the last known number stays, and it catches up afterwards', async () => {
  await using proxy = await openPostgresProxy(database.url)
  const behind = openPools({ url: proxy.url, log: silent })
  const log = createRecordingLog()
  const other = await open('web-2')
  const registry = await open('web-1', { pool: behind.settlement, log })
  expect(registry.expectedReplicas()).toBe(2)

  proxy.mode = 'down'
  await eventually('the failure to be logged', () =>
    log.lines.some(({ message }) => message === 'The heartbeat of this replica did not arrive; tried again.'),
  )
  await other.close()
  const awaySinceMs = registry.sinceBeatMs()
  await eventually('some more failures', () => registry.sinceBeatMs() > awaySinceMs + 10 * beatMs)
  expect(registry.expectedReplicas()).toBe(2)
  expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)

  proxy.mode = 'up'
  await eventually('the number to be that of now', () => registry.expectedReplicas() === 1)
  await registry.close()
  expect((await listReplicas(database.pools.admin)).map(({ stoppedAt }) => stoppedAt instanceof Date)).toEqual([
    true,
    true,
  ])
  await behind.close()
})

test('closing without the database ends all the same, and says that others will have to wait', async () => {
  await using proxy = await openPostgresProxy(database.url)
  const behind = openPools({ url: proxy.url, log: silent })
  const log = createRecordingLog()
  const registry = await open('web-1', { pool: behind.settlement, log, beatMs: 3_600_000 })
  proxy.mode = 'down'
  await registry.close()
  expect(log.lines.map(({ message }) => message)).toEqual([
    'This replica could not say that it stops; it counts as gone in 30 s.',
  ])
  await behind.close()
})

test('without the database nothing opens: a replica that is not registered would be swept while it serves', async () => {
  await using proxy = await openPostgresProxy(database.url)
  proxy.mode = 'down'
  const behind = openPools({ url: proxy.url, log: silent })
  await expect(open('web-1', { pool: behind.settlement })).rejects.toThrow()
  await behind.close()
})

test('replicas are forgotten a day after they were last heard of', async () => {
  await openAndKill('web-old')
  await openAndKill('web-recent')
  await silence('web-old', 86_401)
  await silence('web-recent', 86_000)
  const registry = await open('web-1')
  expect((await registry.list()).map(({ id }) => id).sort()).toEqual(['web-1', 'web-recent'])
  await registry.close()
})
