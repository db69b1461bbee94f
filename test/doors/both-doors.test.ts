import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { framesOf } from '../support/event-stream.ts'
import { openTestGateway, requestIdOf, type SettledRecord, type TestGateway } from '../support/gateway.ts'
import { detailsOf, GrpcClient, type GrpcOutcome, textOf } from '../support/grpc.ts'
import {
  type Behaviour,
  respondWithCompletion,
  respondWithJson,
  startStream,
  textChunk,
  writeFrame,
} from '../support/scripted-upstream.ts'

/** The one table of what a call may come to, through every door: what is recorded, charged and refused is the same. */

const keys = {
  plain: {},
  limited: { rateLimits: { requestsPerMinute: 2 } },
  broke: { budgets: [{ amountUsd: '0.000000001', period: 'month' }] },
  narrow: { allowedModels: ['peer/*'] },
  disabled: { enabled: false },
} as const
type KeyName = keyof typeof keys
type DoorName = 'rest' | 'grpc'

/** Each door has keys of its own: what one door uses of a limit must not be what the other one is refused for. */
const secretOf = (name: KeyName, door: DoorName): string => `both-doors-${name}-${door}-0123456789`

let gateway: TestGateway
let client: GrpcClient

beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      keys: Object.entries(keys).flatMap(([name, settings]) =>
        (['rest', 'grpc'] as const).map((door) => ({
          name: `${name}-${door}`,
          secret: secretOf(name as KeyName, door),
          ...settings,
        })),
      ),
    },
  })
  client = new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, gateway.keySecret)
})
afterAll(async () => {
  client?.close()
  await gateway?.close()
})

/** A request in no door's form. */
interface Request {
  model: string
  stream?: boolean
  text?: string
  outputTokensMax?: number
  /** Of a function that the model may call. */
  tool?: { name: string; parameters: object }
  user?: string
  temperature?: number
  /** Texts to embed instead. */
  embed?: string[]
  providerOptions?: Record<string, unknown>
}

/** What a caller learns, in no door's form. */
interface Outcome {
  requestId: string
  /** Our code of what went wrong. */
  error?: string | undefined
  text: string
  calls: { name: string; arguments: string }[]
  finish?: string | undefined
  vectors?: number[][]
  /** What is left of the requests in this minute. */
  requestsLeft?: string | undefined
  isRetryAfterTold: boolean
}

type Door = (request: Request, key: KeyName) => Promise<Outcome>

const doors: Readonly<Record<DoorName, Door>> = {
  async rest({ model, stream = false, text = 'Say hello.', embed, ...more }, key) {
    const options = { key: secretOf(key, 'rest') }
    const common = { model, ...(more.user !== undefined && { user: more.user }), ...more.providerOptions }
    const response = embed
      ? await gateway.embed({ ...common, input: embed }, options)
      : await gateway.chat(
          {
            ...common,
            messages: [{ role: 'user', content: text }],
            ...(more.outputTokensMax !== undefined && { max_completion_tokens: more.outputTokensMax }),
            ...(more.temperature !== undefined && { temperature: more.temperature }),
            ...(more.tool && { tools: [{ type: 'function', function: more.tool }] }),
            ...(stream && { stream: true }),
          },
          options,
        )
    const told = {
      requestId: requestIdOf(response),
      requestsLeft: response.headers.get('x-ratelimit-remaining-requests') ?? undefined,
      isRetryAfterTold: response.headers.has('retry-after'),
    }
    const body = await response.text()
    if (response.status !== 200) return { ...told, error: JSON.parse(body).error.code, text: '', calls: [] }
    if (embed) {
      const { data } = JSON.parse(body) as { data: { embedding: number[] }[] }
      return { ...told, text: '', calls: [], vectors: data.map(({ embedding }) => embedding) }
    }
    return { ...told, ...(stream ? streamedOverRest(body) : wholeOverRest(body)) }
  },

  async grpc({ model, stream = false, text = 'Say hello.', embed, ...more }, key) {
    const options = { key: secretOf(key, 'grpc') }
    const common = {
      model,
      ...(more.user !== undefined && { user: more.user }),
      ...(more.providerOptions && { providerOptions: structOf(more.providerOptions) }),
    }
    if (embed) {
      const outcome = await client.embed({ ...common, texts: embed }, options)
      const vectors = outcome.messages[0]?.embeddings.map(({ values }) => values)
      return { ...toldOverGrpc(outcome), text: '', calls: [], ...(vectors && { vectors }) }
    }
    const chat = {
      ...common,
      messages: [{ role: 'ROLE_USER', content: [{ text }] }],
      ...(more.outputTokensMax !== undefined && { maxOutputTokens: more.outputTokensMax }),
      ...(more.temperature !== undefined && { temperature: more.temperature }),
      ...(more.tool && {
        tools: [{ function: { name: more.tool.name, parameters: structOf(more.tool.parameters as never) } }],
      }),
    }
    if (!stream) {
      const outcome = await client.complete(chat, options)
      const choice = outcome.messages[0]?.choices[0]
      return {
        ...toldOverGrpc(outcome),
        text: choice?.message?.content.map((part) => part.text ?? '').join('') ?? '',
        calls: (choice?.message?.toolCalls ?? []).map(({ name, arguments: args }) => ({ name, arguments: args })),
        finish: wordOf(choice?.finishReason),
      }
    }
    const outcome = await client.stream(chat, options).outcome
    const calls: Outcome['calls'] = []
    let finish: string | undefined
    for (const { toolCallStart, toolCallArguments, choiceEnd } of outcome.messages) {
      if (toolCallStart) calls[toolCallStart.toolIndex] = { name: toolCallStart.name, arguments: '' }
      const call = toolCallArguments && calls[toolCallArguments.toolIndex]
      if (call) call.arguments += toolCallArguments.arguments
      finish = choiceEnd ? wordOf(choiceEnd.finishReason) : finish
    }
    return { ...toldOverGrpc(outcome), text: textOf(outcome.messages), calls, finish }
  },
}

interface WireCall {
  index?: number
  function?: { name?: string; arguments?: string }
}

function wholeOverRest(body: string): Pick<Outcome, 'text' | 'calls' | 'finish'> {
  const { message, finish_reason } = JSON.parse(body).choices[0]
  const calls = ((message.tool_calls ?? []) as WireCall[]).map(({ function: called }) => ({
    name: called?.name ?? '',
    arguments: called?.arguments ?? '',
  }))
  return { text: message.content ?? '', calls, finish: finish_reason }
}

function streamedOverRest(body: string): Pick<Outcome, 'text' | 'calls' | 'finish' | 'error'> {
  const outcome: Pick<Outcome, 'text' | 'calls' | 'finish' | 'error'> = { text: '', calls: [] }
  for (const frame of framesOf(body)) {
    if (frame === '[DONE]') continue
    if (frame.error) outcome.error = (frame.error as { code: string }).code
    for (const { delta, finish_reason } of (frame.choices ?? []) as {
      delta?: { content?: string; tool_calls?: WireCall[] }
      finish_reason?: string
    }[]) {
      outcome.text += delta?.content ?? ''
      outcome.finish = finish_reason ?? outcome.finish
      for (const { index = 0, function: called } of delta?.tool_calls ?? []) {
        const call = outcome.calls[index] ?? { name: '', arguments: '' }
        outcome.calls[index] = call
        call.name += called?.name ?? ''
        call.arguments += called?.arguments ?? ''
      }
    }
  }
  return outcome
}

function toldOverGrpc(outcome: GrpcOutcome<unknown>): Omit<Outcome, 'text' | 'calls'> {
  const { ErrorInfo, RetryInfo } = detailsOf(outcome)
  const [id] = [...outcome.head.get('x-request-id'), ...outcome.trailer.get('x-request-id')]
  return {
    requestId: String(id),
    error: outcome.code === 0 ? undefined : (ErrorInfo?.providerCode ?? ErrorInfo?.reason),
    requestsLeft: outcome.trailer.get('x-ratelimit-remaining-requests')[0]?.toString(),
    isRetryAfterTold: RetryInfo !== undefined,
  }
}

const wordOf = (reason: string | undefined): string | undefined => reason?.replace('FINISH_REASON_', '').toLowerCase()

function structOf(members: Record<string, unknown>): object {
  const structValue = (value: unknown): object => {
    if (value === null) return { nullValue: 0 }
    if (typeof value === 'number') return { numberValue: value }
    if (typeof value === 'boolean') return { boolValue: value }
    if (typeof value === 'string') return { stringValue: value }
    return Array.isArray(value)
      ? { listValue: { values: value.map(structValue) } }
      : { structValue: structOf(value as Record<string, unknown>) }
  }
  return { fields: Object.fromEntries(Object.entries(members).map(([name, value]) => [name, structValue(value)])) }
}

/** What must not depend on the door, of the record. */
const same = [
  'state',
  'finish',
  'usage_source',
  'alias',
  'requested_model',
  'provider',
  'model',
  'stream',
  'operation',
  'http_status',
  'error_code',
  'input_tokens',
  'output_tokens',
  'reasoning_tokens',
  'cache_read_tokens',
  'units',
  'price_version',
  'unpriced',
  'provider_cost_nano',
  'charged_nano',
  'overrun_nano',
  'retry_uncertain',
  'end_user',
  'provider_response_id',
  'ledger_nano',
  'records',
  'attempts',
] as const satisfies (keyof SettledRecord)[]

/** Of an attempt: differs from call to call. */
const whenAndWhere = { request_id: undefined, total_ms: undefined, created_at: undefined, reserved_at: undefined }

const comparable = (record: SettledRecord) => ({
  ...Object.fromEntries(same.map((name) => [name, record[name]])),
  attempts: record.attempts.map((attempt) => ({ ...attempt, ...whenAndWhere })),
})

interface Scenario {
  request: Request
  key?: KeyName
  upstream?: Behaviour
  spare?: Behaviour
  /** The outcome, but for its ids. */
  comesTo: Partial<Outcome>
  /** Undefined: nothing was dispatched, so nothing is recorded. */
  record?: Partial<SettledRecord>
  /** How often it is asked before, with the same. */
  repeated?: number
}

const weather = { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } }

const callsTool: Behaviour = (response, { json }) => {
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bonn"}' } }
  if (json.stream !== true) {
    const message = { role: 'assistant', content: null, tool_calls: [call] }
    respondWithJson(response, 200, {
      id: 'chatcmpl-1',
      model: json.model,
      choices: [{ index: 0, message, finish_reason: 'tool_calls' }],
      usage: { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 },
    })
    return
  }
  startStream(response)
  const chunk = (delta: object, finish_reason: string | null = null) =>
    writeFrame(response, { id: 'chatcmpl-1', model: json.model, choices: [{ index: 0, delta, finish_reason }] })
  chunk({ role: 'assistant', content: null })
  chunk({ tool_calls: [{ ...call, index: 0, function: { name: 'weather', arguments: '' } }] })
  for (const part of ['{"city":', '"Bonn"}']) chunk({ tool_calls: [{ index: 0, function: { arguments: part } }] })
  chunk({}, 'tool_calls')
  writeFrame(response, { choices: [], usage: { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 } })
  response.end('data: [DONE]\n\n')
}

const failsWith =
  (status: number, error: object = { message: 'no' }, headers: object = {}): Behaviour =>
  (response) =>
    respondWithJson(response, status, { error }, headers)

const breaksOff: Behaviour = (response) => {
  startStream(response)
  writeFrame(response, textChunk('twenty bytes of text'))
  setTimeout(() => response.destroy(), 50)
}

const scenarios: Readonly<Record<string, Scenario>> = {
  'a whole answer': {
    request: { model: 'round-numbers', user: 'user-7', outputTokensMax: 50, temperature: 0.5 },
    comesTo: { text: 'Hello there.', finish: 'stop', calls: [] },
    record: { charged_nano: '23000', usage_source: 'provider', end_user: 'user-7', operation: 'chat' },
  },
  'a streamed answer': {
    request: { model: 'round-numbers', stream: true },
    comesTo: { text: 'Hello there.', finish: 'stop', calls: [] },
    record: { charged_nano: '23000', usage_source: 'provider', stream: true },
  },
  'a whole answer of a provider that is decoded': {
    request: { model: 'peer-chat' },
    comesTo: { text: 'Hello there.', finish: 'stop' },
    record: { provider: 'peer', charged_nano: '46000' },
  },
  'a streamed answer of a provider that is decoded': {
    request: { model: 'peer-chat', stream: true },
    comesTo: { text: 'Hello there.', finish: 'stop' },
    record: { provider: 'peer', charged_nano: '46000' },
  },
  'an answer that is cut at its length': {
    request: { model: 'round-numbers' },
    upstream: (response, request) => respondWithCompletion(response, request, { finishReason: 'length' }),
    comesTo: { finish: 'length' },
    record: { finish: 'length' },
  },
  'a tool that is called': {
    request: { model: 'round-numbers', tool: weather },
    upstream: callsTool,
    comesTo: { text: '', finish: 'tool_calls', calls: [{ name: 'weather', arguments: '{"city":"Bonn"}' }] },
    record: { finish: 'tool_calls', charged_nano: '29000' },
  },
  'a tool that is called in a stream': {
    request: { model: 'round-numbers', tool: weather, stream: true },
    upstream: callsTool,
    comesTo: { text: '', finish: 'tool_calls', calls: [{ name: 'weather', arguments: '{"city":"Bonn"}' }] },
    record: { finish: 'tool_calls', charged_nano: '29000' },
  },
  'what is new tomorrow goes to the provider': {
    request: { model: 'round-numbers', providerOptions: { verbosity: 'low', new_thing: { deep: [1, null, true] } } },
    comesTo: { text: 'Hello there.' },
    record: { state: 'settled' },
  },
  embeddings: {
    request: { model: 'text-embedding-3-small', embed: ['one', 'two'] },
    comesTo: {
      vectors: [
        [0.25, -0.5, 0.125],
        [1.25, -0.5, 0.125],
      ],
    },
    record: { operation: 'embeddings', usage_source: 'provider', input_tokens: '8' },
  },
  'an answer without usage is counted': {
    request: { model: 'round-numbers' },
    upstream: (response, request) => respondWithCompletion(response, request, { usage: null }),
    comesTo: { text: 'Hello there.' },
    record: { usage_source: 'counted' },
  },
  'a first target that fails is followed by the second one': {
    request: { model: 'smart', stream: true },
    upstream: failsWith(500),
    comesTo: { text: 'Hello there.' },
    record: { alias: 'smart', provider: 'spare', model: 'spare-chat' },
  },
  'both targets fail': {
    request: { model: 'smart' },
    upstream: failsWith(500),
    spare: failsWith(500),
    comesTo: { error: 'provider_error' },
    record: { error_code: 'provider_error', charged_nano: '0' },
  },
  'the provider is limited': {
    request: { model: 'round-numbers' },
    upstream: failsWith(429, { message: 'slow down' }, { 'retry-after': '7' }),
    comesTo: { error: 'provider_rate_limited', isRetryAfterTold: true },
    record: { error_code: 'provider_rate_limited', charged_nano: '0', state: 'released' },
  },
  'the provider refuses our credential': {
    request: { model: 'round-numbers' },
    upstream: failsWith(401),
    comesTo: { error: 'provider_auth_failed' },
    record: { error_code: 'provider_auth_failed', state: 'released' },
  },
  'the provider finds the request too long': {
    request: { model: 'round-numbers' },
    upstream: failsWith(400, { message: 'too long', code: 'context_length_exceeded', param: 'messages' }),
    comesTo: { error: 'context_length_exceeded' },
    record: { error_code: 'invalid_body', state: 'released' },
  },
  'the account at the provider is used up': {
    request: { model: 'round-numbers' },
    upstream: failsWith(429, { message: 'no more', code: 'insufficient_quota' }),
    comesTo: { error: 'insufficient_quota', isRetryAfterTold: false },
    record: { error_code: 'provider_rate_limited', state: 'released' },
  },
  'the provider breaks off in the middle': {
    request: { model: 'round-numbers', stream: true },
    upstream: breaksOff,
    comesTo: { text: 'twenty bytes of text', error: 'provider_bad_response' },
    record: { usage_source: 'counted', output_tokens: '5', finish: 'provider_error' },
  },
  'a limit of requests': {
    request: { model: 'round-numbers' },
    key: 'limited',
    repeated: 2,
    comesTo: { error: 'rate_limit_exceeded', requestsLeft: '0', isRetryAfterTold: true },
  },
  'a budget that does not have it': {
    request: { model: 'round-numbers', outputTokensMax: 10 },
    key: 'broke',
    comesTo: { error: 'budget_exceeded', isRetryAfterTold: false },
  },
  'a model that is not allowed': {
    request: { model: 'round-numbers' },
    key: 'narrow',
    comesTo: { error: 'model_not_allowed' },
  },
  'a model that is not there': { request: { model: 'demo/no-such-model' }, comesTo: { error: 'model_not_found' } },
  'a key that is disabled': { request: { model: 'round-numbers' }, key: 'disabled', comesTo: { error: 'key_revoked' } },
  'no model': { request: { model: '' }, comesTo: { error: 'invalid_body' } },
  'a text that is no use': {
    request: { model: 'text-embedding-3-small', embed: [] },
    comesTo: { error: 'invalid_body' },
  },
}

describe.for(Object.entries(scenarios))('%s', ([, scenario]) => {
  const { request, key = 'plain', upstream, spare, comesTo, record, repeated = 0 } = scenario
  const records = new Map<DoorName, ReturnType<typeof comparable>>()
  const asked = new Map<DoorName, Record<string, unknown>>()

  beforeEach(async () => {
    await gateway.forgetHealth()
    gateway.upstream.answer(upstream ?? respondWithCompletion)
    gateway.spare.answer(spare ?? respondWithCompletion)
  })

  test.for(['rest', 'grpc'] as const)('%s', async (name) => {
    const door = doors[name]
    for (let before = 0; before < repeated; before++) await door(request, key)
    const seenBefore = gateway.upstream.requests.length
    const settledBefore = await gateway.allSettled()
    const outcome = await door(request, key)
    expect(outcome.error).toBe(comesTo.error)
    expect(outcome).toMatchObject(comesTo)
    if (!record) {
      expect(gateway.upstream.requests.length).toBe(seenBefore)
      expect(await gateway.allSettled()).toBe(settledBefore)
      return
    }
    const settled = await gateway.settledRecord(outcome.requestId)
    expect(settled).toMatchObject({ records: 1, requested_model: request.model, ...record })
    records.set(name, comparable(settled))
    const { messages: _, ...sent } = gateway.upstream.requests[seenBefore]?.json ?? {}
    asked.set(name, sent)
  })

  if (!record) return
  test('is recorded the same, and asks the same of the provider', () => {
    expect(records.get('grpc')).toEqual(records.get('rest'))
    const { encoding_format: _, ...overGrpc } = asked.get('grpc') ?? {}
    expect(overGrpc).toEqual(asked.get('rest'))
  })
})
