import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { contentOf, framesOf, readPartially } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import {
  type Behaviour,
  respondWithCompletion,
  type SeenRequest,
  startStream,
  textChunk,
  usageOf,
  writeFrame,
} from '../support/scripted-upstream.ts'

const mebibyte = 1024 * 1024
const silenceMsMax = 800

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({
    timeouts: { firstByteMs: silenceMsMax, idleMs: silenceMsMax, totalMs: 3_000 },
    file: { limits: { heartbeatMs: 100 } },
  })
})
afterAll(() => gateway.close())
beforeEach(() => gateway.forgetHealth())

const lastSeen = (): SeenRequest => gateway.upstream.requests.at(-1) as SeenRequest

const written = (response: Parameters<Behaviour>[0], bytes: string | Buffer): Promise<void> =>
  new Promise((resolve) => response.write(bytes, () => resolve()))

/** Writes until the gateway has had enough. */
async function pour(response: Parameters<Behaviour>[0], seen: SeenRequest, bytes: Buffer, times: number) {
  for (let time = 0; time < times && !seen.isAborted; time++)
    await Promise.race([written(response, bytes), seen.aborted])
}

const json = { 'content-type': 'application/json' }
const firstText: Behaviour = (response) => {
  startStream(response)
  writeFrame(response, textChunk('twenty bytes of text'))
}

/** A stream of these bytes and nothing else. */
const stream =
  (bytes = ''): Behaviour =>
  (response) => {
    startStream(response)
    response.end(bytes)
  }

/** Relayed, and decoded: what is no answer is none either way. */
const paths = [
  ['relayed', 'round-numbers'],
  ['decoded', 'peer-chat'],
] as const

describe.for(paths)(
  '%s: an upstream that is broken before its first output is an error, never an answer',
  ([, model]) => {
    const cases: [what: string, isStream: boolean, behaviour: Behaviour][] = [
      ['an empty body', false, (response) => void response.writeHead(200, json).end()],
      ['an empty stream', true, stream()],
      ['a stream of nothing but [DONE]', true, stream('data: [DONE]\n\n')],
      ['half of a JSON body', false, (response) => void response.writeHead(200, json).end('{"choices":[{"mess')],
      [
        'a body that ends before its length',
        false,
        (response) => {
          response.writeHead(200, { ...json, 'content-length': 1_000 })
          response.write('{"choices":', () => response.socket?.end())
        },
      ],
      ['half a frame', true, stream('data: {"choices":[{"del')],
      ['a frame that is not JSON', true, stream('data: hello\n\n')],
      [
        'HTML',
        false,
        (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Hello</h1>'),
      ],
      [
        'HTML for a stream',
        true,
        (response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>'),
      ],
      ['JSON for a stream', true, (response) => void response.writeHead(200, json).end('{"choices":[]}')],
      ['a JSON body of another kind', false, (response) => void response.writeHead(200, json).end('{"status":"fine"}')],
      ['a JSON body that is no object', false, (response) => void response.writeHead(200, json).end('[1]')],
      ['no content', false, (response) => void response.writeHead(204).end()],
      ['a TCP reset', false, (response) => void response.socket?.resetAndDestroy()],
      [
        'a TCP reset for a stream',
        true,
        (response) => {
          startStream(response)
          response.write(': hello\n\n', () => response.socket?.resetAndDestroy())
        },
      ],
      ['something that is not HTTP', false, (response) => void response.socket?.end('SSH-2.0-OpenSSH_9.9\r\n')],
      [
        'a compressed body',
        false,
        (response) => {
          response.writeHead(200, { ...json, 'content-encoding': 'gzip' }).end(gzipSync('{"choices":[]}'))
        },
      ],
      [
        'a compressed stream',
        true,
        (response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
          response.end(gzipSync('data: {}\n\n'))
        },
      ],
      [
        '33 MiB',
        false,
        (response, seen) => {
          response.writeHead(200, json)
          return pour(response, seen, Buffer.alloc(mebibyte, ' '), 33)
        },
      ],
      [
        'a line of 2 MiB',
        true,
        (response, seen) => {
          startStream(response)
          return pour(response, seen, Buffer.alloc(64 * 1024, 'x'), 32)
        },
      ],
      [
        'a frame of 40 MiB in short lines',
        true,
        (response, seen) => {
          startStream(response)
          return pour(response, seen, Buffer.from('data: {}\n'.repeat(7_000)), 640)
        },
      ],
      [
        'headers without end',
        false,
        (response, seen) => {
          response.socket?.write('HTTP/1.1 200 OK\r\n')
          return pour(response, seen, Buffer.from(`x-header: ${'x'.repeat(8_000)}\r\n`), 100)
        },
      ],
    ]
    test.for(cases)('%s', async ([, isStream, behaviour]) => {
      gateway.upstream.answer(behaviour)
      const response = await gateway.chat({ model, stream: isStream })
      expect(response.status).toBe(502)
      expect(await response.json()).toMatchObject({
        error: { type: 'upstream_error', code: 'provider_bad_response', request_id: requestIdOf(response) },
      })
      const record = await gateway.settledRecord(requestIdOf(response))
      expect(record).toMatchObject({
        records: 1,
        state: 'released',
        usage_source: 'none',
        finish: 'provider_error',
        provider_cost_nano: '0',
        retry_uncertain: true,
        attempts: Array(2).fill({ billing: 'unknown', error_code: 'provider_bad_response' }),
      })
      expect(['cut', 'malformed', 'status']).toContain(record.attempts[0]?.outcome)
    })
  },
)

describe.for(paths)('%s: an upstream that breaks off after its first output', ([, model]) => {
  const cases: [what: string, behaviour: Behaviour][] = [
    [
      'ends without [DONE]',
      (response, request) => {
        void firstText(response, request)
        response.end()
      },
    ],
    [
      'ends in the middle of a frame',
      (response, request) => {
        void firstText(response, request)
        response.end('data: {"choices":[{"index":0,"delta":{"con')
      },
    ],
    [
      'resets the connection',
      (response, request) => {
        void firstText(response, request)
        response.write('data: {"cho', () => response.socket?.resetAndDestroy())
      },
    ],
    [
      'sends a frame that is not JSON',
      (response, request) => {
        void firstText(response, request)
        response.end('data: {"usage": {"error": {oops}}}\n\ndata: [DONE]\n\n')
      },
    ],
    [
      'sends a line of 2 MiB',
      (response, request) => {
        void firstText(response, request)
        return pour(response, request, Buffer.alloc(64 * 1024, 'x'), 32)
      },
    ],
    [
      'sends a frame of 40 MiB in short lines',
      (response, request) => {
        void firstText(response, request)
        return pour(response, request, Buffer.from('data: {}\n'.repeat(7_000)), 640)
      },
    ],
  ]
  test.for(cases)('%s: an error event and no [DONE]', async ([, behaviour]) => {
    gateway.upstream.answer(behaviour)
    const response = await gateway.chat({ model, stream: true })
    expect(response.status).toBe(200)
    const text = await response.text()
    expect(contentOf(text)).toBe('twenty bytes of text')
    expect(framesOf(text).at(-1)).toMatchObject({
      error: { code: 'provider_bad_response', request_id: requestIdOf(response) },
    })
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      records: 1,
      state: 'settled',
      usage_source: 'counted',
      finish: 'provider_error',
      output_tokens: '5',
      attempts: [{ billing: 'estimated' }],
    })
  })
})

describe('an upstream that is too slow', () => {
  const late: Behaviour = () => {}

  test('no first byte, twice: 504, and the prompt is paid for twice as an estimate', async () => {
    gateway.upstream.answer(late)
    const response = await gateway.chat({ model: 'round-numbers' })
    expect(response.status).toBe(504)
    expect(await response.json()).toMatchObject({ error: { code: 'provider_timeout', type: 'upstream_timeout' } })
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      records: 1,
      state: 'estimated',
      usage_source: 'estimated',
      finish: 'timeout',
      output_tokens: '0',
      retry_uncertain: true,
      provider_cost_nano: '14000',
      attempts: Array(2).fill({ outcome: 'timeout', billing: 'estimated' }),
    })
    await eventually('the upstream to be closed', () => lastSeen().isAborted)
  })

  test('no first byte, and another target: that one answers', async () => {
    gateway.upstream.answer(late)
    gateway.spare.answer(respondWithCompletion)
    const response = await gateway.chat({ model: 'smart' })
    expect(response.headers.get('x-llmgw-provider')).toBe('spare')
    const record = await gateway.settledRecord(requestIdOf(response))
    expect(record.attempts).toMatchObject([
      { outcome: 'timeout', billing: 'estimated', cost_nano: '5000' },
      { outcome: 'answered' },
    ])
    // Both may have been billed: 5 tokens of prompt at the first, the answer of the second.
    expect(record.provider_cost_nano).toBe(String(5_000 + 11 * 3_000 + 3 * 6_000))
  })

  test('silence within a stream: an error event, and what came is paid for', async () => {
    gateway.upstream.answer(firstText)
    const response = await gateway.chat({ model: 'round-numbers', stream: true })
    expect(framesOf(await response.text()).at(-1)).toMatchObject({ error: { code: 'provider_timeout' } })
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      state: 'settled',
      usage_source: 'counted',
      finish: 'timeout',
      output_tokens: '5',
      attempts: [{ outcome: 'timeout', billing: 'estimated' }],
    })
  })

  test('an answer that never ends: the limit of the whole call ends it', async () => {
    gateway.upstream.answer(async (response, seen) => {
      startStream(response)
      const ticking = setInterval(() => writeFrame(response, textChunk('tick ')), 20)
      await seen.aborted
      clearInterval(ticking)
    })
    const response = await gateway.chat({ model: 'round-numbers', stream: true })
    expect(framesOf(await response.text()).at(-1)).toMatchObject({ error: { code: 'provider_timeout' } })
    await eventually('the upstream to be closed', () => lastSeen().isAborted)
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ finish: 'timeout', state: 'settled' })
  })

  test.for([
    ['unary', false],
    ['stream', true],
  ] as const)('the client may be less patient than we are: %s', async ([, stream]) => {
    gateway.upstream.answer(late)
    const response = await gateway.chat(
      { model: 'round-numbers', stream },
      { headers: { 'x-request-timeout-ms': '50' } },
    )
    expect(response.status).toBe(504)
    expect(await response.json()).toMatchObject({
      error: { code: 'provider_timeout', message: expect.stringContaining('50 ms') },
    })
    await eventually('the upstream to be closed', () => lastSeen().isAborted)
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      finish: 'timeout',
      state: 'estimated',
      attempts: [{ outcome: 'timeout' }],
    })
  })

  test('a provider that cannot be reached: 502, and nothing to pay', async () => {
    await gateway.upstream.stop()
    const response = await gateway.chat({ model: 'round-numbers' })
    await gateway.upstream.restart()
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({ error: { code: 'provider_error' } })
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      records: 1,
      state: 'released',
      usage_source: 'none',
      finish: 'provider_error',
      provider_cost_nano: '0',
      retry_uncertain: false,
      attempts: Array(2).fill({ outcome: 'connect', billing: 'not_billed', http_status: null }),
    })
  })
})

test('comments keep a silent stream open', async () => {
  const goOn = Promise.withResolvers<void>()
  gateway.upstream.answer(async (response, request) => {
    void firstText(response, request)
    await goOn.promise
    writeFrame(response, { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: usageOf(1, 1) })
    response.end('data: [DONE]\n\n')
  })
  const reader = readPartially(await gateway.chat({ model: 'round-numbers', stream: true }))
  await reader.until(': keep-alive\n\n')
  goOn.resolve()
  const text = await reader.rest()
  expect(contentOf(text)).toBe('twenty bytes of text')
  expect(framesOf(text).at(-1)).toBe('[DONE]')
})
