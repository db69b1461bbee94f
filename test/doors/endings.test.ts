import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { contentOf, framesOf, readPartially } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { chatDefaults, openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { openRawConnection, postRequest } from '../support/raw-connection.ts'
import {
  respondWithCompletion,
  respondWithJson,
  type SeenRequest,
  startStream,
  textChunk,
  usageOf,
  writeFrame,
} from '../support/scripted-upstream.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway.close())
beforeEach(async () => {
  await gateway.forgetHealth()
  gateway.upstream.answer(respondWithCompletion)
  gateway.spare.answer(respondWithCompletion)
})

/** Costs 1,000 nano-dollars a token in, 4,000 out. */
const streamed = { model: 'round-numbers', stream: true } as const
const inNano = 1_000
const outNano = 4_000

/** Our estimate of `chatDefaults` with that model: all its text, four characters to a token. */
const inputEstimate = 7

const lastSeen = (from = gateway): SeenRequest => from.upstream.requests.at(-1) as SeenRequest

/** The gateway gives up the exchange, and at once: long before any timeout could. */
const closedUpstream = (seen: SeenRequest): Promise<true> =>
  eventually('the upstream exchange to be closed', () => seen.isAborted && (true as const), 2_000)

/** Twenty bytes of text, hence five tokens by our count; then silence. */
function answerAndHang(from = gateway): void {
  from.upstream.answer((response) => {
    startStream(response)
    writeFrame(response, textChunk('twenty bytes of text'))
  })
}

/** Never a byte. */
const hang = (): void => {}

test('finished: the stream ends with [DONE], and the provider says what it cost', async () => {
  const response = await gateway.chat(streamed)
  expect(framesOf(await response.text()).at(-1)).toBe('[DONE]')
  expect(lastSeen().isAborted).toBe(false)
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    records: 1,
    state: 'settled',
    usage_source: 'provider',
    finish: 'stop',
    error_code: null,
    provider_cost_nano: String(11 * inNano + 3 * outNano),
    attempts: [{ outcome: 'answered', billing: 'billed', http_status: 200 }],
  })
})

describe('fell back', () => {
  test.for([
    ['refuses the connection', undefined, 'connect', 'not_billed'],
    ['is limited', 429, 'status', 'not_billed'],
    ['fails', 500, 'status', 'unknown'],
    ['refuses our credential', 401, 'status', 'not_billed'],
  ] as const)('a first target that %s is followed by the second one', async ([, status, outcome, billing]) => {
    if (status === undefined) await gateway.upstream.stop()
    gateway.upstream.answer((response) => respondWithJson(response, status ?? 500, { error: { message: 'no' } }))
    const response = await gateway.chat({ ...streamed, model: 'smart' })
    expect(contentOf(await response.text())).toBe('Hello there.')
    if (status === undefined) await gateway.upstream.restart()
    expect(response.headers.get('x-llmgw-provider')).toBe('spare')
    expect(response.headers.get('x-llmgw-attempts')).toBe('2')
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      records: 1,
      state: 'settled',
      usage_source: 'provider',
      alias: 'smart',
      provider: 'spare',
      model: 'spare-chat',
      provider_cost_nano: String(11 * 3_000 + 3 * 6_000),
      attempts: [
        { attempt_no: 1, provider: 'openai', outcome, billing, cost_nano: '0', http_status: status ?? null },
        { attempt_no: 2, provider: 'spare', outcome: 'answered', billing: 'billed' },
      ],
    })
  })

  test('a first target that breaks off before its first output is followed by the second one', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, { choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] })
      response.end()
    })
    const response = await gateway.chat({ ...streamed, model: 'smart' })
    const frames = framesOf(await response.text())
    // The role of the first target was held back, and is not there twice.
    expect(frames.filter((frame) => frame !== '[DONE]' && JSON.stringify(frame).includes('"role"'))).toHaveLength(1)
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      provider: 'spare',
      attempts: [{ outcome: 'cut' }, { outcome: 'answered' }],
    })
  })

  test('a request that the first target finds wrong is not sent to the second one', async () => {
    const spareBefore = gateway.spare.requests.length
    gateway.upstream.answer((response) => respondWithJson(response, 400, { error: { message: 'Too hot.' } }))
    const response = await gateway.chat({ ...streamed, model: 'smart', temperature: 9 })
    expect(response.status).toBe(400)
    expect(gateway.spare.requests.length).toBe(spareBefore)
  })
})

test('failed before the first output: a proper status, and nothing to pay', async () => {
  gateway.upstream.answer((response) => respondWithJson(response, 500, { error: { message: 'no' } }))
  const response = await gateway.chat(streamed)
  expect(response.status).toBe(502)
  expect(await response.json()).toMatchObject({ error: { code: 'provider_error', type: 'upstream_error' } })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    records: 1,
    state: 'released',
    usage_source: 'none',
    finish: 'provider_error',
    error_code: 'provider_error',
    http_status: 500,
    provider_cost_nano: '0',
    ledger_nano: '0',
    retry_uncertain: true,
    attempts: Array(2).fill({ outcome: 'status', billing: 'unknown', error_code: 'provider_error' }),
  })
})

test('failed after the first output: an error event, no [DONE], and what came is paid for', async () => {
  const spareBefore = gateway.spare.requests.length
  gateway.upstream.answer((response) => {
    startStream(response)
    writeFrame(response, textChunk('twenty bytes of text'))
    writeFrame(response, { error: { message: 'The model fell over.', type: 'server_error' } })
    response.end('data: [DONE]\n\n')
  })
  const response = await gateway.chat({ ...streamed, model: 'smart' })
  expect(response.status).toBe(200)
  const frames = framesOf(await response.text())
  expect(frames.at(-1)).toEqual({
    error: {
      message: expect.any(String),
      type: 'upstream_error',
      param: null,
      code: 'provider_error',
      request_id: requestIdOf(response),
    },
  })
  expect(frames).not.toContain('[DONE]')
  expect(gateway.spare.requests.length).toBe(spareBefore)
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    records: 1,
    state: 'settled',
    usage_source: 'counted',
    finish: 'provider_error',
    error_code: 'provider_error',
    output_tokens: '5',
    attempts: [{ outcome: 'in-stream', billing: 'estimated' }],
  })
})

test('failed after the first output, with usage: the provider said what it cost', async () => {
  gateway.upstream.answer((response) => {
    startStream(response)
    writeFrame(response, textChunk('twenty bytes of text'))
    writeFrame(response, { choices: [], usage: usageOf(100, 50) })
    writeFrame(response, { error: { message: 'The model fell over.' } })
    response.end()
  })
  const response = await gateway.chat(streamed)
  await response.text()
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    usage_source: 'provider',
    finish: 'provider_error',
    provider_cost_nano: String(100 * inNano + 50 * outNano),
  })
})

test('the reader left after the first output: the upstream is closed, and what came is paid for', async () => {
  answerAndHang()
  const leaving = new AbortController()
  const response = await gateway.chat(streamed, { signal: leaving.signal })
  const reader = readPartially(response)
  await reader.until('twenty bytes of text')
  leaving.abort()
  await closedUpstream(lastSeen())
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    records: 1,
    state: 'settled',
    usage_source: 'counted',
    finish: 'client_disconnected',
    error_code: 'client_closed_request',
    input_tokens: String(inputEstimate),
    output_tokens: '5',
    provider_cost_nano: String(inputEstimate * inNano + 5 * outNano),
    ledger_nano: String(inputEstimate * inNano + 5 * outNano),
    attempts: [{ outcome: 'cancelled', billing: 'estimated', http_status: 200 }],
  })
})

test('the reader left before reading at all: what the upstream wrote is paid for all the same', async () => {
  answerAndHang()
  using client = await openRawConnection(gateway.url, { reads: false })
  const named = ['x-request-id: left-before-reading']
  client.send(postRequest('/v1/chat/completions', gateway.keySecret, { ...chatDefaults, ...streamed }, named))
  await once(client.socket, 'readable')
  client.socket.destroy()
  const record = await gateway.settledRecord('left-before-reading')
  await closedUpstream(lastSeen())
  expect(record).toMatchObject({
    records: 1,
    state: 'settled',
    usage_source: 'counted',
    finish: 'client_disconnected',
    output_tokens: '5',
    provider_cost_nano: String(inputEstimate * inNano + 5 * outNano),
  })
})

test.for([
  ['stream', true],
  ['unary answer', false],
] as const)('the reader left before the first byte of a %s: the prompt is paid for', async ([kind, stream]) => {
  gateway.upstream.answer(hang)
  const seenBefore = gateway.upstream.requests.length
  const leaving = new AbortController()
  const id = `left-before-a-${kind.replace(' ', '-')}`
  const call = gateway.chat({ ...streamed, stream }, { signal: leaving.signal, headers: { 'x-request-id': id } })
  await gateway.upstream.seen(seenBefore + 1)
  leaving.abort()
  await expect(call).rejects.toThrow()
  await closedUpstream(lastSeen())
  expect(await gateway.settledRecord(id)).toMatchObject({
    records: 1,
    state: 'settled',
    usage_source: 'counted',
    finish: 'client_disconnected',
    output_tokens: '0',
    first_output_ms: null,
    provider_cost_nano: String(inputEstimate * inNano),
    attempts: [{ outcome: 'cancelled', billing: 'estimated', http_status: null }],
  })
})

test('clients that leave at any moment leave nothing behind', async () => {
  const recordsBefore = await gateway.allSettled()
  const seenBefore = gateway.upstream.requests.length
  await Promise.all(
    Array.from({ length: 60 }, async (_, at) => {
      // Every third key has to be looked up, so that its client is gone before anybody knows who it was.
      const key = at % 3 === 0 ? `nobody-knows-this-key-${at}` : gateway.keySecret
      using client = await openRawConnection(gateway.url)
      const whole = postRequest('/v1/chat/completions', key, { ...chatDefaults, ...streamed })
      const part = at % 2 === 0 ? whole : whole.slice(0, whole.length - 1 - at)
      await new Promise((resolve) => client.socket.write(part, resolve))
      if (at % 4 === 0) client.socket.resetAndDestroy()
      else client.socket.end()
    }),
  )
  await eventually('nothing to be in flight', async () => (await gateway.metric('llmgw_requests_in_flight')) === 0)
  const dispatched = gateway.upstream.requests.length - seenBefore
  expect(await gateway.allSettled()).toBeGreaterThanOrEqual(recordsBefore + dispatched)
})

describe('the gateway is shutting down', () => {
  test('a stream that ends in time ends as ever; one that does not is told so, and what came is paid for', async () => {
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
    const [quick, slow] = await Promise.all([
      stopping.chat({ ...streamed, user: 'quick' }),
      stopping.chat({ ...streamed, user: 'slow' }),
    ])
    const readers = [readPartially(quick), readPartially(slow)] as const
    await Promise.all(readers.map((reader) => reader.until('twenty bytes of text')))
    const deadline = Promise.withResolvers<void>()
    const drained = stopping.app.drain(0, deadline.promise)
    goOn.resolve()
    expect(framesOf(await readers[0].rest()).at(-1)).toBe('[DONE]')
    expect((await fetch(`${stopping.opsUrl}/readyz`)).status).toBe(503)
    deadline.resolve()
    expect(framesOf(await readers[1].rest()).at(-1)).toMatchObject({
      error: { code: 'server_shutting_down', type: 'service_unavailable', request_id: requestIdOf(slow) },
    })
    await drained
    const slowSeen = stopping.upstream.requests.find(({ json }) => json.user === 'slow') as SeenRequest
    await closedUpstream(slowSeen)
    expect(await stopping.settledRecord(requestIdOf(quick))).toMatchObject({ state: 'settled', finish: 'stop' })
    expect(await stopping.settledRecord(requestIdOf(slow))).toMatchObject({
      records: 1,
      state: 'settled',
      usage_source: 'counted',
      finish: 'shutdown',
      error_code: 'server_shutting_down',
      output_tokens: '5',
      attempts: [{ outcome: 'cancelled', billing: 'estimated' }],
    })
  })

  test('a call without output yet is told 503, and new connections are refused', async () => {
    await using stopping = await openTestGateway()
    stopping.upstream.answer(hang)
    const call = stopping.chat(streamed)
    await stopping.upstream.seen(1)
    await stopping.app.drain(0, Promise.resolve())
    const response = await call
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await response.json()).toMatchObject({ error: { code: 'server_shutting_down' } })
    await expect(stopping.chat(streamed)).rejects.toThrow()
    expect(await stopping.settledRecord(requestIdOf(response))).toMatchObject({ finish: 'shutdown', state: 'settled' })
  })
})
