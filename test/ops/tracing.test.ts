import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, requestIdOf, type TestGateway, upstreamCredential } from '../support/gateway.ts'
import { GrpcClient } from '../support/grpc.ts'
import { type CollectedSpan, type OtlpCollector, startOtlpCollector } from '../support/otlp-collector.ts'
import { respondWithCompletion, respondWithJson } from '../support/scripted-upstream.ts'

const server = 2
const clientKind = 3
const prompt = 'a question that is nobody else’s business'

let collector: OtlpCollector
let gateway: TestGateway

const tracingTo = (url: string, more: Record<string, string> = {}) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=collector%20secret',
  ...more,
})

beforeAll(async () => {
  collector = await startOtlpCollector()
  gateway = await openTestGateway({ environment: tracingTo(collector.url), keepsRequestLog: true })
})
afterAll(async () => {
  await gateway?.close()
  await collector?.[Symbol.asyncDispose]()
})

/** All spans of a call, once the last of them has come: that of the call itself. */
const spansOf = (requestId: string, from = collector): Promise<CollectedSpan[]> =>
  eventually(
    `the spans of ${requestId}`,
    () => {
      const call = from.spans.find(({ attributes }) => attributes['llmgw.request_id'] === requestId)
      return call && from.spans.filter(({ traceId }) => traceId === call.traceId)
    },
    15_000,
  )

const ask = (body: object = {}, headers: Record<string, string> = {}) =>
  gateway.chat({ model: 'round-numbers', messages: [{ role: 'user', content: prompt }], ...body }, { headers })

describe('a call', () => {
  test('is a span of a server, with its admission and its attempt, by the names of the conventions', async () => {
    gateway.upstream.answer(respondWithCompletion)
    const response = await ask({ stream: true })
    await response.text()
    const spans = await spansOf(requestIdOf(response))
    const [call] = spans.filter(({ kind }) => kind === server)
    const [attempt] = spans.filter(({ kind }) => kind === clientKind)
    const admission = spans.find(({ name }) => name === 'admission')
    expect(spans).toHaveLength(3)
    expect(call).toMatchObject({
      name: 'chat round-numbers',
      parentSpanId: '',
      status: 0,
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.request.model': 'round-numbers',
        'gen_ai.usage.input_tokens': 11,
        'gen_ai.usage.output_tokens': 3,
        'gen_ai.response.finish_reasons': ['stop'],
        'gen_ai.response.id': 'chatcmpl-1',
        'llmgw.door': 'rest',
        'llmgw.stream': true,
        'llmgw.attempts': 1,
        'llmgw.cost_nano_usd': '23000',
      },
      resource: { 'service.name': 'llmgw', 'service.version': expect.any(String) },
    })
    expect(attempt).toMatchObject({
      name: 'chat round-numbers',
      parentSpanId: call?.spanId,
      attributes: {
        'gen_ai.provider.name': 'openai',
        'gen_ai.system': 'openai',
        'gen_ai.request.model': 'round-numbers',
        'gen_ai.usage.input_tokens': 11,
        'http.response.status_code': 200,
        'llmgw.attempt': 1,
      },
    })
    expect(admission?.parentSpanId).toBe(call?.spanId)
    for (const inner of [admission, attempt]) {
      expect(inner?.startMs).toBeGreaterThanOrEqual((call?.startMs ?? 0) - 1)
      expect(inner?.endMs).toBeLessThanOrEqual((call?.endMs ?? 0) + 1)
    }
    expect(Object.keys(call?.resource ?? {}).sort()).toEqual(['service.name', 'service.version'])
  })

  test('continues the trace of its caller, and the provider may continue ours', async () => {
    gateway.upstream.answer(respondWithCompletion)
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
    const response = await ask({}, { traceparent: `00-${traceId}-00f067aa0ba902b7-01` })
    const spans = await spansOf(requestIdOf(response))
    const call = spans.find(({ kind }) => kind === server)
    const attempt = spans.find(({ kind }) => kind === clientKind)
    expect(call).toMatchObject({ traceId, parentSpanId: '00f067aa0ba902b7' })
    expect(gateway.upstream.requests.at(-1)?.headers.traceparent).toBe(`00-${traceId}-${attempt?.spanId}-01`)
  })

  test('that its caller has decided not to trace is not traced, and the decision is passed on', async () => {
    gateway.upstream.answer(respondWithCompletion)
    const given = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
    await (await ask({}, { traceparent: given })).text()
    expect(gateway.upstream.requests.at(-1)?.headers.traceparent).toBe(given)
    const later = await ask()
    await later.text()
    await spansOf(requestIdOf(later))
    expect(collector.spans.some(({ traceId }) => traceId === '0af7651916cd43dd8448eb211c80319c')).toBe(false)
  })

  test.each([
    'nonsense',
    '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
    'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  ])('with the trace context %s begins a trace of its own', async (traceparent) => {
    gateway.upstream.answer(respondWithCompletion)
    const response = await ask({}, { traceparent })
    const [call] = (await spansOf(requestIdOf(response))).filter(({ kind }) => kind === server)
    expect(call?.parentSpanId).toBe('')
  })

  test('that falls back has a span for each attempt, and says which one failed', async () => {
    gateway.upstream.answer((response) => respondWithJson(response, 500, { error: { message: 'no' } }))
    gateway.spare.answer(respondWithCompletion)
    const response = await ask({ model: 'smart' })
    const spans = await spansOf(requestIdOf(response))
    const attempts = spans.filter(({ kind }) => kind === clientKind).sort((a, b) => a.startMs - b.startMs)
    expect(
      attempts.map(({ status, attributes }) => [status, attributes['llmgw.provider'], attributes['error.type']]),
    ).toEqual([
      [2, 'openai', 'provider_error'],
      [0, 'spare', undefined],
    ])
    expect(spans.find(({ kind }) => kind === server)?.attributes).toMatchObject({
      'llmgw.alias': 'smart',
      'llmgw.attempts': 2,
    })
  })

  test('that is refused says why, and has no attempt', async () => {
    const response = await ask({ model: 'demo/none' })
    expect(response.status).toBe(404)
    const spans = await spansOf(requestIdOf(response))
    expect(spans).toHaveLength(1)
    expect(spans[0]?.attributes['error.type']).toBe('model_not_found')
  })

  test('over gRPC is followed as well, by its metadata', async () => {
    gateway.upstream.answer(respondWithCompletion)
    using grpc = new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, gateway.keySecret)
    const traceId = '5bf92f3577b34da6a3ce929d0e0e4736'
    const metadata = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` }
    const { messages } = await grpc.complete({ model: 'round-numbers' }, { metadata })
    const spans = await spansOf(messages[0]?.summary?.requestId ?? '')
    expect(spans.find(({ kind }) => kind === server)).toMatchObject({ traceId, attributes: { 'llmgw.door': 'grpc' } })
  })

  test('has its trace in its line of the log', async () => {
    gateway.upstream.answer(respondWithCompletion)
    const response = await ask()
    const id = requestIdOf(response)
    const [call] = (await spansOf(id)).filter(({ kind }) => kind === server)
    const line = gateway.requestLog.find((each) => each.includes(id)) ?? '{}'
    expect(JSON.parse(line)).toMatchObject({ trace_id: call?.traceId, span_id: call?.spanId })
  })
})

test('spans hold no prompt, no answer and no secret, and exports carry their headers', async () => {
  expect(collector.spans.length).toBeGreaterThan(10)
  for (const secret of [prompt, 'Hello there', gateway.keySecret, upstreamCredential, 'collector secret']) {
    expect(collector.text).not.toContain(secret)
  }
  expect(new Set(collector.headers.map((headers) => headers['x-collector-key']))).toEqual(new Set(['collector secret']))
})

test('prompts are in spans where they are switched on', async () => {
  await using own = await startOtlpCollector()
  await using open = await openTestGateway({ environment: tracingTo(own.url, { LLMGW_TRACE_PROMPTS: 'on' }) })
  const messages = [{ role: 'user', content: prompt }]
  const response = await open.chat({ messages })
  const [call] = (await spansOf(requestIdOf(response), own)).filter(({ kind }) => kind === server)
  expect(call?.attributes['gen_ai.input.messages']).toBe(JSON.stringify(messages))
})

test('a share of calls is traced: of those that nobody has decided about', async () => {
  await using own = await startOtlpCollector()
  await using open = await openTestGateway({ environment: tracingTo(own.url, { OTEL_TRACES_SAMPLER_ARG: '0' }) })
  await (await open.chat()).text()
  const traceparent = '00-6bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const decided = await open.chat({}, { headers: { traceparent } })
  await spansOf(requestIdOf(decided), own)
  expect(new Set(own.spans.map(({ traceId }) => traceId))).toEqual(new Set(['6bf92f3577b34da6a3ce929d0e0e4736']))
})

test('a collector that is gone costs no call anything', async () => {
  const gone = await startOtlpCollector()
  await gone[Symbol.asyncDispose]()
  await using open = await openTestGateway({ environment: tracingTo(gone.url) })
  for (let i = 0; i < 5; i++) expect((await open.chat()).status).toBe(200)
  expect(await open.allSettled()).toBe(5)
})
