import { Readable } from 'node:stream'
import { BedrockRuntimeClient } from '@aws-sdk/client-bedrock-runtime'
import { EventStreamCodec } from '@smithy/core/event-streams'
import { HttpResponse } from '@smithy/core/protocols'
import { fromUtf8, toUtf8 } from '@smithy/core/serde'
import fc from 'fast-check'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ChatEvent } from '../../src/core/chat/event.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { Cancellation } from '../../src/core/inference/cancellation.ts'
import { readInferenceRequest } from '../../src/core/inference/read-inference-request.ts'
import { createBedrockProvider } from '../../src/core/providers/bedrock/provider.ts'
import type { Provider } from '../../src/core/providers/provider.ts'
import { cutAnywhere, oneByOne } from '../support/cut-anywhere.ts'
import { respondWithJson, type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { ask, makeProvider } from './ask.ts'

const codec = new EventStreamCodec(toUtf8, fromUtf8)
const text = (value: string) => ({ type: 'string' as const, value })
const frame = (type: string, body: object): Buffer =>
  Buffer.from(
    codec.encode({
      headers: { ':message-type': text('event'), ':event-type': text(type), ':content-type': text('application/json') },
      body: Buffer.from(JSON.stringify(body)),
    }),
  )
const exception = (type: string, message: string): Buffer =>
  Buffer.from(
    codec.encode({
      headers: {
        ':message-type': text('exception'),
        ':exception-type': text(type),
        ':content-type': text('application/json'),
      },
      body: Buffer.from(JSON.stringify({ message })),
    }),
  )
const delta = (value: string) => frame('contentBlockDelta', { contentBlockIndex: 0, delta: { text: value }, p: 'abc' })
const begin = frame('messageStart', { role: 'assistant' })
const stop = frame('messageStop', { stopReason: 'end_turn' })
const metadata = frame('metadata', {
  usage: { inputTokens: 3, outputTokens: 2, totalTokens: 5 },
  metrics: { latencyMs: 1 },
})
const answer = Buffer.concat([
  begin,
  delta('日本語 🚀'),
  delta(' é'),
  frame('contentBlockStop', { contentBlockIndex: 0 }),
  stop,
  metadata,
])

let upstream: ScriptedUpstream
let origin: string
let provider: Provider | undefined

beforeAll(async () => {
  upstream = await startScriptedUpstream()
  origin = new URL(upstream.baseUrl).origin
  return upstream.close
})
afterEach(async () => {
  await provider?.close()
  provider = undefined
})

const keys = { accessKeyId: 'AKIATESTTESTTEST', secretAccessKey: 'a-secret-access-key' }
const make = async (credentials: Record<string, string> = keys, settings: Record<string, unknown> = {}) => {
  provider = await makeProvider('bedrock', origin, credentials, { region: 'eu-central-1', ...settings })
  return provider
}

/** One streamed call, with what came of it. */
async function streamed(
  from: Provider,
  { cancellation = new Cancellation(), keepsUp = (): boolean => true, onceDrained = (_: () => void) => {} } = {},
) {
  const events: ChatEvent[] = []
  const body = { model: 'm-1', stream: true, messages: [{ role: 'user', content: 'Hello.' }] }
  const result = await from.exchange(
    {
      requestId: '018bcfe5-6800-7000-8000-000000000000',
      operation: 'chat',
      model: 'amazon.nova-micro-v1:0',
      request: readInferenceRequest('chat', Buffer.from(JSON.stringify(body))),
      cancellation,
      remainingMs: 30_000,
      answerForm: 'any',
      outputTokensCap: undefined,
      modelOutputTokensMax: undefined,
    },
    {
      bytes: () => true,
      event(event) {
        events.push(event)
        return keepsUp()
      },
      onceDrained,
      follow: () => {},
    },
  )
  return { events, result }
}

const respondWithFrames = (...chunks: Buffer[]): void =>
  upstream.answer((response) => {
    response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream', 'x-amzn-requestid': 'r-1' })
    for (const chunk of chunks) response.write(chunk)
    response.end()
  })
const texts = (events: readonly ChatEvent[]): string =>
  events.map((event) => ('text' in event ? event.text : '')).join('')

describe('a stream', () => {
  test('comes whole, with its usage and request id', async () => {
    respondWithFrames(answer)
    const { events, result } = await streamed(await make())
    expect(result).toMatchObject({
      failure: undefined,
      httpStatus: 200,
      providerResponseId: 'r-1',
      finish: 'stop',
      usage: { totalTokens: 5 },
    })
    expect(texts(events)).toBe('日本語 🚀 é')
    expect(upstream.requests.at(-1)?.path).toBe('/model/amazon.nova-micro-v1%3A0/converse-stream')
  })

  test('(52) an exception in it is a failure', async () => {
    respondWithFrames(begin, delta('Hi.'), exception('throttlingException', 'Too many tokens.'))
    const { events, result } = await streamed(await make())
    expect(texts(events)).toBe('Hi.')
    expect(result.failure).toMatchObject({
      kind: 'in-stream',
      error: { code: 'provider_rate_limited', message: 'Too many tokens.' },
    })
  })

  test('(52) a frame with a wrong checksum is a failure, never an answer', async () => {
    const damaged = Buffer.from(answer)
    const at = damaged.length - 30
    damaged[at] = (damaged[at] as number) ^ 1
    respondWithFrames(damaged)
    expect((await streamed(await make())).result.failure).toMatchObject({ kind: 'malformed', retryable: true })
  })

  test.each([
    ['in the middle of a frame', answer.subarray(0, answer.length - 20)],
    ['before it says so', Buffer.concat([begin, delta('Hi.')])],
    ['before it begins', Buffer.alloc(0)],
  ])('(53) one that ends %s was cut', async (_where, bytes) => {
    respondWithFrames(bytes)
    expect((await streamed(await make())).result.failure?.kind).toBe('cut')
  })

  test('stops when the reader does not keep up, and goes on when it does', async () => {
    respondWithFrames(answer)
    let drained: (() => void) | undefined
    let slow = true
    const under = streamed(await make(), {
      keepsUp: () => !slow,
      onceDrained(resume) {
        drained = resume
      },
    })
    await expect.poll(() => drained).toBeDefined()
    slow = false
    drained?.()
    expect(texts((await under).events)).toBe('日本語 🚀 é')
  })

  test('ends when the caller leaves', async () => {
    upstream.answer((response) => {
      response.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
      response.write(Buffer.concat([begin, delta('Hi.')]))
    })
    const cancellation = new Cancellation()
    const before = upstream.requests.length
    const under = streamed(await make(), {
      cancellation,
      keepsUp() {
        setImmediate(() => cancellation.cancel(new GatewayError('client_closed_request', 'The client left.')))
        return true
      },
    })
    expect((await under).result.failure).toMatchObject({ kind: 'cancelled', billing: 'maybe_billed', retryable: false })
    await upstream.requests[before]?.aborted
  })

  test('(44) cut at any byte it gives the same events', async () => {
    const replayed = (chunks: readonly Buffer[]) => {
      const requestHandler = {
        handle: async () => ({
          response: new HttpResponse({
            statusCode: 200,
            headers: { 'content-type': 'application/vnd.amazon.eventstream' },
            body: Readable.from(chunks.filter(({ length }) => length > 0)),
          }),
        }),
      }
      const client = new BedrockRuntimeClient({
        region: 'eu-central-1',
        requestHandler,
        credentials: keys,
        maxAttempts: 1,
      })
      return streamed(
        createBedrockProvider({
          name: 'replayed',
          timeouts: { firstByteMs: 30_000, idleMs: 30_000, totalMs: 30_000 },
          client,
          unsupportedParameters: 'refuse',
          secrets: [],
          close: () => {},
        }),
      )
    }
    const { events, result } = await replayed([answer])
    expect(result.failure).toBeUndefined()
    expect(events).toHaveLength(5)
    expect((await replayed(oneByOne(answer))).events).toEqual(events)
    await fc.assert(
      fc.asyncProperty(cutAnywhere(answer), async (chunks) => {
        expect((await replayed(chunks)).events).toEqual(events)
      }),
      { numRuns: 50 },
    )
  })
})

describe('a whole answer', () => {
  const whole = {
    output: { message: { role: 'assistant', content: [{ text: 'Hi.' }] } },
    stopReason: 'end_turn',
    usage: { inputTokens: 3, outputTokens: 2, totalTokens: 5 },
  }

  test('is signed for with access keys, for the region that is configured', async () => {
    upstream.answer((response) => respondWithJson(response, 200, whole))
    expect((await ask(await make({ ...keys, sessionToken: 'a-session-token' }))).failure).toBeUndefined()
    const { headers, json } = upstream.requests.at(-1) ?? {}
    expect(headers?.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=AKIATESTTESTTEST\/\d{8}\/eu-central-1\/bedrock\//,
    )
    expect(headers?.['x-amz-security-token']).toBe('a-session-token')
    expect(json).toEqual({ messages: [{ role: 'user', content: [{ text: 'Hello.' }] }] })
  })

  test('is asked for with a bearer token', async () => {
    upstream.answer((response) => respondWithJson(response, 200, whole))
    await ask(await make({ bearerToken: 'a-bearer-token' }))
    expect(upstream.requests.at(-1)?.headers.authorization).toBe('Bearer a-bearer-token')
  })

  test('is asked for once, whatever comes', async () => {
    upstream.answer((response) => respondWithJson(response, 503, { message: 'Busy.' }))
    const before = upstream.requests.length
    const { failure, httpStatus } = await ask(await make())
    expect(failure).toMatchObject({ kind: 'status', error: { code: 'provider_error' } })
    expect(httpStatus).toBe(503)
    expect(upstream.requests).toHaveLength(before + 1)
  })

  test.each(['', '<html>', '{"output"'])('(60) of %j is none', async (body) => {
    upstream.answer((response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(body))
    expect((await ask(await make())).failure).toMatchObject({ error: { code: 'provider_bad_response' } })
  })

  test('that does not come in time is a timeout', async () => {
    upstream.answer(() => {})
    const timeouts = { firstByteMs: 50, idleMs: 50, totalMs: 1_000 }
    expect((await ask(await make(keys, { timeouts }))).failure).toMatchObject({
      kind: 'timeout',
      error: { code: 'provider_timeout' },
    })
  })
})

test('embeddings of Titan are asked for one by one, and put together in order', async () => {
  upstream.answer((response, { json }) =>
    respondWithJson(response, 200, { embedding: [String(json.inputText).length], inputTextTokenCount: 2 }),
  )
  const texts = ['a', 'bb', 'ccc', 'dddd', 'eeeee', 'ffffff', 'ggggggg', 'hhhhhhhh', 'iiiiiiiii', 'jjjjjjjjjj']
  const { tail, usage } = await ask(await make(), { model: 'amazon.titan-embed-text-v2:0', input: texts }, 'embeddings')
  const { data } = JSON.parse(String(tail)) as { data: { embedding: number[] }[] }
  expect(data.map(({ embedding }) => embedding[0])).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(usage?.inputTokens).toBe(20)
})

test('embeddings of Cohere are counted by a header', async () => {
  upstream.answer((response) => {
    response.setHeader('x-amzn-bedrock-input-token-count', '7')
    respondWithJson(response, 200, { embeddings: [[1, 2]] })
  })
  const { usage } = await ask(await make(), { model: 'cohere.embed-english-v3', input: 'a' }, 'embeddings')
  expect(usage?.inputTokens).toBe(7)
})

test('a private endpoint that is not listed makes no provider', async () => {
  await expect(makeProvider('bedrock', 'http://10.0.0.1', keys, { region: 'eu-central-1' })).rejects.toThrow()
})
