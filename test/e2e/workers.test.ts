import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, type ExpectStatic, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { readPartially } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { chat, configFor, environmentFor, isWhole, readiness, statusOf, usageRows } from '../support/gateway-calls.ts'
import { type GatewayHome, hasEnded, makeGatewayHome } from '../support/gateway-home.ts'
import { type GatewayProcess, spawnGateway, startGateway } from '../support/gateway-process.ts'
import { openPostgresProxy } from '../support/postgres-proxy.ts'
import { needsRedisServer, type RedisServer, startRedisServer } from '../support/redis-server.ts'
import {
  respondWithCompletion,
  type ScriptedUpstream,
  startScriptedUpstream,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 90_000 })

const patience = { timeout: 45_000 }

interface Workplace extends AsyncDisposable {
  home: GatewayHome
  upstream: ScriptedUpstream
  database: TestDatabase
  redis: RedisServer
  env: Record<string, string>
}

/** Everything that two workers need, and nothing running in it yet. */
async function openWorkplace(): Promise<Workplace> {
  await using opening = new AsyncDisposableStack()
  const database = await createTestDatabase()
  opening.defer(() => database.drop())
  const redis = opening.use(await startRedisServer())
  const upstream = await startScriptedUpstream()
  opening.defer(() => upstream.close())
  const home = opening.use(await makeGatewayHome())
  await home.configure(configFor(upstream))
  const env = { ...environmentFor(home), DATABASE_URL: database.url, REDIS_URL: redis.url, LLMGW_WORKERS: '2' }
  const resources = opening.move()
  return { home, upstream, database, redis, env, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

/** The processes that this one has started. */
async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return text.split(' ').filter(Boolean).map(Number)
}

/** The value of each series of a metric, by its labels as they are written. */
async function series({ opsUrl }: GatewayProcess, metric: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${opsUrl}/metrics`)).text()
  const found = [...text.matchAll(new RegExp(`^${metric}(\\{[^}]*\\})? (\\S+)$`, 'gm'))]
  return Object.fromEntries(found.map(([, labels = '', value]) => [labels, Number(value)]))
}

const total = (values: Record<string, number>): number => Object.values(values).reduce((sum, value) => sum + value, 0)

/** Over connections of their own, so that all workers get some. */
const callAtOnce = (gateway: GatewayProcess, count: number, model = 'openai/test-model') =>
  Promise.all(
    Array.from({ length: count }, (_, i) =>
      chat(gateway, { model, stream: i % 2 === 0, headers: { connection: 'close' } }).then(isWhole),
    ),
  )

/** So that each worker has learned the key: the system may give one of them all of a few connections. */
async function eachHasServed(gateway: GatewayProcess, expect: ExpectStatic): Promise<void> {
  const hits = async (): Promise<number[]> => {
    expect(await callAtOnce(gateway, 20)).not.toContain(false)
    return Object.values(await series(gateway, 'llmgw_key_cache_hits'))
  }
  await expect.poll(hits, patience).toEqual([expect.toSatisfy(isPositive), expect.toSatisfy(isPositive)])
}

const isPositive = (value: number): boolean => value > 0

/**
 * Exactly one terminal record for each request that the upstream has seen; beside them only calls that a kill has ended
 * just before they were dispatched.
 */
async function expectEachAccountedOnce({ upstream, database }: Workplace, expect: ExpectStatic): Promise<void> {
  const seen = upstream.requests.map(({ headers }) => String(headers['x-client-request-id'])).sort()
  const accounted = async (): Promise<string[]> =>
    (await usageRows(database.pools.admin))
      .filter(({ request_id: id, state }) => seen.includes(id) && ['settled', 'estimated'].includes(state))
      .map(({ request_id: id }) => id)
      .sort()
  await expect.poll(accounted, patience).toEqual(seen)
  const others = (await usageRows(database.pools.admin)).filter(({ request_id: id }) => !seen.includes(id))
  expect(others.filter(({ state, finish }) => state !== 'estimated' || finish !== 'orphaned')).toEqual([])
}

needsRedisServer()

describe.concurrent('two workers', () => {
  test('answer together, count together, take a new configuration together and drain together', async ({ expect }) => {
    await using workplace = await openWorkplace()
    const { home, env, upstream, database } = workplace
    await using gateway = await startGateway({ home, env })
    const workers = await childrenOf(gateway.pid)
    expect(workers).toHaveLength(2)
    expect(await readiness(gateway)).toEqual({ status: 'ready', reasons: [] })
    expect(gateway.stderr).toContain('ThinkPixel LLM Gateway is ready.')

    expect(await callAtOnce(gateway, 40)).toEqual(Array.from({ length: 40 }, () => true))
    await expectEachAccountedOnce(workplace, expect)
    const { rows } = await database.pools.admin.query(
      `select r.label, r.pid, count(*)::integer > 0 as served from replicas r
       join usage_records u on u.owner_replica = r.id group by 1, 2 order by 1`,
    )
    expect(rows).toEqual([
      { label: 'worker-1', pid: expect.any(Number), served: true },
      { label: 'worker-2', pid: expect.any(Number), served: true },
    ])
    expect(rows.map(({ pid }) => pid).sort()).toEqual([...workers].sort())

    const accepted = { provider: 'openai', credential: 'accepted', attempts_in_flight: 0, models_in_trouble: [] }
    const upstreams = expect.arrayContaining([accepted])
    await expect
      .poll(async () => (await fetch(`${gateway.opsUrl}/readyz`)).json(), patience)
      .toMatchObject({
        workers: [
          { worker: 'worker-1', ready: true, upstreams },
          { worker: 'worker-2', ready: true, upstreams },
        ],
      })

    expect(total(await series(gateway, 'llmgw_requests_total'))).toBe(40)
    expect(await series(gateway, 'llmgw_dispatched_requests_total')).toEqual({ '': 40 })
    expect(total(await series(gateway, 'llmgw_request_duration_seconds_count'))).toBe(40)
    expect(await series(gateway, 'llmgw_worker_ready')).toEqual({
      '{worker="worker-1"}': 1,
      '{worker="worker-2"}': 1,
    })
    await expect
      .poll(() => series(gateway, 'llmgw_replicas'), patience)
      .toEqual({ '{worker="worker-1"}': 2, '{worker="worker-2"}': 2 })
    const memory = await series(gateway, 'llmgw_process_resident_memory_bytes')
    expect(Object.keys(memory).sort()).toEqual(['{worker="primary"}', '{worker="worker-1"}', '{worker="worker-2"}'])

    const aliases = [{ name: 'late', targets: [{ provider: 'openai', model: 'test-model' }] }]
    expect(await callAtOnce(gateway, 4, 'late')).toEqual([false, false, false, false])
    await home.configure(configFor(upstream, { aliases }))
    gateway.signal('SIGHUP')
    await gateway.logged('Configuration reloaded.')
    // At once: nobody has to wait until a worker asks the database.
    expect(await callAtOnce(gateway, 20, 'late')).toEqual(Array.from({ length: 20 }, () => true))
    await home.configure('providers: 7')
    gateway.signal('SIGHUP')
    await gateway.logged('Configuration not reloaded; the one in force stays.')
    expect(await callAtOnce(gateway, 4, 'late')).toEqual([true, true, true, true])

    const released = Promise.withResolvers<void>()
    upstream.answer(async (response) => {
      startStream(response)
      writeFrame(response, textChunk('Well, '))
      await released.promise
      writeFrame(response, { ...textChunk(''), choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      response.end('data: [DONE]\n\n')
    })
    const streams = await Promise.all(
      Array.from({ length: 8 }, async () => readPartially(await chat(gateway, { stream: true }))),
    )
    for (const stream of streams) await stream.until('Well, ')
    gateway.signal('SIGTERM')
    await gateway.logged('draining')
    await expect.poll(() => statusOf(`${gateway.restUrl}/v1/models`), patience).toBe('ECONNREFUSED')
    expect(await readiness(gateway)).toMatchObject({ status: 'not ready', reasons: ['draining'] })
    released.resolve()
    for (const stream of streams) expect(await stream.rest()).toMatch(/data: \[DONE\]\n\n$/)
    expect(await gateway.exit).toEqual({ code: 0, signal: null })
    await expectEachAccountedOnce(workplace, expect)
    for (const pid of workers) expect(await hasEnded(pid)).toBe(true)
    expect(gateway.log).toHaveLength(gateway.output.length)
    const { rows: left } = await database.pools.admin.query('select id from replicas where stopped_at is null')
    expect(left).toEqual([])
  })

  test('one that is killed under load loses and doubles nothing, and is replaced; its counts stay', async ({
    expect,
  }) => {
    await using workplace = await openWorkplace()
    const { home, env, upstream } = workplace
    upstream.answer(async (response, request) => {
      await delay(20)
      respondWithCompletion(response, request)
    })
    await using gateway = await startGateway({ home, env })
    let isOver = false
    const answered = new Set<string>()
    const client = async (): Promise<void> => {
      for (let i = 0; !isOver; i++) {
        try {
          const response = await chat(gateway, { stream: i % 2 === 0 })
          const id = response.headers.get('x-request-id')
          if ((await isWhole(response)) && id) answered.add(id)
        } catch {
          // It was with the one that was killed; the next call goes to the other one.
        }
      }
    }
    const load = Promise.all(Array.from({ length: 12 }, client))
    // Also when a check fails: clients of a gateway that is gone would go round and round, and hide what failed.
    await using _load = {
      async [Symbol.asyncDispose]() {
        isOver = true
        await load
      },
    }
    await upstream.seen(100)
    const before = total(await series(gateway, 'llmgw_requests_total'))
    const [victim] = await childrenOf(gateway.pid)
    process.kill(victim as number, 'SIGKILL')
    await gateway.logged('A worker ended by SIGKILL; it is started again.')
    const answeredBefore = answered.size
    await eventually('the other one to go on', () => answered.size > answeredBefore + 50, 30_000)
    expect(await readiness(gateway)).toEqual({ status: 'ready', reasons: [] })
    expect(total(await series(gateway, 'llmgw_requests_total'))).toBeGreaterThanOrEqual(before)
    await expect
      .poll(() => series(gateway, 'llmgw_worker_ready'), patience)
      .toEqual({ '{worker="worker-1"}': 1, '{worker="worker-2"}': 1 })
    expect(total(await series(gateway, 'llmgw_worker_restarts_total'))).toBe(1)
    isOver = true
    await load

    // While it runs on: nobody has to restart the gateway for what the dead worker has left.
    await expectEachAccountedOnce(workplace, expect)
    const settled = new Map((await usageRows(workplace.database.pools.admin)).map((row) => [row.request_id, row]))
    for (const id of answered) expect(settled.get(id)).toMatchObject({ state: 'settled', usage_source: 'provider' })
    expect((await childrenOf(gateway.pid)).length).toBe(2)
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
  })

  test('all of them killed with their primary, the single process that is started instead closes their calls', async ({
    expect,
  }) => {
    await using workplace = await openWorkplace()
    const { home, env, upstream } = workplace
    upstream.answer((_response, request) => request.aborted) // which is never, but for the kill
    await using killed = await startGateway({ home, env })
    const workers = await childrenOf(killed.pid)
    const calls = Promise.allSettled(Array.from({ length: 60 }, () => chat(killed)))
    await upstream.seen(60)
    // Of the primary alone: its workers notice.
    await killed.stop('SIGKILL')
    await calls
    for (const pid of workers) await eventually('the workers to end', () => hasEnded(pid))

    await using gateway = await startGateway({ home, env: { ...env, LLMGW_WORKERS: '1' } })
    await expectEachAccountedOnce(workplace, expect)
    const rows = await usageRows(workplace.database.pools.admin)
    expect(new Set(rows.map(({ state, finish }) => `${state} ${finish}`))).toEqual(new Set(['estimated orphaned']))
    await gateway.stop()
  })

  test('one that is replaced while the database is away waits for it, and the other one serves meanwhile', async ({
    expect,
  }) => {
    await using workplace = await openWorkplace()
    const { home, env, database } = workplace
    await using proxy = await openPostgresProxy(database.url)
    await using gateway = await startGateway({ home, env: { ...env, DATABASE_URL: proxy.url } })
    await eachHasServed(gateway, expect)
    proxy.mode = 'down'
    process.kill((await childrenOf(gateway.pid))[0] as number, 'SIGKILL')
    await gateway.logged(
      ({ msg, worker }) => msg.startsWith('The database does not serve yet') && worker === 'worker-1',
    )
    expect(await callAtOnce(gateway, 10)).not.toContain(false)
    expect(await readiness(gateway)).toEqual({ status: 'ready', reasons: [] })
    proxy.mode = 'up'
    await expect
      .poll(() => series(gateway, 'llmgw_worker_ready'), patience)
      .toEqual({ '{worker="worker-1"}': 1, '{worker="worker-2"}': 1 })
    await expectEachAccountedOnce(workplace, expect)
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
  })

  test('one that dies again and again ends the process, with a sentence', async ({ expect }) => {
    await using workplace = await openWorkplace()
    await using gateway = await startGateway(workplace)
    let isGone = false
    void gateway.exit.then(() => {
      isGone = true
    })
    const killing = (async () => {
      while (!isGone) {
        for (const pid of await childrenOf(gateway.pid)) {
          try {
            process.kill(pid, 'SIGKILL')
          } catch {
            // It was just replaced.
          }
        }
        await delay(50)
      }
    })()
    expect(await gateway.exit).toEqual({ code: 1, signal: null })
    await killing
    expect(gateway.stderr).toMatch(
      /The gateway cannot go on: worker-\d ended again and again within a minute \(by SIGKILL\)\./,
    )
  })

  test('Ctrl-C, which all processes get, is a drain; a second SIGTERM cuts one short', async ({ expect }) => {
    await using workplace = await openWorkplace()
    const { home, env, upstream, database } = workplace
    upstream.answer(async (response, request) => {
      startStream(response)
      writeFrame(response, textChunk('Well, '))
      await request.aborted
    })
    const patient = { ...env, LLMGW_DRAIN_DELAY_MS: '3600000', LLMGW_DRAIN_TIMEOUT_MS: '3600000' }
    await using gateway = await startGateway({ home, env: patient })
    const workers = await childrenOf(gateway.pid)
    const streams = await Promise.all(
      Array.from({ length: 4 }, async () => readPartially(await chat(gateway, { stream: true }))),
    )
    for (const stream of streams) await stream.until('Well, ')
    gateway.signalGroup('SIGINT')
    await gateway.logged('draining')
    gateway.signalGroup('SIGTERM')
    for (const stream of streams) expect(await stream.rest()).toContain('"code":"server_shutting_down"')
    expect(await gateway.exit).toEqual({ code: 0, signal: null })
    for (const pid of workers) expect(await hasEnded(pid)).toBe(true)
    const rows = await usageRows(database.pools.admin)
    expect(rows.map(({ finish }) => finish)).toEqual(['shutdown', 'shutdown', 'shutdown', 'shutdown'])
  })

  test('what a worker is refused with is what the process is refused with', async ({ expect }) => {
    await using workplace = await openWorkplace()
    const occupied = createServer()
    await new Promise<void>((resolve) => occupied.listen(0, '127.0.0.1', resolve))
    const { port } = occupied.address() as { port: number }
    await using gateway = spawnGateway({ ...workplace, env: { ...workplace.env, LLMGW_PORT: String(port) } })
    expect(await gateway.exit).toEqual({ code: 78, signal: null })
    expect(gateway.stderr).toMatch(/^The port of LLMGW_PORT is in use by another process\./)
    occupied.close()
  })
})
