import { once } from 'node:events'
import { createServer } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPools } from '../../src/core/db/pools.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createRecordingLog, silent } from '../support/log.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

test('each pool has its own name and its own statement timeout', async () => {
  const seen: Record<string, unknown>[] = []
  for (const name of ['request', 'settlement', 'admin'] as const) {
    const { rows } = await database.pools[name].query(
      `select current_setting('application_name') as name, current_setting('statement_timeout') as statement,
              current_setting('lock_timeout') as lock`,
    )
    seen.push(rows[0])
  }
  expect(seen).toEqual([
    { name: 'llmgw request', statement: '2s', lock: '1s' },
    { name: 'llmgw settlement', statement: '2s', lock: '1s' },
    { name: 'llmgw admin', statement: '5s', lock: '1s' },
  ])
})

test('64-bit integers and sums arrive as strings, so that money never becomes a float', async () => {
  const { rows } = await database.pools.request.query(
    'select 9007199254740993::bigint as one, sum(x) from (values (1::bigint)) v(x)',
  )
  expect(rows).toEqual([{ one: '9007199254740993', sum: '1' }])
})

test('a request that finds every connection taken gives up after half a second', async () => {
  const pools = openPools({ url: database.url, log: silent, connectionsMax: { request: 1 } })
  const taken = await pools.request.connect()
  const startMs = performance.now()
  await expect(pools.request.query('select 1')).rejects.toThrow(/timeout/)
  expect(performance.now() - startMs).toBeGreaterThan(450)
  expect(performance.now() - startMs).toBeLessThan(1_500)
  taken.release()
  await pools.close()
})

test('a statement that takes too long is ended, and the pool goes on', async () => {
  await expect(database.pools.request.query('select pg_sleep(30)')).rejects.toMatchObject({ code: '57014' })
  expect((await database.pools.request.query('select 1 as one')).rows).toEqual([{ one: 1 }])
})

test('a server that accepts connections and says nothing is given up on', async () => {
  const silentServer = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silentServer, 'listening')
  const { port } = silentServer.address() as { port: number }
  const pools = openPools({ url: `postgresql://a:b@127.0.0.1:${port}/c`, log: silent })
  await expect(pools.request.query('select 1')).rejects.toThrow(/timeout/)
  await pools.close()
  silentServer.close()
})

test('a connection lost while idle is logged and replaced', async () => {
  const log = createRecordingLog()
  const pools = openPools({ url: database.url, log, connectionsMax: { request: 1 } })
  const { rows } = await pools.request.query('select pg_backend_pid() as pid')
  const lost = once(pools.request, 'error')
  await database.pools.admin.query('select pg_terminate_backend($1)', [rows[0].pid])
  await lost
  expect(log.lines.filter(({ level }) => level === 'warn')).toEqual([
    {
      level: 'warn',
      // Nothing else: the error itself carries the client and its settings.
      fields: { pool: 'request', code: '57P01', reason: 'terminating connection due to administrator command' },
      message: 'An idle database connection was lost.',
    },
  ])
  const again = await pools.request.query('select pg_backend_pid() as pid')
  expect(again.rows[0].pid).not.toBe(rows[0].pid)
  await pools.close()
})

test('closing twice is closing once', async () => {
  const pools = openPools({ url: database.url, log: silent })
  await pools.request.query('select 1')
  await Promise.all([pools.close(), pools.close()])
  await expect(pools.request.query('select 1')).rejects.toThrow()
})
