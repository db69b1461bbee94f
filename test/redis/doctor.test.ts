import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runDoctor } from '../../src/cli/doctor.ts'
import { loadConfig } from '../../src/config/load-config.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { freePort } from '../support/free-port.ts'
import { silent } from '../support/log.ts'
import { startRedisCluster } from '../support/redis-groups.ts'
import { needsRedisServer, startRedisServer } from '../support/redis-server.ts'

needsRedisServer()

let database: TestDatabase
let dataDir: string
beforeAll(async () => {
  database = await createTestDatabase()
  dataDir = await mkdtemp(join(tmpdir(), 'llmgw-doctor-'))
})
afterAll(async () => {
  await database.drop()
  await rm(dataDir, { recursive: true, force: true })
})

/** @returns what doctor says about Redis, and its exit status */
async function examine(redisUrl: string): Promise<{ status: number; lines: string[] }> {
  const environment = { DATABASE_URL: database.url, LLMGW_DATA_DIR: dataDir, REDIS_URL: redisUrl }
  const lines: string[] = []
  const loaded = loadConfig(environment)
  const status = await runDoctor({ loaded, log: silent, print: (line) => lines.push(line) })
  return { status, lines: lines.filter((line) => /redis|maxmemory/i.test(line)) }
}

test('a Redis that is as it should be', async () => {
  await using server = await startRedisServer()
  expect(await examine(server.url)).toEqual({
    status: 0,
    lines: [expect.stringMatching(/^ok {4}Redis answers \(\d+\.\d+\.\d+\)\.$/), 'ok    Redis keeps what it is given.'],
  })
})

test('a cluster, of which one master evicts', async () => {
  await using cluster = await startRedisCluster()
  await cluster.nodes[2]?.client.config('SET', 'maxmemory-policy', 'allkeys-lfu')
  expect(await examine(cluster.url)).toEqual({
    status: 0,
    lines: [
      expect.stringMatching(/^ok {4}Redis answers/),
      'warn  Redis evicts keys (maxmemory-policy allkeys-lfu), so limits may be exceeded.',
      '      Set maxmemory-policy noeviction there.',
    ],
  })
})

test('a Redis that is not there keeps no gateway from starting', async () => {
  const { status, lines } = await examine(`redis://user:hunter2@127.0.0.1:${await freePort()}`)
  expect(status).toBe(0)
  expect(lines).toEqual([
    expect.stringMatching(/^warn {2}Redis does not answer: .*ECONNREFUSED/),
    expect.stringContaining('Check REDIS_URL.'),
  ])
  expect(lines.join()).not.toContain('hunter2')
})

test('a Redis that freezes, or wants another password, is told apart', async () => {
  await using server = await startRedisServer({ password: 'right', args: ['--requirepass', 'right'] })
  expect((await examine(`redis://:wrong@127.0.0.1:${server.port}`)).lines[0]).toContain('WRONGPASS')
  server.pause()
  expect((await examine(server.url)).lines[0]).toMatch(
    /^warn {2}Redis does not answer: it did not let us in within 3 s/,
  )
  server.resume()
})
