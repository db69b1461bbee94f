import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { contentOf, framesOf, readPartially } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { chatDefaults, openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { letPass, readKeyRow, reused, withKey } from '../support/idempotency.ts'
import { expectNothingDispatched, expectRefusal } from '../support/refusals.ts'
import { respondWithCompletion, startStream, textChunk, writeFrame } from '../support/scripted-upstream.ts'

const mebibyte = 1024 * 1024

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({
    file: { idempotency: { storeAnswers: true } },
    timeouts: { firstByteMs: 2_000 },
  })
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer(respondWithCompletion))

let tests = 0
let key = ''
beforeEach(() => {
  key = `answer-${++tests}`
})

const rowOf = () => readKeyRow(gateway.pool, key)

interface ReadAnswer {
  response: Response
  body: Buffer
}
const read = async (response: Response): Promise<ReadAnswer> => ({
  response,
  body: Buffer.from(await response.arrayBuffer()),
})

/** Proves that one answer is the other one given again, and says so. */
function expectReplay(replayed: ReadAnswer, first: ReadAnswer): void {
  expect(replayed.response.status).toBe(first.response.status)
  expect(replayed.body.equals(first.body)).toBe(true)
  const { headers } = replayed.response
  expect(headers.get('content-type')).toBe(first.response.headers.get('content-type'))
  expect(headers.get('idempotent-replayed')).toBe('true')
  expect(headers.get('x-llmgw-original-request-id')).toBe(requestIdOf(first.response))
  expect(requestIdOf(replayed.response)).toMatch(/^[0-9a-f-]{36}$/)
  expect(requestIdOf(replayed.response)).not.toBe(requestIdOf(first.response))
}

/** Sends a request twice and proves that its answer is given again, and that nothing else happens. */
async function expectAnswerTwice(send: () => Promise<Response>): Promise<ReadAnswer> {
  const first = await read(await send())
  expect(first.response.headers.get('idempotent-replayed')).toBeNull()
  await gateway.settledRecord(requestIdOf(first.response))
  await expectNothingDispatched(gateway, async () => {
    for (let repetition = 0; repetition < 2; repetition++) expectReplay(await read(await send()), first)
  })
  return first
}

describe('an answer is given again, byte for byte', () => {
  const chatModels = ['gpt-4o-mini', 'peer-chat', 'demo-chat'] as const

  test.for(chatModels)('of %s, whole', async (model) => {
    const { response, body } = await expectAnswerTwice(() => gateway.chat({ model }, withKey(key)))
    expect(response.status).toBe(200)
    expect(JSON.parse(body.toString())).toMatchObject({ object: 'chat.completion' })
  })

  test.for(chatModels)('of %s, as a stream', async (model) => {
    const { response, body } = await expectAnswerTwice(() => gateway.chat({ model, stream: true }, withKey(key)))
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(framesOf(body.toString()).length).toBeGreaterThan(2)
    expect(framesOf(body.toString()).at(-1)).toBe('[DONE]')
  })

  test.for(['float', 'base64'] as const)('embeddings, as %s', async (encoding_format) => {
    await expectAnswerTwice(() => gateway.embed({ encoding_format }, withKey(key)))
  })

  test('also when the request is spelled in another way', async () => {
    const first = await read(await gateway.chat({}, withKey(key)))
    const { model, messages } = chatDefaults
    const spelled = JSON.stringify({ messages, model }, null, 2)
    expectReplay(await read(await gateway.chat(spelled, withKey(key))), first)
  })

  test('and that is counted', async () => {
    const count = () => gateway.metric('llmgw_replayed_requests_total', { operation: 'chat' })
    const before = await count()
    await expectAnswerTwice(() => gateway.chat({}, withKey(key)))
    expect((await count()) - before).toBe(2)
  })

  test('with comments left out, which are no part of it', async () => {
    await using patient = await openTestGateway({
      file: { idempotency: { storeAnswers: true }, limits: { heartbeatMs: 20 } },
    })
    const goOn = Promise.withResolvers<void>()
    patient.upstream.answer(async (response) => {
      startStream(response)
      writeFrame(response, textChunk('first '))
      await goOn.promise
      writeFrame(response, textChunk('second'))
      writeFrame(response, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
      response.end('data: [DONE]\n\n')
    })
    const first = readPartially(await patient.chat({ stream: true }, withKey(key)))
    await first.until(': keep-alive')
    goOn.resolve()
    const text = await first.rest()
    const replayed = await (await patient.chat({ stream: true }, withKey(key))).text()
    expect(replayed).toBe(text.replaceAll(': keep-alive\n\n', ''))
    expect(contentOf(replayed)).toBe('first second')
  })
})

describe('an answer of more than 1 MiB is not kept', () => {
  /** Everything of a whole answer but its text. */
  const around = async (): Promise<number> => {
    gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { content: '' }))
    return (await read(await gateway.chat())).body.length
  }

  test('whole, to the byte', async () => {
    const overhead = await around()
    for (const [bytes, isKept] of [
      [mebibyte, true],
      [mebibyte + 1, false],
    ] as const) {
      const content = 'x'.repeat(bytes - overhead)
      gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { content }))
      const first = await read(await gateway.chat({}, withKey(`${key}-${bytes}`)))
      expect(first.body.length).toBe(bytes)
      const second = await gateway.chat({}, withKey(`${key}-${bytes}`))
      if (isKept) expectReplay(await read(second), first)
      else await expectRefusal(second, reused)
    }
  })

  test('as a stream', async () => {
    const content = 'some words of no great weight '.repeat(2_000)
    gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { content }))
    const first = await read(await gateway.chat({ stream: true }, withKey(key)))
    expect(first.body.length).toBeGreaterThan(mebibyte)
    await expectRefusal(await gateway.chat({ stream: true }, withKey(key)), reused)
    expect(await rowOf()).toMatchObject({ state: 'ended', status: null, body: null })
  })
})

describe('an error after which the key is used', () => {
  test('is given again, and says that there is no use in trying', async () => {
    gateway.upstream.answer(() => {})
    const { response, body } = await expectAnswerTwice(() => gateway.chat({}, withKey(key)))
    expect(response.status).toBe(504)
    expect(JSON.parse(body.toString())).toMatchObject({ error: { code: 'provider_timeout' } })
    expect((await gateway.chat({}, withKey(key))).headers.get('x-should-retry')).toBe('false')
  })

  test('is given again as it stood in a stream', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('some output'))
      writeFrame(response, { error: { message: 'The model fell over.' } })
      response.end()
    })
    const { response, body } = await expectAnswerTwice(() => gateway.chat({ stream: true }, withKey(key)))
    expect(response.status).toBe(200)
    expect(framesOf(body.toString()).at(-1)).toMatchObject({ error: { request_id: requestIdOf(response) } })
  })
})

describe('no answer is given again', () => {
  test('of a stream whose client left in the middle', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('some output'))
    })
    const leaving = new AbortController()
    const response = await gateway.chat({ stream: true }, withKey(key, { signal: leaving.signal }))
    await readPartially(response).until('some output')
    leaving.abort()
    await gateway.settledRecord(requestIdOf(response))
    await eventually('the key to be used', async () => (await rowOf())?.state === 'ended')
    await expectRefusal(await gateway.chat({ stream: true }, withKey(key)), reused)
    expect(await rowOf()).toMatchObject({ status: null, body: null })
  })

  test('of a call that the gateway cut off to shut down', async () => {
    await using stopping = await openTestGateway({ file: { idempotency: { storeAnswers: true } } })
    stopping.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('some output'))
    })
    const reader = readPartially(await stopping.chat({ stream: true }, withKey(key)))
    await reader.until('some output')
    await stopping.app.drain(0, Promise.resolve())
    expect(await reader.rest()).toContain('server_shutting_down')
    expect(await readKeyRow(stopping.pool, key)).toMatchObject({ state: 'ended', status: null, body: null })
  })

  test('after 24 hours of the database', async () => {
    const first = await read(await gateway.chat({}, withKey(key)))
    await letPass(gateway.pool, key, '23 hours 59 minutes')
    expectReplay(await read(await gateway.chat({}, withKey(key))), first)
    await letPass(gateway.pool, key, '1 minute')
    const second = await read(await gateway.chat({}, withKey(key)))
    expect(second.response.headers.get('idempotent-replayed')).toBeNull()
    expect(await gateway.settledRecord(requestIdOf(second.response))).toMatchObject({ state: 'settled' })
    expectReplay(await read(await gateway.chat({}, withKey(key))), second)
  })
})

test('retention and the largest answer are the operator’s', async () => {
  await using other = await openTestGateway({
    file: { idempotency: { storeAnswers: true, retentionHours: 2, maxAnswerBytes: 1_024 } },
  })
  await (await other.chat({}, withKey(key))).arrayBuffer()
  expect((await other.chat({}, withKey(key))).headers.get('idempotent-replayed')).toBe('true')
  expect((await readKeyRow(other.pool, key))?.hours_left).toBeCloseTo(2, 1)
  other.upstream.answer((response, request) => respondWithCompletion(response, request, { content: 'x'.repeat(1_024) }))
  await (await other.chat({}, withKey(`${key}-large`))).arrayBuffer()
  await expectRefusal(await other.chat({}, withKey(`${key}-large`)), reused)
})
