import { afterAll, beforeAll, describe, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { chat, configFor, environmentFor, readiness, statusOf, usageRows } from '../support/gateway-calls.ts'
import { freePort, makeGatewayHome } from '../support/gateway-home.ts'
import { llmgw, spawnGateway, startGateway } from '../support/gateway-process.ts'
import { openPostgresProxy } from '../support/postgres-proxy.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const patience = { timeout: 20_000 }

let upstream: ScriptedUpstream
let database: TestDatabase
beforeAll(async () => {
  upstream = await startScriptedUpstream()
  database = await createTestDatabase()
})
afterAll(async () => {
  await upstream.close()
  await database.drop()
})

describe.concurrent('the database', () => {
  test('a database that is down at start makes the gateway wait, not die; a SIGHUP meanwhile is obeyed when it serves', async ({
    expect,
  }) => {
    await using proxy = await openPostgresProxy(database.url)
    proxy.mode = 'down'
    await using home = await makeGatewayHome()
    await home.configure(configFor(upstream))
    const opsPort = await freePort()
    const env = { ...environmentFor(home), DATABASE_URL: proxy.url, LLMGW_OPS_PORT: String(opsPort) }
    await using gateway = spawnGateway({ home, env })
    const opsUrl = `http://127.0.0.1:${opsPort}`
    await gateway.logged('The database does not serve yet; trying again.')
    expect(await statusOf(`${opsUrl}/healthz`)).toBe(200)
    expect(await statusOf(`${opsUrl}/readyz`)).toBe(503)
    expect(await readiness({ opsUrl })).toEqual({ status: 'not ready', reasons: ['waiting for the database'] })

    const aliases = [{ name: 'late', targets: [{ provider: 'openai', model: 'test-model' }] }]
    await home.configure(configFor(upstream, { aliases }))
    gateway.signal('SIGHUP')
    proxy.mode = 'up'
    await gateway.logged('Configuration reloaded.')
    expect(await statusOf(`${opsUrl}/readyz`)).toBe(200)
    expect((await chat(gateway, { model: 'late' })).status).toBe(200)
    expect(gateway.output.join('\n') + gateway.stderr).not.toContain(new URL(proxy.url).password)
  })

  test('a gateway that waits for its database ends at once, and well, when it is told to', async ({ expect }) => {
    await using home = await makeGatewayHome()
    await using gateway = spawnGateway({ home, env: { DATABASE_URL: `postgres://127.0.0.1:${await freePort()}/none` } })
    await gateway.logged('The database does not serve yet; trying again.')
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
  })

  test('with LLMGW_MIGRATE=off it waits for somebody to run "llmgw migrate", and says so', async ({ expect }) => {
    const empty = await createTestDatabase({ empty: true })
    await using home = await makeGatewayHome()
    const opsPort = await freePort()
    const env = { DATABASE_URL: empty.url, LLMGW_MIGRATE: 'off', LLMGW_OPS_PORT: String(opsPort) }
    await using gateway = spawnGateway({ home, env })
    await gateway.logged('The database does not serve yet; trying again.')
    const { status, reasons } = await readiness({ opsUrl: `http://127.0.0.1:${opsPort}` })
    expect(status).toBe('not ready')
    expect(reasons).toEqual([expect.stringMatching(/^the schema lacks \d+_\w+.*; run "llmgw migrate"/)])

    const migrated = await llmgw(home, ['migrate'], { env })
    expect(migrated).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ran \d+_\w+$/m) })
    await gateway.logged('ready')
    expect(await readiness(gateway)).toEqual({ status: 'ready', reasons: [] })
    await gateway.stop()
    await empty.drop()
  })

  test('a database that is lost under way stops no key that is known, and gets all usage when it is back', async ({
    expect,
  }) => {
    const own = await createTestDatabase()
    await using proxy = await openPostgresProxy(own.url)
    await using home = await makeGatewayHome()
    await home.configure(configFor(upstream))
    await using gateway = await startGateway({ home, env: { ...environmentFor(home), DATABASE_URL: proxy.url } })
    expect((await chat(gateway)).status).toBe(200)

    proxy.mode = 'down'
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => chat(gateway, { stream: i % 2 === 0 })))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    const unknown = await chat(gateway, { secret: 'e2e-secret-that-nobody-has-seen' })
    expect(unknown.status).toBe(503)
    expect(await unknown.json()).toMatchObject({ error: { code: 'auth_unavailable' } })
    expect((await usageRows(own.pools.admin)).length).toBeLessThanOrEqual(1)
    expect(await pendingRecords(gateway.opsUrl)).toBeGreaterThanOrEqual(20)
    expect(await readiness(gateway)).toEqual({ status: 'ready', reasons: [] })

    proxy.mode = 'up'
    await expect.poll(async () => (await usageRows(own.pools.admin)).length, patience).toBe(21)
    for (const row of await usageRows(own.pools.admin)) {
      expect(row).toMatchObject({ state: 'settled', usage_source: 'provider' })
    }
    await expect.poll(() => pendingRecords(gateway.opsUrl), patience).toBe(0)
    await gateway.stop()
    await own.drop()
  })

  test('a schema of a newer release is refused with exit code 78, and so by the command line', async ({ expect }) => {
    const newer = await createTestDatabase()
    await newer.pools.admin.query(`insert into schema_migrations (name) values ('20990101000001_from_the_future')`)
    await using home = await makeGatewayHome()
    const env = { DATABASE_URL: newer.url }
    await using gateway = spawnGateway({ home, env })
    expect(await gateway.exit).toEqual({ code: 78, signal: null })
    expect(gateway.stderr).toMatch(
      /^The database schema is newer than this release: it has 20990101000001_from_the_future\./,
    )
    expect(await llmgw(home, ['keys', 'list'], { env })).toMatchObject({ code: 78, stderr: gateway.stderr })
    await newer.drop()
  })
})

async function pendingRecords(opsUrl: string): Promise<number> {
  const metrics = await (await fetch(`${opsUrl}/metrics`)).text()
  return Number(/^llmgw_usage_journal_pending_records (\d+)$/m.exec(metrics)?.[1])
}
