import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { framesOf } from '../support/event-stream.ts'
import { openTestGateway, requestIdOf, type TestGateway, upstreamCredential } from '../support/gateway.ts'
import { type ErrorBody, type ExpectedRefusal, expectRefusal } from '../support/refusals.ts'
import {
  type Behaviour,
  respondWithCompletion,
  respondWithJson,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({ keepsRequestLog: true })
})
afterAll(() => gateway.close())
beforeEach(async () => {
  gateway.upstream.answer(respondWithCompletion)
  await gateway.forgetHealth()
})

const failWith = (status: number, error: object | string, headers: object = {}): void =>
  gateway.upstream.answer((response) => respondWithJson(response, status, { error }, headers))

/** In OpenAI's form; what the provider says here no client need ever see. */
const words = { message: 'In the words of the provider.', type: 'a_type', param: 'a_param', code: 'a_code' }

const invalidRequest = (status: number, code: string, param?: string): ExpectedRefusal => ({
  status,
  type: 'invalid_request_error',
  code,
  ...(param !== undefined && { param }),
})
const upstreamError = (code: string): ExpectedRefusal => ({ status: 502, type: 'upstream_error', code })
const timedOut: ExpectedRefusal = { status: 504, type: 'upstream_timeout', code: 'provider_timeout' }

/** What is asked for once more, as it may have passed by then. */
const mayPass = new Set([201, 408, 409, 418, 500, 502, 503, 504, 529])

/** Relayed, and decoded: errors are read the same way. */
describe.for([
  ['relayed', 'round-numbers', false],
  ['relayed stream', 'round-numbers', true],
  ['decoded', 'peer-chat', false],
  ['decoded stream', 'peer-chat', true],
] as const)('%s: a provider that refuses', ([, model, stream]) => {
  const cases: [status: number, expected: ExpectedRefusal, isToldInItsWords: boolean][] = [
    [400, invalidRequest(400, 'a_code', 'a_param'), true],
    [404, invalidRequest(404, 'a_code', 'a_param'), true],
    [409, { ...upstreamError('a_code'), param: 'a_param' }, true],
    [413, invalidRequest(413, 'a_code', 'a_param'), true],
    [422, invalidRequest(400, 'a_code', 'a_param'), true],
    [401, upstreamError('provider_auth_failed'), false],
    [402, upstreamError('provider_auth_failed'), false],
    [403, upstreamError('provider_auth_failed'), false],
    [418, upstreamError('provider_error'), false],
    [500, upstreamError('provider_error'), false],
    [502, upstreamError('provider_error'), false],
    [503, upstreamError('provider_error'), false],
    [529, upstreamError('provider_error'), false],
    [408, timedOut, false],
    [504, timedOut, false],
    [201, upstreamError('provider_bad_response'), false],
  ]
  test.for(cases)('with %i', async ([status, expected, isToldInItsWords]) => {
    failWith(status, words, { 'set-cookie': 'a=1', server: 'upstream/1.0', 'www-authenticate': 'Bearer' })
    const response = await gateway.chat({ model, stream })
    const { message } = await expectRefusal(response, expected)
    expect(message === words.message).toBe(isToldInItsWords)
    for (const name of ['set-cookie', 'server', 'www-authenticate']) expect(response.headers.get(name)).toBeNull()
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      records: 1,
      state: 'released',
      usage_source: 'none',
      finish: 'provider_error',
      http_status: status,
      provider_cost_nano: '0',
      attempts: Array(mayPass.has(status) ? 2 : 1).fill({ outcome: 'status', http_status: status }),
    })
  })

  test('with a redirect, which nobody follows', async () => {
    const spareBefore = gateway.spare.requests.length
    gateway.upstream.answer((response) => void response.writeHead(307, { location: gateway.spare.baseUrl }).end())
    await expectRefusal(await gateway.chat({ model, stream }), upstreamError('provider_error'))
    expect(gateway.spare.requests.length).toBe(spareBefore)
  })
})

describe('429 of a provider stays one', () => {
  const limited: ExpectedRefusal = { status: 429, type: 'rate_limit_error', code: 'provider_rate_limited' }

  test('without a hint', async () => {
    failWith(429, words)
    // Its param is OpenAI's, too, and says which limit it was.
    const { message } = await expectRefusal(await gateway.chat(), { ...limited, param: 'a_param' })
    expect(message).toBe(words.message)
  })

  test.for([
    ['in seconds', { 'retry-after': '7' }, '7', '7000'],
    ['in milliseconds', { 'retry-after-ms': '1500' }, '2', '1500'],
    ['in both', { 'retry-after': '9', 'retry-after-ms': '250' }, '1', '250'],
    [
      'as a date',
      { 'retry-after': 'Mon, 23 Nov 2026 20:00:30 GMT', date: 'Mon, 23 Nov 2026 20:00:00 GMT' },
      '30',
      '30000',
    ],
  ] as const)('with a hint %s', async ([, headers, seconds, milliseconds]) => {
    failWith(429, { message: 'Slow down.' }, headers)
    const response = await gateway.chat()
    await expectRefusal(response, { ...limited, retryAfter: true })
    expect([response.headers.get('retry-after'), response.headers.get('retry-after-ms')]).toEqual([
      seconds,
      milliseconds,
    ])
  })

  test('with a hint that makes no sense, which is not passed on', async () => {
    failWith(429, { message: 'Slow down.' }, { 'retry-after': 'soon', 'retry-after-ms': '-5' })
    await expectRefusal(await gateway.chat(), limited)
  })

  test('when a quota is used up, and waiting does not help', async () => {
    failWith(429, { message: 'You exceeded your quota.', type: 'insufficient_quota', code: 'insufficient_quota' })
    await expectRefusal(await gateway.chat(), {
      status: 429,
      type: 'insufficient_quota',
      code: 'insufficient_quota',
      noRetry: true,
    })
  })

  test('and costs nothing', async () => {
    failWith(429, words)
    expect(await gateway.settledRecord(requestIdOf(await gateway.chat()))).toMatchObject({
      state: 'released',
      attempts: Array(2).fill({ outcome: 'status', billing: 'not_billed', cost_nano: '0' }),
    })
  })
})

test.for([
  ['no body', ''],
  ['HTML', '<html><h1>Bad Gateway</h1></html>'],
  ['half of a JSON body', '{"error":{"mess'],
  ['a JSON body of another kind', '[[[]]]'],
  ['65 KiB', 'x'.repeat(65 * 1024)],
])('an error with %s gets words of ours', async ([, body]) => {
  gateway.upstream.answer((response) => void response.writeHead(400).end(body))
  const { message } = await expectRefusal(await gateway.chat(), invalidRequest(400, 'invalid_body'))
  expect(message).toBe('The provider refused: HTTP 400.')
})

test.for([
  ['a bare text', { error: 'In a text.' }, 'In a text.'],
  ['a list', [{ error: { message: 'In a list.' } }], 'In a list.'],
  ['members without an envelope', { message: 'Without an envelope.' }, 'Without an envelope.'],
  ['FastAPI’s detail', { detail: [{ loc: ['body', 'top_p'], msg: 'Too high.' }] }, 'top_p: Too high.'],
] as const)('the message of a provider is found in %s', async ([, body, expected]) => {
  gateway.upstream.answer((response) => respondWithJson(response, 400, body))
  const { error } = (await (await gateway.chat()).json()) as { error: ErrorBody }
  expect(error.message).toBe(expected)
})

test('the message of a provider loses what could garble a terminal, and is cut', async () => {
  failWith(400, { message: `\u001b[31mred\u0000\r\n${'☕'.repeat(2_000)}` })
  const { error } = (await (await gateway.chat()).json()) as { error: ErrorBody }
  expect(error.message).toMatch(/^\[31mred ☕+$/)
  expect(Buffer.byteLength(error.message)).toBeLessThanOrEqual(2_048)
})

describe('what a provider echoes of our credential is nowhere to be read', () => {
  const leak = `The key ${upstreamCredential} (${upstreamCredential}) is wrong.`
  const behaviours: [where: string, stream: boolean, behaviour: Behaviour][] = [
    ['in a message', false, (response) => respondWithJson(response, 400, { error: { message: leak } })],
    ['in a code', false, (response) => respondWithJson(response, 400, { error: { code: upstreamCredential } })],
    ['in a param', false, (response) => respondWithJson(response, 422, { error: { param: upstreamCredential } })],
    ['in a type', false, (response) => respondWithJson(response, 429, { error: { type: upstreamCredential } })],
    [
      'in FastAPI’s detail',
      false,
      (response) => respondWithJson(response, 422, { detail: [{ loc: [leak], msg: leak }] }),
    ],
    ['in a refusal of it', false, (response) => respondWithJson(response, 401, { error: { message: leak } })],
    [
      'in a header',
      false,
      (response) => respondWithJson(response, 400, { error: {} }, { 'x-key': upstreamCredential }),
    ],
    ['in a body of status 200', false, (response) => respondWithJson(response, 200, { error: { message: leak } })],
    [
      'in the first frame of a stream',
      true,
      (response) => {
        startStream(response)
        writeFrame(response, { error: { message: leak, code: 400 } })
        response.end()
      },
    ],
    [
      'in a later frame of a stream',
      true,
      (response) => {
        startStream(response)
        writeFrame(response, textChunk('Hello.'))
        writeFrame(response, { error: { message: leak, code: 400 } })
        response.end()
      },
    ],
    [
      'at the end of what is passed on',
      false,
      (response) => {
        respondWithJson(response, 400, { error: { message: `${'x'.repeat(2_030)} ${upstreamCredential}` } })
      },
    ],
  ]
  test.for(['round-numbers', 'peer-chat'].flatMap((model) => behaviours.map((each) => [model, ...each] as const)))(
    '%s, %s',
    async ([model, , stream, behaviour]) => {
      gateway.upstream.answer(behaviour)
      const response = await gateway.chat({ model, stream })
      const text = JSON.stringify([...response.headers]) + (await response.text())
      expect(text).toContain('"error"')
      for (let start = 0; start + 12 <= upstreamCredential.length; start++) {
        expect(text).not.toContain(upstreamCredential.slice(start, start + 12))
      }
    },
  )

  test('the log has no secret, no prompt and no answer in it', async () => {
    const prompt = 'a prompt that nobody else should read'
    const content = 'an answer that nobody else should read'
    gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { content }))
    const response = await gateway.chat({ messages: [{ role: 'user', content: prompt }] })
    await gateway.settledRecord(requestIdOf(response))
    const log = JSON.stringify(gateway.logLines) + gateway.requestLog.join('')
    expect(log).toContain(requestIdOf(response))
    for (const secret of [upstreamCredential, gateway.keySecret, prompt, content]) expect(log).not.toContain(secret)
  })
})

test('an error event within a stream is ours, not the provider’s frame', async () => {
  gateway.upstream.answer((response) => {
    startStream(response)
    writeFrame(response, textChunk('Hello.'))
    writeFrame(response, { error: { message: 'Rate limit reached.', type: 'rate_limit_error', trace: 'internal' } })
    response.end('data: [DONE]\n\n')
  })
  const response = await gateway.chat({ stream: true })
  const frames = framesOf(await response.text())
  expect(frames).not.toContain('[DONE]')
  expect(frames.at(-1)).toEqual({
    error: {
      message: 'Rate limit reached.',
      type: 'rate_limit_error',
      param: null,
      code: 'provider_rate_limited',
      request_id: requestIdOf(response),
    },
  })
})

test('an embeddings call is refused the same way', async () => {
  failWith(400, words)
  await expectRefusal(await gateway.embed(), invalidRequest(400, 'a_code', 'a_param'))
})
