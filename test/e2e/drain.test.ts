import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { describe, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { readPartially } from '../support/event-stream.ts'
import {
  chat,
  configFor,
  environmentFor,
  readiness,
  statusOf,
  testSecret,
  usageRows,
} from '../support/gateway-calls.ts'
import { makeGatewayHome } from '../support/gateway-home.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import {
  respondWithCompletion,
  type ScriptedUpstream,
  type SeenRequest,
  startScriptedUpstream,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

const patience = { timeout: 15_000 }

interface Drained extends AsyncDisposable {
  gateway: GatewayProcess
  upstream: ScriptedUpstream
  database: TestDatabase
  /** Lets the answers end that wait for it. */
  release(): void
}

async function start(drainDelayMs: number, drainTimeoutMs: number): Promise<Drained> {
  await using opening = new AsyncDisposableStack()
  const database = await createTestDatabase()
  opening.defer(() => database.drop())
  const upstream = await startScriptedUpstream()
  opening.defer(() => upstream.close())
  const released = Promise.withResolvers<void>()
  upstream.answer((response, request) => answer(response, request, released.promise))
  const home = opening.use(await makeGatewayHome())
  // A reader that takes nothing must not be dropped for that while a test is about the drain.
  await home.configure(configFor(upstream, { limits: { stalledMs: 600_000 } }))
  const env = {
    ...environmentFor(home),
    DATABASE_URL: database.url,
    LLMGW_DRAIN_DELAY_MS: String(drainDelayMs),
    LLMGW_DRAIN_TIMEOUT_MS: String(drainTimeoutMs),
  }
  const gateway = opening.use(await startGateway({ home, env }))
  const resources = opening.move()
  return {
    gateway,
    upstream,
    database,
    release: released.resolve,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** Who asks to "wait" gets a word and then waits to be released; who asks for "ever" waits for ever. */
async function answer(response: ServerResponse, request: SeenRequest, released: Promise<void>): Promise<void> {
  const [{ content: prompt }] = request.json.messages as [{ content: string }]
  if (prompt === 'Hello!') return respondWithCompletion(response, request)
  if (prompt === 'flow') return flow(response, request)
  if (request.json.stream === true) {
    startStream(response)
    writeFrame(response, textChunk('Well, '))
  }
  await (prompt === 'wait' ? released : request.aborted)
  if (prompt !== 'wait') return
  writeFrame(response, { ...textChunk(''), choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
  response.end('data: [DONE]\n\n')
}

let framesWritten = 0

/** As much as the gateway takes. */
async function flow(response: ServerResponse, request: SeenRequest): Promise<void> {
  startStream(response)
  const frame = textChunk('x'.repeat(64 * 1024))
  while (!request.isAborted) {
    writeFrame(response, frame)
    framesWritten++
    if (response.writableNeedDrain) await Promise.race([once(response, 'drain'), request.aborted])
  }
}

async function startedStream(gateway: GatewayProcess, prompt: string) {
  const reader = readPartially(await chat(gateway, { prompt, stream: true }))
  await reader.until('Well, ')
  return reader
}

describe.concurrent('a drain', () => {
  test('SIGTERM: unready at once, calls taken for the delay, streams ended in time or told, all usage in the database', async ({
    expect,
  }) => {
    await using drained = await start(3_000, 3_000)
    const { gateway, upstream, database, release } = drained
    const endsInTime = await startedStream(gateway, 'wait')
    const endsNever = await startedStream(gateway, 'ever')
    const unary = chat(gateway, { prompt: 'ever' })
    await upstream.seen(3)

    gateway.signal('SIGTERM')
    await expect.poll(() => statusOf(`${gateway.opsUrl}/readyz`), patience).toBe(503)
    expect(await readiness(gateway)).toEqual({ status: 'not ready', reasons: ['draining'] })
    expect((await chat(gateway)).status).toBe(200)

    await expect.poll(() => statusOf(`${gateway.restUrl}/v1/models`), patience).toBe('ECONNREFUSED')
    expect(await statusOf(`${gateway.opsUrl}/healthz`)).toBe(200)
    release()
    expect(await endsInTime.rest()).toMatch(/data: \[DONE\]\n\n$/)

    const told = await endsNever.rest()
    expect(told).toMatch(/\ndata: \{"error":\{[^\n]*"code":"server_shutting_down"[^\n]*\}\}\n\n$/)
    expect(told).not.toContain('[DONE]')
    const refused = await unary
    expect(refused.status).toBe(503)
    expect(await refused.json()).toMatchObject({ error: { code: 'server_shutting_down' } })

    expect(await gateway.exit).toEqual({ code: 0, signal: null })
    const rows = await usageRows(database.pools.admin)
    expect(rows.map(({ finish, usage_source }) => `${finish} ${usage_source}`).sort()).toEqual([
      'shutdown counted',
      'shutdown counted',
      'stop counted', // the upstream gave no usage
      'stop provider',
    ])
  })

  test('a second SIGTERM cuts it short, however long the first would have taken', async ({ expect }) => {
    await using drained = await start(3_600_000, 3_600_000)
    const { gateway, database } = drained
    const stream = await startedStream(gateway, 'ever')
    gateway.signal('SIGTERM')
    await gateway.logged('draining')
    gateway.signal('SIGTERM')
    expect(await stream.rest()).toContain('"code":"server_shutting_down"')
    expect(await gateway.exit).toEqual({ code: 0, signal: null })
    expect(await usageRows(database.pools.admin)).toEqual([expect.objectContaining({ finish: 'shutdown' })])
  })

  test('a reader that takes nothing does not keep it from ending', async ({ expect }) => {
    await using drained = await start(0, 500)
    const { gateway, upstream, database } = drained
    using _reader = stalledReader(gateway)
    await upstream.seen(1)
    // All buffers on the way are full once the upstream cannot write any more.
    let framesBefore = 0
    const hasStalled = (): boolean => {
      const isStill = framesWritten > 0 && framesWritten === framesBefore
      framesBefore = framesWritten
      return isStill
    }
    await expect.poll(hasStalled, { ...patience, interval: 300 }).toBe(true)
    expect(await gateway.stop()).toEqual({ code: 0, signal: null })
    expect(await usageRows(database.pools.admin)).toEqual([
      expect.objectContaining({ finish: 'shutdown', usage_source: 'counted' }),
    ])
  })
})

/** Asks for a stream over a socket of its own, and never reads it. */
function stalledReader({ restUrl }: GatewayProcess): Disposable {
  const body = JSON.stringify({
    model: 'openai/test-model',
    stream: true,
    messages: [{ role: 'user', content: 'flow' }],
  })
  const socket: Socket = connect(Number(new URL(restUrl).port), '127.0.0.1')
  socket.on('error', () => {})
  socket.pause()
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${testSecret}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  return { [Symbol.dispose]: () => void socket.destroy() }
}
