import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { contentOf, framesOf } from '../support/event-stream.ts'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import {
  respondWithCompletion,
  respondWithJson,
  type ScriptedUpstream,
  startScriptedUpstream,
  startStream,
  writeFrame,
} from '../support/scripted-upstream.ts'

let gateway: TestGateway
/** Speaks Anthropic's protocol. */
let anthropic: ScriptedUpstream

beforeAll(async () => {
  anthropic = await startScriptedUpstream()
  const claude = 'claude-sonnet-4-5'
  gateway = await openTestGateway({
    file: {
      providers: [
        {
          name: 'claude',
          type: 'anthropic',
          baseUrl: new URL(anthropic.baseUrl).origin,
          credentials: { apiKey: 'sk-ant-0123456789' },
        },
      ],
      models: [
        { provider: 'claude', name: claude, inputUsdPerMillion: 3, outputUsdPerMillion: 15, maxOutputTokens: 512 },
      ],
      aliases: [
        {
          name: 'mixed',
          targets: [
            { provider: 'claude', model: claude, priority: 0 },
            { provider: 'spare', model: 'spare-chat', priority: 1 },
          ],
        },
      ],
    },
  })
})
afterAll(async () => {
  await gateway.close()
  await anthropic.close()
})
beforeEach(() => gateway.spare.answer(respondWithCompletion))

const model = 'claude/claude-sonnet-4-5'
const usage = { input_tokens: 11, output_tokens: 1, cache_read_input_tokens: 100 }
const begin = {
  type: 'message_start',
  message: { id: 'msg_1', model: 'claude-sonnet-4-5-20250929', content: [], usage },
}
const delta = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta })
const stop = (stop_reason: string) => [
  { type: 'message_delta', delta: { stop_reason }, usage: { output_tokens: 7 } },
  { type: 'message_stop' },
]
const hello = [
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  delta(0, { type: 'text_delta', text: 'Hello ' }),
  delta(0, { type: 'text_delta', text: 'there.' }),
  { type: 'content_block_stop', index: 0 },
]
const respondWith = (...events: object[]): void =>
  anthropic.answer((response) => {
    startStream(response)
    for (const event of events) writeFrame(response, event)
    response.end()
  })
const overloaded = { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }

test('a stream is one of OpenAI, and costs what Anthropic counted', async () => {
  respondWith(begin, { type: 'ping' }, ...hello, ...stop('end_turn'))
  const response = await gateway.chat({ model, stream: true })
  const text = await response.text()
  expect(contentOf(text)).toBe('Hello there.')
  expect(framesOf(text).at(-1)).toBe('[DONE]')
  expect(anthropic.requests.at(-1)).toMatchObject({
    path: '/v1/messages',
    headers: { 'x-api-key': 'sk-ant-0123456789', 'anthropic-version': '2023-06-01' },
    json: { model: 'claude-sonnet-4-5', stream: true, max_tokens: 512 },
  })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    state: 'settled',
    usage_source: 'provider',
    finish: 'stop',
    attempts: [{ provider: 'claude', outcome: 'answered', units: { input: 11, cache_read: 100, output: 7 } }],
  })
})

test('tools and thinking make the round trip through the SDK', async () => {
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: gateway.keySecret })
  const tools = [
    { type: 'function' as const, function: { name: 'weather', parameters: { type: 'object', properties: {} } } },
  ]
  respondWith(
    begin,
    { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
    delta(0, { type: 'thinking_delta', thinking: 'Hm.' }),
    delta(0, { type: 'signature_delta', signature: 'c2ln' }),
    { type: 'content_block_stop', index: 0 },
    {
      type: 'content_block_start',
      index: 1,
      content_block: { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} },
    },
    delta(1, { type: 'input_json_delta', partial_json: '{"city":"Bern"}' }),
    { type: 'content_block_stop', index: 1 },
    ...stop('tool_use'),
  )
  const ask: OpenAI.ChatCompletionMessageParam = { role: 'user', content: 'How is it in Bern?' }
  const answer = await client.chat.completions.stream({ model, messages: [ask], tools }).finalChatCompletion()
  const [choice] = answer.choices
  expect(choice?.finish_reason).toBe('tool_calls')
  expect(choice?.message.tool_calls?.[0]).toMatchObject({
    id: 'toolu_1',
    function: { name: 'weather', arguments: '{"city":"Bern"}' },
  })

  anthropic.answer((response) =>
    respondWithJson(response, 200, {
      id: 'msg_2',
      type: 'message',
      content: [{ type: 'text', text: 'Rain.' }],
      stop_reason: 'end_turn',
      usage,
    }),
  )
  const message = choice?.message as OpenAI.ChatCompletionMessageParam
  const result: OpenAI.ChatCompletionMessageParam = { role: 'tool', tool_call_id: 'toolu_1', content: 'Rain.' }
  const next = await client.chat.completions.create({ model, messages: [ask, message, result], tools })
  expect(next.choices[0]?.message.content).toBe('Rain.')
  expect(anthropic.requests.at(-1)?.json.messages).toEqual([
    { role: 'user', content: [{ type: 'text', text: 'How is it in Bern?' }] },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'Hm.', signature: 'c2ln' },
        { type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Bern' } },
      ],
    },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'Rain.' }] },
  ])
})

describe('a target that speaks another protocol is followed by one that speaks ours', () => {
  test.for<[string, (stream: boolean) => void, string]>([
    ['is overloaded', () => anthropic.answer((response) => respondWithJson(response, 529, overloaded)), 'status'],
    [
      'fails in its stream before the first output',
      (stream) => {
        if (stream) respondWith(begin, overloaded)
        else anthropic.answer((response) => respondWithJson(response, 200, overloaded))
      },
      'in-stream',
    ],
    [
      'sends no answer',
      () => anthropic.answer((response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')),
      'malformed',
    ],
  ])('when it %s', async ([, arrange, outcome]) => {
    for (const stream of [true, false]) {
      arrange(stream)
      const response = await gateway.chat({ model: 'mixed', stream })
      expect(response.status).toBe(200)
      const text = await response.text()
      expect(stream ? contentOf(text) : JSON.parse(text).choices[0].message.content).toBe('Hello there.')
      expect(response.headers.get('x-llmgw-provider')).toBe('spare')
      expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
        provider: 'spare',
        attempts: [
          { provider: 'claude', outcome },
          { provider: 'spare', outcome: 'answered' },
        ],
      })
    }
  })

  test('when it has no word for a parameter', async () => {
    const before = anthropic.requests.length
    const response = await gateway.chat({ model: 'mixed', logprobs: true })
    expect(response.headers.get('x-llmgw-provider')).toBe('spare')
    expect(anthropic.requests).toHaveLength(before)
    const alone = await gateway.chat({ model, logprobs: true })
    expect(alone.status).toBe(400)
    expect(await alone.json()).toMatchObject({ error: { code: 'unsupported_parameter', param: 'logprobs' } })
  })
})

test('one that fails after its first output is an error event, without an end', async () => {
  respondWith(begin, ...hello, overloaded)
  const response = await gateway.chat({ model: 'mixed', stream: true })
  const frames = framesOf(await response.text())
  expect(frames.at(-1)).toMatchObject({ error: { code: 'provider_error' } })
  expect(JSON.stringify(frames)).not.toContain('"finish_reason":"')
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    provider: 'claude',
    finish: 'provider_error',
  })
})

test('an end that OpenAI has no word for is a stop, and the log has the word', async () => {
  respondWith(begin, ...hello, ...stop('something_new'))
  const response = await gateway.chat({ model, stream: true })
  expect(await response.text()).toContain('"finish_reason":"stop"')
  const id = requestIdOf(response)
  await gateway.settledRecord(id)
  const told = gateway.logLines.filter(({ message }) => message.startsWith('A provider ended an answer'))
  expect(told).toMatchObject([{ level: 'warn', fields: { request_id: id, provider_finish: 'something_new' } }])
})
