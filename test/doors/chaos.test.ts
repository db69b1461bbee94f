import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { contentOf, framesOf } from '../support/event-stream.ts'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import {
  type Behaviour,
  respondWithCompletion,
  respondWithJson,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'

/** The alias `smart`: `openai/round-numbers` first, `spare/spare-chat` when that fails. */
let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({ timeouts: { firstByteMs: 600, idleMs: 600, totalMs: 5_000 } })
})
afterAll(() => gateway.close())
let before: { first: number; spare: number }
beforeEach(async () => {
  await gateway.forgetHealth()
  gateway.upstream.answer(respondWithCompletion)
  gateway.spare.answer(respondWithCompletion)
  before = { first: gateway.upstream.requests.length, spare: gateway.spare.requests.length }
})

/** How often each upstream was asked by this test. */
const asked = (): [first: number, spare: number] => [
  gateway.upstream.requests.length - before.first,
  gateway.spare.requests.length - before.spare,
]

const fail =
  (status: number, headers: object = {}): Behaviour =>
  (response) =>
    respondWithJson(response, status, { error: { message: 'Scripted.' } }, headers)
const hang: Behaviour = () => {}
const streamOf =
  (...frames: (object | string)[]): Behaviour =>
  (response) => {
    startStream(response)
    for (const frame of frames) {
      if (typeof frame === 'string') response.write(frame)
      else writeFrame(response, frame)
    }
    response.end()
  }
const roleOnly = { id: 'c', choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] }
const inStreamError = { error: { message: 'Scripted.', type: 'server_error', code: 500 } }

/** 11 tokens in and 3 out, at the spare's price. */
const spareNano = 11 * 3_000 + 3 * 6_000
/** The prompt as we estimate it, at the price of the first target. */
const promptNano = 5 * 1_000

interface Fault {
  what: string
  behaviour: Behaviour
  outcome: string
  billing: string
  isUncertain: boolean
  /** What the failed attempt is charged. */
  costNano?: number
}

const faults: Fault[] = [
  {
    what: 'never answers',
    behaviour: hang,
    outcome: 'timeout',
    billing: 'estimated',
    isUncertain: true,
    costNano: promptNano,
  },
  { what: '429 without a hint', behaviour: fail(429), outcome: 'status', billing: 'not_billed', isUncertain: false },
  {
    what: '429 with a long hint',
    behaviour: fail(429, { 'retry-after': '20' }),
    outcome: 'status',
    billing: 'not_billed',
    isUncertain: false,
  },
  { what: '500', behaviour: fail(500), outcome: 'status', billing: 'unknown', isUncertain: true },
  { what: '529', behaviour: fail(529), outcome: 'status', billing: 'unknown', isUncertain: true },
  { what: '401', behaviour: fail(401), outcome: 'status', billing: 'not_billed', isUncertain: false },
  { what: '403', behaviour: fail(403), outcome: 'status', billing: 'not_billed', isUncertain: false },
  {
    what: 'garbage',
    behaviour: streamOf('data: hello\n\n'),
    outcome: 'malformed',
    billing: 'unknown',
    isUncertain: true,
  },
  {
    what: 'cut before the first output',
    behaviour: streamOf(roleOnly),
    outcome: 'cut',
    billing: 'unknown',
    isUncertain: true,
  },
  {
    what: 'an error in the stream',
    behaviour: streamOf(roleOnly, inStreamError),
    outcome: 'in-stream',
    billing: 'unknown',
    isUncertain: true,
  },
]

describe('the first target fails before its first output: the second one answers', () => {
  test.for(faults)('$what', async ({ behaviour, outcome, billing, isUncertain, costNano = 0 }) => {
    gateway.upstream.answer(behaviour)
    const startedMs = performance.now()
    const response = await gateway.chat({ model: 'smart', stream: true })
    expect(response.status).toBe(200)
    expect(response.headers.get('x-llmgw-provider')).toBe('spare')
    expect(response.headers.get('x-llmgw-model')).toBe('spare-chat')
    expect(response.headers.get('x-llmgw-attempts')).toBe('2')
    expect(contentOf(await response.text())).toBe('Hello there.')
    // Far below the limit of a whole call: it was not waited for.
    expect(performance.now() - startedMs).toBeLessThan(4_000)
    expect(asked()).toEqual([1, 1])
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      records: 1,
      state: 'settled',
      provider: 'spare',
      alias: 'smart',
      retry_uncertain: isUncertain,
      provider_cost_nano: String(costNano + spareNano),
      ledger_nano: String(costNano + spareNano),
      attempts: [
        { attempt_no: 1, provider: 'openai', outcome, billing, cost_nano: String(costNano) },
        { attempt_no: 2, provider: 'spare', outcome: 'answered', billing: 'billed', cost_nano: String(spareNano) },
      ],
    })
  })

  test('it cannot be reached', async () => {
    await gateway.upstream.stop()
    const response = await gateway.chat({ model: 'smart' })
    await gateway.upstream.restart()
    expect(response.headers.get('x-llmgw-provider')).toBe('spare')
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      retry_uncertain: false,
      provider_cost_nano: String(spareNano),
      attempts: [{ outcome: 'connect', billing: 'not_billed' }, { outcome: 'answered' }],
    })
  })
})

test('429 with a short hint: its patience is kept, and the same target answers', async () => {
  let times = 0
  gateway.upstream.answer((response, request) => {
    if (times++ === 0) respondWithJson(response, 429, { error: { message: 'Slow.' } }, { 'retry-after-ms': '300' })
    else respondWithCompletion(response, request)
  })
  const startedMs = performance.now()
  const response = await gateway.chat({ model: 'smart' })
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(299)
  expect(response.headers.get('x-llmgw-provider')).toBe('openai')
  expect(response.headers.get('x-llmgw-attempts')).toBe('2')
  expect(asked()).toEqual([2, 0])
  expect((await gateway.settledRecord(requestIdOf(response))).attempts).toMatchObject([
    { provider: 'openai', http_status: 429 },
    { provider: 'openai', outcome: 'answered' },
  ])
})

test('a client that leaves while patience is kept ends the call', async () => {
  gateway.upstream.answer(fail(429, { 'retry-after': '2' }))
  const leaving = new AbortController()
  const call = gateway.chat(
    { model: 'round-numbers' },
    { signal: leaving.signal, headers: { 'x-client-request-id': 'left-in-a-pause' } },
  )
  await gateway.upstream.seen(before.first + 1)
  setTimeout(() => leaving.abort(), 100)
  await expect(call).rejects.toThrow()
  expect((await gateway.settledRecord('left-in-a-pause')).attempts).toHaveLength(1)
  expect(asked()).toEqual([1, 0])
})

test('two uncertain attempts are all a call gets, however many targets are left', async () => {
  gateway.upstream.answer(fail(500))
  gateway.spare.answer(fail(503))
  const response = await gateway.chat({ model: 'smart' })
  expect(response.status).toBe(502)
  expect(asked()).toEqual([1, 1])
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    state: 'released',
    provider_cost_nano: '0',
    retry_uncertain: true,
    attempts: [{ http_status: 500 }, { http_status: 503 }],
  })
})

test('targets that surely did nothing are asked twice each, and no more', async () => {
  gateway.upstream.answer(fail(429))
  gateway.spare.answer(fail(429))
  const response = await gateway.chat({ model: 'smart' })
  expect(response.status).toBe(429)
  expect(asked()).toEqual([2, 2])
  const { attempts } = await gateway.settledRecord(requestIdOf(response))
  expect(attempts.map(({ provider }) => provider)).toEqual(['openai', 'spare', 'openai', 'spare'])
})

test('cut after the first output: an error event, what came is paid for, and nobody else is asked', async () => {
  gateway.upstream.answer(streamOf(textChunk('twenty bytes of text')))
  const response = await gateway.chat({ model: 'smart', stream: true })
  const text = await response.text()
  expect(contentOf(text)).toBe('twenty bytes of text')
  expect(framesOf(text).at(-1)).toMatchObject({ error: { code: 'provider_bad_response' } })
  expect(asked()).toEqual([1, 0])
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    usage_source: 'counted',
    retry_uncertain: false,
    provider_cost_nano: String(5 * 1_000 + 5 * 4_000),
    attempts: [{ outcome: 'cut', billing: 'estimated' }],
  })
})

test('a request the provider finds wrong is asked nowhere else', async () => {
  gateway.upstream.answer(fail(400))
  expect((await gateway.chat({ model: 'smart' })).status).toBe(400)
  expect(asked()).toEqual([1, 0])
})

test('too little time left: no further attempt begins', async () => {
  gateway.upstream.answer(fail(500))
  const response = await gateway.chat({ model: 'smart' }, { headers: { 'x-request-timeout-ms': '900' } })
  expect(response.status).toBe(502)
  expect(asked()).toEqual([1, 0])
})

describe('what one call has learned, the next ones need not', () => {
  test('a target that asked for patience is left alone; with nobody else the answer is 429', async () => {
    gateway.upstream.answer(fail(429, { 'retry-after': '20' }))
    await gateway.chat({ model: 'smart' })
    const next = await gateway.chat({ model: 'smart' })
    expect(next.headers.get('x-llmgw-attempts')).toBe('1')
    expect(next.headers.get('x-llmgw-provider')).toBe('spare')
    const alone = await gateway.chat({ model: 'round-numbers' })
    expect(alone.status).toBe(429)
    expect(await alone.json()).toMatchObject({ error: { code: 'provider_rate_limited' } })
    expect(Number(alone.headers.get('retry-after'))).toBeGreaterThan(10)
    expect(asked()).toEqual([1, 2])
  })

  test('a refused credential is passed over, whatever the model, where there is somebody else', async () => {
    gateway.upstream.answer(fail(401))
    await gateway.chat({ model: 'gpt-4o-mini' })
    expect(await gateway.metric('llmgw_provider_credential_accepted', { provider: 'openai' })).toBe(0)
    const next = await gateway.chat({ model: 'smart' })
    expect(next.headers.get('x-llmgw-provider')).toBe('spare')
    expect(next.headers.get('x-llmgw-attempts')).toBe('1')
    expect(asked()).toEqual([1, 1])
  })

  test('where there is nobody else one call at a time tries it, and the first answer is as good as all', async () => {
    gateway.upstream.answer(fail(401))
    await gateway.chat({ model: 'round-numbers' })
    const goOn = Promise.withResolvers<void>()
    gateway.upstream.answer(async (response, request) => {
      await goOn.promise
      respondWithCompletion(response, request)
    })
    const trial = gateway.chat({ model: 'gpt-4o-mini' })
    await gateway.upstream.seen(before.first + 2)
    const beside = await gateway.chat({ model: 'round-numbers' })
    expect(beside.status).toBe(502)
    expect(await beside.json()).toMatchObject({ error: { code: 'provider_auth_failed' } })
    expect(asked()).toEqual([2, 0])
    goOn.resolve()
    expect((await trial).status).toBe(200)
    expect(await gateway.metric('llmgw_provider_credential_accepted', { provider: 'openai' })).toBe(1)
    expect((await gateway.chat({ model: 'smart' })).headers.get('x-llmgw-provider')).toBe('openai')
  })

  test('a model that a credential may not use takes no other model away', async () => {
    gateway.upstream.answer(fail(403))
    await gateway.chat({ model: 'round-numbers' })
    gateway.upstream.answer(respondWithCompletion)
    expect((await gateway.chat({ model: 'smart' })).headers.get('x-llmgw-provider')).toBe('spare')
    expect((await gateway.chat({ model: 'gpt-4o-mini' })).status).toBe(200)
    expect(asked()).toEqual([2, 1])
  })

  test('a target that keeps failing is not asked any more: the other one answers at once, or 503', async () => {
    gateway.upstream.answer(fail(500))
    for (let call = 0; call < 20; call++) await gateway.chat({ model: 'smart' })
    expect(asked()).toEqual([20, 20])
    const next = await gateway.chat({ model: 'smart' })
    expect(next.headers.get('x-llmgw-attempts')).toBe('1')
    const alone = await gateway.chat({ model: 'round-numbers' })
    expect(alone.status).toBe(503)
    expect(await alone.json()).toMatchObject({ error: { code: 'no_healthy_provider' } })
    expect(Number(alone.headers.get('retry-after'))).toBeGreaterThan(5)
    const target = { provider: 'openai', model: 'round-numbers' }
    expect(await gateway.metric('llmgw_circuit_state', target)).toBe(2)
    expect(await gateway.metric('llmgw_target_failure_ratio', target)).toBe(1)
    expect(await gateway.metric('llmgw_circuit_state', { provider: 'spare' })).toBe(0)
    const ready = await fetch(`${gateway.opsUrl}/readyz`)
    expect(ready.status).toBe(200)
    const { status, upstreams } = (await ready.json()) as { status: string; upstreams: { provider: string }[] }
    expect(status).toBe('ready')
    expect(upstreams.find(({ provider }) => provider === 'openai')).toEqual({
      provider: 'openai',
      credential: 'accepted',
      attempts_in_flight: 0,
      models_in_trouble: [
        {
          model: 'round-numbers',
          circuit: 'open',
          cooling_down: false,
          attempts: 20,
          failures: 20,
          latency_ms: null,
        },
      ],
    })
    expect(upstreams.find(({ provider }) => provider === 'spare')).toMatchObject({ models_in_trouble: [] })
    expect(asked()).toEqual([20, 21])
  })

  test('a call that began before everything was forgotten counts for nothing afterwards', async () => {
    const goOn = Promise.withResolvers<void>()
    gateway.upstream.answer(async (response) => {
      await goOn.promise
      respondWithJson(response, 401, { error: { message: 'Scripted.' } })
    })
    const call = gateway.chat({ model: 'round-numbers' })
    await gateway.upstream.seen(before.first + 1)
    await gateway.forgetHealth()
    goOn.resolve()
    expect((await call).status).toBe(502)
    expect(await gateway.metric('llmgw_provider_attempts_in_flight')).toBe(0)
    gateway.upstream.answer(respondWithCompletion)
    expect((await gateway.chat({ model: 'round-numbers' })).status).toBe(200)
  })

  test('clients in a hurry, and clients that are wrong, make no target look sick', async () => {
    gateway.upstream.answer(hang)
    const hurry = { headers: { 'x-request-timeout-ms': '20' } }
    await Promise.all(Array.from({ length: 25 }, () => gateway.chat({ model: 'round-numbers' }, hurry)))
    gateway.upstream.answer(fail(400))
    for (let call = 0; call < 25; call++) await gateway.chat({ model: 'round-numbers' })
    gateway.upstream.answer(respondWithCompletion)
    expect((await gateway.chat({ model: 'round-numbers' })).status).toBe(200)
  })
})
