import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openConnection } from '../../src/core/db/connection.ts'
import { findEmbeddedPostgres } from '../../src/core/db/embedded-postgres.ts'
import { createTestDatabase } from '../support/database.ts'
import { chat, configFor, environmentFor, isWhole, spent, type UsageRow, usageRows } from '../support/gateway-calls.ts'
import { makeGatewayHome } from '../support/gateway-home.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { respondWithCompletion, type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const patience = { timeout: 30_000 }
const terminal = new Set(['settled', 'released', 'estimated'])

let upstream: ScriptedUpstream
beforeEach(async () => {
  upstream = await startScriptedUpstream()
})
afterEach(() => upstream.close())

/** What the gateway has called each request, as the upstream saw it. */
const seenByUpstream = (): string[] =>
  upstream.requests.map(({ headers }) => String(headers['x-client-request-id'])).sort()

const idsOf = (rows: readonly UsageRow[]): string[] => rows.map((row) => row.request_id).sort()

/** Exactly one record for each request that the upstream saw, none open, and the ledger agrees with them. */
async function expectEachAccountedOnce(database: pg.Pool | pg.Client): Promise<UsageRow[]> {
  const seen = seenByUpstream()
  await expect
    .poll(async () => (await usageRows(database)).filter((row) => seen.includes(row.request_id)).length, patience)
    .toBe(seen.length)
  const rows = await usageRows(database)
  expect(new Set(idsOf(rows)).size).toBe(rows.length)
  expect(idsOf(rows.filter((row) => seen.includes(row.request_id)))).toEqual(seen)
  expect(rows.filter((row) => !terminal.has(row.state))).toEqual([])
  const { records, ledger } = await spent(database)
  expect(ledger).toBe(records)
  return rows
}

test('500 requests under way when the gateway is killed are 500 usage records after it was started again', async () => {
  const requests = 500
  upstream.answer((_response, request) => request.aborted) // which is never, but for the kill
  await using home = await makeGatewayHome()
  await home.configure(configFor(upstream))
  const env = environmentFor(home)
  await using killed = await startGateway({ home, env })
  const answers = Promise.allSettled(
    Array.from({ length: requests }, async (_, i) =>
      isWhole(await chat(killed, { stream: i % 2 === 0, headers: { 'x-request-id': `client-${i}` } })),
    ),
  )
  await upstream.seen(requests)
  await killed.stop('SIGKILL')
  for (const answer of await answers) expect(answer).not.toMatchObject({ value: true })
  expect(seenByUpstream()).toHaveLength(requests)

  await using gateway = await startGateway({ home, env })
  const postgres = await findEmbeddedPostgres(home.dataDir)
  await using database = await openConnection({ url: postgres?.url ?? '', purpose: 'tests' })
  const rows = await expectEachAccountedOnce(database)
  expect(rows).toHaveLength(requests)
  expect(new Set(rows.map((row) => row.client_request_id)).size).toBe(requests)
  expect(new Set(rows.map(({ state, finish }) => `${state} ${finish}`))).toEqual(new Set(['estimated orphaned']))
  expect(BigInt((await spent(database)).ledger)).toBeGreaterThan(0n)
  await gateway.stop()
})

test('killed at any moment under load, every request is accounted once, and every whole answer as the provider told', async () => {
  const rounds = 3
  const clients = 24
  const answered = new Set<string>()
  upstream.answer(async (response, request) => {
    await delay(randomInt(20))
    respondWithCompletion(response, request)
  })
  const database = await createTestDatabase()
  await using home = await makeGatewayHome()
  await home.configure(configFor(upstream))
  const env = { ...environmentFor(home), DATABASE_URL: database.url }

  for (let round = 0; round < rounds; round++) {
    await using gateway = await startGateway({ home, env })
    const killAt = upstream.requests.length + randomInt(50, 600)
    const load = Promise.all(Array.from({ length: clients }, (_, client) => callUntilDead(gateway, client, answered)))
    await upstream.seen(killAt)
    await gateway.stop('SIGKILL')
    await load
  }
  await using gateway = await startGateway({ home, env })
  const rows = await expectEachAccountedOnce(database.pools.admin)
  const byId = new Map(rows.map((row) => [row.request_id, row]))
  expect(answered.size).toBeGreaterThan(rounds)
  for (const id of answered) {
    expect(byId.get(id)).toMatchObject({ state: 'settled', finish: 'stop', usage_source: 'provider' })
  }
  await gateway.stop()
  await database.drop()
})

/** One client that asks again and again; notes what it has got to the last byte. */
async function callUntilDead(gateway: GatewayProcess, client: number, answered: Set<string>): Promise<void> {
  for (let i = client; ; i++) {
    try {
      const response = await chat(gateway, { stream: i % 2 === 0 })
      const id = response.headers.get('x-request-id')
      if ((await isWhole(response)) && id) answered.add(id)
    } catch {
      return // It is dead.
    }
  }
}
