import { afterAll, beforeAll, describe, test, vi } from 'vitest'
import { createTestDatabase } from '../support/database.ts'
import { chat, configFor, environmentFor, readiness } from '../support/gateway-calls.ts'
import { makeGatewayHome } from '../support/gateway-home.ts'
import { spawnGateway, startGateway } from '../support/gateway-process.ts'
import { openPostgresProxy } from '../support/postgres-proxy.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const patience = { timeout: 30_000 }

let upstream: ScriptedUpstream
beforeAll(async () => {
  upstream = await startScriptedUpstream()
})
afterAll(() => upstream.close())

/** Of one database, and so the same for all of its replicas. */
const secrets = { LLMGW_MASTER_KEY: '1'.repeat(64), LLMGW_KEY_PEPPER: '2'.repeat(64) }

/** A data folder of its own, on a database that others may use, too. */
async function makeReplicaHome(databaseUrl: string) {
  const home = await makeGatewayHome()
  await home.configure(configFor(upstream))
  return { home, env: { ...environmentFor(home), ...secrets, DATABASE_URL: databaseUrl } }
}

describe.concurrent('replicas without Redis', () => {
  test('a second one on the same database is refused with a sentence that says what to set; the first serves on', async ({
    expect,
  }) => {
    const database = await createTestDatabase()
    const one = await makeReplicaHome(database.url)
    const two = await makeReplicaHome(database.url)
    await using _homes = new AsyncDisposableStack()
    _homes.use(one.home)
    _homes.use(two.home)
    await using first = await startGateway(one)
    await using second = spawnGateway(two)
    expect(await second.exit).toEqual({ code: 78, signal: null })
    expect(second.stderr).toMatch(
      /^Another gateway \(replica \S+-[0-9a-f]{8}\) uses this database\. Several replicas need a Redis in common: set REDIS_URL, .*\n$/,
    )
    expect((await chat(first)).status).toBe(200)

    // Goodbye leaves the database to the next one.
    expect(await first.stop()).toEqual({ code: 0, signal: null })
    await using third = await startGateway(two)
    expect((await chat(third)).status).toBe(200)
    const { rows } = await database.pools.admin.query(
      `select label, pid, stopped_at is null as serves from replicas order by started_at`,
    )
    expect(rows).toEqual([
      { label: 'main', pid: first.pid, serves: false },
      { label: 'main', pid: third.pid, serves: true },
    ])
    const metrics = await (await fetch(`${third.opsUrl}/metrics`)).text()
    expect(metrics).toMatch(/^llmgw_replicas 1$/m)
    await third.stop()
    await database.drop()
  })

  test('a restart right after SIGKILL is not refused', async ({ expect }) => {
    const database = await createTestDatabase()
    const replica = await makeReplicaHome(database.url)
    await using _home = replica.home
    await using killed = await startGateway(replica)
    await killed.stop('SIGKILL')
    await using again = await startGateway(replica)
    expect((await chat(again)).status).toBe(200)
    await again.stop()
    await database.drop()
  })

  test('one that has lost its database to another one while cut off is unready until it has it back, and lives', async ({
    expect,
  }) => {
    const database = await createTestDatabase()
    await using proxy = await openPostgresProxy(database.url)
    const one = await makeReplicaHome(proxy.url)
    const two = await makeReplicaHome(database.url)
    await using _homes = new AsyncDisposableStack()
    _homes.use(one.home)
    _homes.use(two.home)
    await using first = await startGateway(one)
    proxy.mode = 'down'
    await first.logged('The database connection that keeps other gateways off was lost; taking the lock again.')
    expect(await readiness(first)).toEqual({ status: 'ready', reasons: [] })

    await using second = await startGateway(two)
    proxy.mode = 'up'
    const reason = 'another gateway has the database, and state is not shared with it'
    await expect.poll(async () => (await readiness(first)).reasons, patience).toEqual([reason])
    await first.logged(({ msg }) => /^Unready\. Another gateway \(replica \S+\) uses this database/.test(msg))
    await second.stop()
    await expect.poll(async () => (await readiness(first)).status, patience).toBe('ready')
    expect(await first.stop()).toEqual({ code: 0, signal: null })
    await database.drop()
  })
})
