import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { detailsOf, firstMessage, GrpcClient, type GrpcStream, textOf } from '../support/grpc.ts'
import {
  respondWithCompletion,
  type SeenRequest,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'
import { openTcpProxy } from '../support/tcp-proxy.ts'

const mebibyte = 1024 * 1024
const cancelled = 1
const deadlineExceeded = 4
const unavailable = 14

let gateway: TestGateway
let client: GrpcClient

beforeAll(async () => {
  gateway = await openTestGateway()
  client = clientOf(gateway)
})
afterAll(async () => {
  client?.close()
  await gateway?.close()
})
beforeEach(() => gateway.upstream.answer(respondWithCompletion))

const clientOf = (of: TestGateway, port = of.app.grpc.port): GrpcClient =>
  new GrpcClient(`127.0.0.1:${port}`, of.keySecret)

const lastSeen = (of = gateway): SeenRequest => of.upstream.requests.at(-1) as SeenRequest

/** The gateway gives up the exchange, and at once: long before any timeout could. */
const closedUpstream = (seen: SeenRequest): Promise<true> =>
  eventually('the upstream exchange to be closed', () => seen.isAborted && (true as const), 2_000)

/** Twenty bytes of text, hence five tokens by our count; then silence. */
function answerAndHang(of = gateway): void {
  of.upstream.answer((response) => {
    startStream(response)
    writeFrame(response, textChunk('twenty bytes of text'))
  })
}

const hasText = (stream: GrpcStream): Promise<unknown> =>
  new Promise<void>((resolve) => stream.call.on('data', (message) => message.text && resolve()))

/** As the caller has named it. */
const named = (name: string) => ({ metadata: { 'x-request-id': name } })

describe('a caller that cancels', () => {
  test('in the middle of a stream: the upstream is closed, what came is paid for, and other streams go on', async () => {
    const goOn = Promise.withResolvers<void>()
    gateway.upstream.answer(async (response, request) => {
      startStream(response)
      writeFrame(response, textChunk('twenty bytes of text'))
      if (request.json.user !== 'stays') return
      await goOn.promise
      writeFrame(response, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      response.end('data: [DONE]\n\n')
    })
    const stays = client.stream({ model: 'round-numbers', user: 'stays' })
    const leaves = client.stream({ model: 'round-numbers' }, named('grpc-cancels'))
    await Promise.all([hasText(stays), hasText(leaves)])
    leaves.call.cancel()
    expect((await leaves.outcome).code).toBe(cancelled)
    await closedUpstream(gateway.upstream.requests.find(({ json }) => json.user !== 'stays') as SeenRequest)
    expect(await gateway.settledRecord('grpc-cancels')).toMatchObject({
      records: 1,
      state: 'settled',
      usage_source: 'counted',
      finish: 'client_disconnected',
      error_code: 'client_closed_request',
      output_tokens: '5',
    })
    goOn.resolve()
    const whole = await stays.outcome
    expect([whole.code, textOf(whole.messages)]).toEqual([0, 'twenty bytes of text'])
  })

  test.each(['Stream', 'Complete'] as const)(
    'before the first output, of %s: the upstream is closed',
    async (method) => {
      const seenBefore = gateway.upstream.requests.length
      gateway.upstream.answer(() => {})
      const options = named(`grpc-cancels-${method}`)
      const leaves =
        method === 'Stream'
          ? client.stream({ model: 'round-numbers' }, options)
          : startComplete('round-numbers', options)
      await gateway.upstream.seen(seenBefore + 1)
      leaves.call.cancel()
      expect((await leaves.outcome).code).toBe(cancelled)
      await closedUpstream(lastSeen())
      expect(await gateway.settledRecord(`grpc-cancels-${method}`)).toMatchObject({ finish: 'client_disconnected' })
    },
  )
})

/** A unary call that can be cancelled. */
function startComplete(model: string, options: ReturnType<typeof named>) {
  let call: { cancel(): void } | undefined
  const outcome = client.complete({ model }, { ...options, onCall: (started) => (call = started) })
  return { call: call as unknown as { cancel(): void }, outcome }
}

describe('a deadline', () => {
  test('ends a call that has no output: nothing is waited for, and the provider is told', async () => {
    gateway.upstream.answer(() => {})
    const outcome = await client.complete({ model: 'round-numbers' }, { ...named('grpc-deadline'), deadlineMs: 400 })
    expect(outcome.code).toBe(deadlineExceeded)
    await closedUpstream(lastSeen())
    expect(await gateway.settledRecord('grpc-deadline')).toMatchObject({
      records: 1,
      finish: 'timeout',
      error_code: 'provider_timeout',
      // What was asked is paid for, as nobody knows what the provider has done of it.
      usage_source: 'estimated',
    })
  })

  test('ends a stream in the middle; what came is paid for', async () => {
    answerAndHang()
    const stream = client.stream({ model: 'round-numbers' }, { ...named('grpc-deadline-late'), deadlineMs: 600 })
    const { code, messages } = await stream.outcome
    expect([code, textOf(messages)]).toEqual([deadlineExceeded, 'twenty bytes of text'])
    await closedUpstream(lastSeen())
    expect(await gateway.settledRecord('grpc-deadline-late')).toMatchObject({
      finish: 'timeout',
      usage_source: 'counted',
      output_tokens: '5',
    })
  })

  test('that is kept harms nothing', async () => {
    const { code } = await client.complete({ model: 'round-numbers' }, { deadlineMs: 20_000 })
    expect(code).toBe(0)
  })
})

/** Streams as much as is taken, until the gateway has had enough. */
function flood(of = gateway): { written: number } {
  const state = { written: 0 }
  const frame = Buffer.from(`data: ${JSON.stringify(textChunk('x'.repeat(16_000)))}\n\n`)
  of.upstream.answer(async (response, seen) => {
    if (seen.json.user !== 'flooded') return respondWithCompletion(response, seen)
    startStream(response)
    while (!seen.isAborted && state.written < 512 * mebibyte) {
      if (!response.write(frame)) await Promise.race([once(response, 'drain'), seen.aborted])
      state.written += frame.length
    }
    response.end()
    return undefined
  })
  return state
}

describe('a slow reader', () => {
  test('of one message a second for 30 s pauses the provider, fills no memory, and harms nobody', async () => {
    const state = flood()
    using slow = clientOf(gateway)
    const stream = slow.stream({ model: 'round-numbers', user: 'flooded' }, named('grpc-slow'))
    stream.call.pause()
    await firstMessageOf(stream)
    const heapBefore = heapUsed()
    let heapMost = 0
    for (let second = 0; second < 30; second++) {
      await delay(1_000)
      expect(stream.call.read()).not.toBeNull()
      // Others are served meanwhile, on a connection of their own and on this one.
      if (second % 10 === 0) {
        for (const other of [client, slow]) {
          expect((await other.stream({ model: 'round-numbers' }, { deadlineMs: 5_000 }).outcome).code).toBe(0)
        }
      }
      heapMost = Math.max(heapMost, heapUsed())
    }
    expect(state.written).toBeLessThan(40 * mebibyte)
    expect(heapMost - heapBefore).toBeLessThan(64 * mebibyte)
    const seen = gateway.upstream.requests.find(({ json }) => json.user === 'flooded') as SeenRequest
    expect(seen.isAborted).toBe(false)
    stream.call.cancel()
    await closedUpstream(seen)
    const record = await gateway.settledRecord('grpc-slow')
    expect(record).toMatchObject({ records: 1, usage_source: 'counted', finish: 'client_disconnected' })
    expect(Number(record.output_tokens)).toBeLessThanOrEqual(state.written / 4)
  })

  test('that takes nothing at all is cut off, and what came is paid for', async () => {
    await using impatient = await openTestGateway({ file: { limits: { stalledMs: 500 } } })
    flood(impatient)
    using stalled = clientOf(impatient)
    const stream = stalled.stream({ model: 'round-numbers', user: 'flooded' }, named('grpc-stalled'))
    stream.call.pause()
    await impatient.upstream.seen(1)
    await eventually('the upstream to be closed', () => lastSeen(impatient).isAborted, 10_000)
    expect(await impatient.settledRecord('grpc-stalled')).toMatchObject({
      usage_source: 'counted',
      finish: 'client_disconnected',
    })
    await eventually('nothing to be open', async () => (await impatient.metric('llmgw_requests_in_flight')) === 0)
    await impatient.allSettled()
  })
})

/** Of a paused stream. */
const firstMessageOf = (stream: GrpcStream): Promise<unknown> =>
  eventually('a first message', () => stream.call.read() !== null)

const heapUsed = (): number => {
  const { heapUsed: used, external } = process.memoryUsage()
  return used + external
}

test('a caller that vanishes: its connection is gone, the upstream is closed, and what came is paid for', async () => {
  answerAndHang()
  await using proxy = await openTcpProxy({ host: '127.0.0.1', port: gateway.app.grpc.port })
  using vanishing = clientOf(gateway, proxy.port)
  const stream = vanishing.stream({ model: 'round-numbers' }, named('grpc-vanishes'))
  await hasText(stream)
  proxy.mode = 'down'
  proxy.cut()
  expect((await stream.outcome).code).toBe(unavailable)
  await closedUpstream(lastSeen())
  expect(await gateway.settledRecord('grpc-vanishes')).toMatchObject({
    records: 1,
    finish: 'client_disconnected',
    output_tokens: '5',
  })
})

describe('the gateway is shutting down', () => {
  test('a stream that ends in time ends as ever; one that does not is told so; nothing new is taken', async () => {
    await using stopping = await openTestGateway()
    const goOn = Promise.withResolvers<void>()
    stopping.upstream.answer(async (response, request) => {
      startStream(response)
      writeFrame(response, textChunk('twenty bytes of text'))
      if (request.json.user !== 'quick') return
      await goOn.promise
      writeFrame(response, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      response.end('data: [DONE]\n\n')
    })
    using caller = clientOf(stopping)
    const quick = caller.stream({ model: 'round-numbers', user: 'quick' })
    const slow = caller.stream({ model: 'round-numbers', user: 'slow' }, named('grpc-drained'))
    await Promise.all([hasText(quick), hasText(slow)])
    const deadline = Promise.withResolvers<void>()
    const drained = stopping.app.drain(0, deadline.promise)
    await eventually('new calls to be refused', async () => {
      const { code } = await caller.stream({ model: 'demo/demo-chat' }, { deadlineMs: 1_000 }).outcome
      return code === unavailable
    })
    goOn.resolve()
    const whole = await quick.outcome
    expect([whole.code, whole.messages.at(-1)?.event]).toEqual([0, 'end'])
    deadline.resolve()
    const cut = await slow.outcome
    expect(cut.code).toBe(unavailable)
    expect(detailsOf(cut)).toMatchObject({
      ErrorInfo: { reason: 'server_shutting_down', domain: 'llmgw' },
      RetryInfo: { retryDelayMs: expect.any(Number) },
    })
    await drained
    expect(await stopping.settledRecord('grpc-drained')).toMatchObject({
      records: 1,
      finish: 'shutdown',
      output_tokens: '5',
    })
  })

  test('health says so before anything is refused', async () => {
    await using stopping = await openTestGateway()
    using caller = clientOf(stopping)
    const deadline = Promise.withResolvers<void>()
    expect(await caller.health('thinkpixel.llmgw.v1.ChatService')).toBe('SERVING')
    const drained = stopping.app.drain(60_000, deadline.promise)
    expect(await caller.health('thinkpixel.llmgw.v1.ChatService')).toBe('NOT_SERVING')
    expect(await caller.health('')).toBe('NOT_SERVING')
    expect((await caller.complete({ model: 'demo/demo-chat' })).code).toBe(0)
    deadline.resolve()
    await drained
  })
})

test('a first message is not waited for by others: streams of one connection do not hold each other up', async () => {
  const goOn = Promise.withResolvers<void>()
  gateway.upstream.answer(async (response, request) => {
    if (request.json.user === 'waits') await goOn.promise
    respondWithCompletion(response, request)
  })
  const waits = client.stream({ model: 'round-numbers', user: 'waits' })
  const { code } = await client.complete({ model: 'round-numbers' })
  expect(code).toBe(0)
  const first = firstMessage(waits)
  goOn.resolve()
  await first
  expect((await waits.outcome).code).toBe(0)
})
