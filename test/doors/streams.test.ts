import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { contentOf, framesOf, readPartially } from '../support/event-stream.ts'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import {
  respondWithCompletion,
  type SeenRequest,
  startStream,
  textChunk,
  usageOf,
} from '../support/scripted-upstream.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer(respondWithCompletion))

const lastSeen = (): SeenRequest => gateway.upstream.requests.at(-1) as SeenRequest

/** Streams these very bytes, piece by piece, each as a chunk of its own. */
function streamPieces(...pieces: (string | Buffer)[]): void {
  gateway.upstream.answer(async (response) => {
    startStream(response)
    for (const piece of pieces) {
      await new Promise<void>((resolve) => response.write(piece, () => setImmediate(resolve)))
    }
    response.end()
  })
}

const frame = (value: object): string => `data: ${JSON.stringify(value)}\n\n`
const role = frame({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }],
})
const text = (content: string): string => frame(textChunk(content))
const stop = frame({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
})
const usageFrame = (usage: object): string => frame({ id: 'chatcmpl-1', choices: [], usage })
const done = 'data: [DONE]\n\n'

test('a stream is passed on byte for byte: comments, event names, odd spacing, CRLF and unknown members', async () => {
  const pieces = [
    ': hello\n\n',
    role,
    'event: message\ndata:  {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"caf\\u00e9 ☕"}}],"new":1.0}\n\n',
    'id: 7\r\ndata: {"choices" : [ {"index":0,"delta":{"content":" CRLF","future":{"a":1}}} ]}\r\n\r\n',
    text(' end.'),
    stop,
    done,
  ]
  streamPieces(...pieces)
  const response = await gateway.chat({ stream: true })
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
  expect(response.headers.get('cache-control')).toBe('no-cache')
  expect(await response.text()).toBe(pieces.join(''))
})

test('bytes may be cut anywhere, through characters and line breaks, and come out the same', async () => {
  const whole = Buffer.from(role + text('Grüße, 世界 ☕ 👩‍🚀') + text(' und mehr') + stop + done)
  streamPieces(...Array.from({ length: Math.ceil(whole.length / 7) }, (_, i) => whole.subarray(i * 7, i * 7 + 7)))
  const response = await gateway.chat({ stream: true })
  expect(await response.text()).toBe(whole.toString())
})

test('usage is asked for behind the back of the client, and its chunk is taken out', async () => {
  const response = await gateway.chat({ stream: true })
  const frames = framesOf(await response.text())
  expect(lastSeen().json.stream_options).toEqual({ include_usage: true })
  expect(frames.at(-1)).toBe('[DONE]')
  expect(frames.filter((one) => one !== '[DONE]' && (one.choices as unknown[]).length === 0)).toEqual([])
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    stream: true,
    usage_source: 'provider',
    input_tokens: '11',
    output_tokens: '3',
    finish: 'stop',
    state: 'settled',
    first_output_ms: expect.any(Number),
    records: 1,
  })
})

test('a client that asks for usage is shown it, last before the end', async () => {
  const response = await gateway.chat({ stream: true, stream_options: { include_usage: true } })
  const frames = framesOf(await response.text())
  expect(frames.at(-1)).toBe('[DONE]')
  expect(frames.at(-2)).toMatchObject({ choices: [], usage: usageOf(11, 3) })
})

test.for([
  ['none', '', '"stream_options":{"include_usage":true},'],
  ['false', '"stream_options":{"include_usage":false},', '"stream_options":{"include_usage":true},'],
  ['null', '"stream_options":null,', '"stream_options":{"include_usage":true},'],
  [
    'others',
    '"stream_options":{"include_obfuscation":false},',
    '"stream_options":{"include_obfuscation":false,"include_usage":true},',
  ],
] as const)('stream options: %s given, usage is asked for and the rest is left alone', async ([, given, sent]) => {
  const rest = '"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}],"stream":true}'
  const response = await gateway.chat(`{${given}${rest}`)
  expect(response.status).toBe(200)
  expect(lastSeen().body).toBe(`{${sent}${rest}`)
})

test('an alias in a stream: the upstream reads its model, the client reads what the upstream says', async () => {
  const response = await gateway.chat({ model: 'smart', stream: true })
  expect(lastSeen().json.model).toBe('round-numbers')
  expect(response.headers.get('x-llmgw-model')).toBe('round-numbers')
  expect(contentOf(await response.text())).toBe('Hello there.')
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ alias: 'smart', model: 'round-numbers' })
})

test('output is passed on when it comes, not when the answer is whole', async () => {
  const goOn = Promise.withResolvers<void>()
  gateway.upstream.answer(async (response) => {
    startStream(response)
    response.write(role + text('first'))
    await goOn.promise
    response.end(text(' second') + stop + done)
  })
  const reader = readPartially(await gateway.chat({ stream: true }))
  await reader.until('first')
  expect(reader.text).not.toContain('second')
  goOn.resolve()
  expect(contentOf(await reader.rest())).toBe('first second')
})

test('the last frame is sent when the call is accounted for', async () => {
  const response = await gateway.chat({ stream: true })
  await response.text()
  // What is in the journal by then is in the database soon, whatever happens to this process.
  expect(await gateway.metric('llmgw_usage_journal_open_calls')).toBe(0)
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ state: 'settled' })
})

test('a stream that ends with a finish reason but without [DONE] gets one', async () => {
  streamPieces(role, text('Whole.'), stop)
  const answer = await (await gateway.chat({ stream: true })).text()
  expect(answer).toBe(role + text('Whole.') + stop + done)
})

test('what comes after [DONE] is not passed on', async () => {
  streamPieces(role + text('Whole.') + stop + done + text('More.'), text('And more.'))
  const answer = await (await gateway.chat({ stream: true })).text()
  expect(answer).toBe(role + text('Whole.') + stop + done)
})

test('usage on the last chunk with a choice is accounted for and stays where it is', async () => {
  const last = frame({ choices: [{ index: 0, delta: {}, finish_reason: 'length' }], usage: usageOf(8, 5) })
  streamPieces(role, text('Cut.'), last, done)
  const response = await gateway.chat({ stream: true })
  expect(await response.text()).toBe(role + text('Cut.') + last + done)
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    input_tokens: '8',
    output_tokens: '5',
    finish: 'length',
  })
})

test('tool calls, reasoning and several choices are relayed as they come', async () => {
  const pieces = [
    frame({ choices: [{ index: 0, delta: { role: 'assistant', content: null, tool_calls: [] } }] }),
    frame({ choices: [{ index: 1, delta: { role: 'assistant', reasoning_content: 'Let me think.' } }] }),
    frame({
      choices: [
        { index: 0, delta: { tool_calls: [{ index: 0, id: 'call_1', function: { name: 'look', arguments: '' } }] } },
      ],
    }),
    frame({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: '{"a":1}' } }] } }] }),
    frame({ choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] }),
    frame({ choices: [{ index: 1, delta: {}, finish_reason: 'stop' }] }),
  ]
  streamPieces(...pieces, done)
  const response = await gateway.chat({ stream: true, n: 2 })
  expect(await response.text()).toBe(pieces.join('') + done)
})

test('a stream without usage is counted from the bytes that passed', async () => {
  streamPieces(role, text('x'.repeat(400)), text('y'.repeat(400)), stop, done)
  const response = await gateway.chat({ stream: true, messages: [{ role: 'user', content: 'z'.repeat(4_000) }] })
  await response.text()
  const record = await gateway.settledRecord(requestIdOf(response))
  expect(record).toMatchObject({ usage_source: 'counted', state: 'settled', output_tokens: '200', finish: 'stop' })
  // Four bytes a token, and a little for the names of members.
  expect(Number(record.input_tokens)).toBeGreaterThanOrEqual(1_000)
  expect(Number(record.input_tokens)).toBeLessThan(1_100)
})

test('implausible usage is not charged but kept for inspection', async () => {
  const implausible = { prompt_tokens: -5, completion_tokens: 2.5, total_tokens: 1 }
  streamPieces(role, text('Fine.'), stop, usageFrame(implausible), done)
  const response = await gateway.chat({ stream: true })
  await response.text()
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    usage_source: 'counted',
    implausible_usage: implausible,
    state: 'settled',
    attempts: [{ billing: 'estimated' }],
  })
})

test('the demo provider streams with ids, role, finish reason and [DONE]', async () => {
  const response = await gateway.chat({
    model: 'demo/demo-chat',
    stream: true,
    stream_options: { include_usage: true },
  })
  const frames = framesOf(await response.text())
  expect(frames.at(-1)).toBe('[DONE]')
  const chunks = frames.slice(0, -1) as Record<string, unknown>[]
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
  expect(chunks[0]).toMatchObject({
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta: { role: 'assistant' } }],
  })
  expect(chunks.at(-2)).toMatchObject({ choices: [{ delta: {}, finish_reason: 'stop' }] })
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: expect.any(Number) } })
  expect(response.headers.get('x-llmgw-provider')).toBe('demo')
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ provider: 'demo', stream: true })
})

test('a stream of a peer is put into the form that strict clients need', async () => {
  streamPieces(
    'data:{"choices":[{"delta":{"content":[{"type":"text","text":"No ids, "}]}}]}\r\r',
    'data: {"choices":[{"delta":{"content":"no role."}}]}\n\n',
    'data: {"choices":[{"delta":{},"finish_reason":"end_turn"}],"usage":{"prompt_tokens":6,"completion_tokens":4}}\n\n',
  )
  const response = await gateway.chat({ model: 'peer-chat', stream: true })
  const frames = framesOf(await response.text())
  const identity = {
    id: `chatcmpl-${requestIdOf(response)}`,
    object: 'chat.completion.chunk',
    created: expect.any(Number),
    model: 'peer-chat',
  }
  expect(frames).toEqual([
    {
      ...identity,
      choices: [{ index: 0, delta: { role: 'assistant', content: 'No ids, ' }, logprobs: null, finish_reason: null }],
    },
    { ...identity, choices: [{ index: 0, delta: { content: 'no role.' }, logprobs: null, finish_reason: null }] },
    { ...identity, choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }] },
    '[DONE]',
  ])
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    provider: 'peer',
    input_tokens: '6',
    output_tokens: '4',
    provider_cost_nano: '44000',
  })
})

test('tool calls of a peer that come without ids get them', async () => {
  streamPieces(
    frame({ choices: [{ delta: { tool_calls: [{ function: { name: 'look', arguments: { q: 1 } } }] } }] }),
    frame({ choices: [{ delta: {}, finish_reason: 'stop' }] }),
    done,
  )
  const frames = framesOf(await (await gateway.chat({ model: 'peer-chat', stream: true })).text())
  const calls = frames.flatMap((one) =>
    one === '[DONE]' ? [] : ((one.choices as { delta: { tool_calls?: object[] } }[])[0]?.delta.tool_calls ?? []),
  )
  expect(calls[0]).toMatchObject({ index: 0, id: expect.stringMatching(/./), type: 'function' })
  expect(frames.at(-2)).toMatchObject({ choices: [{ finish_reason: 'tool_calls' }] })
})

test('a call counts in the metrics, its tokens and its cost, too', async () => {
  const names = ['llmgw_requests_total', 'llmgw_tokens_total', 'llmgw_cost_usd_total'] as const
  const labels = { provider: 'openai', model: 'round-numbers' }
  const before = await Promise.all(names.map((name) => gateway.metric(name, labels)))
  await (await gateway.chat({ model: 'round-numbers', stream: true })).text()
  const after = await Promise.all(names.map((name) => gateway.metric(name, labels)))
  expect(after[0]).toBe((before[0] as number) + 1)
  expect(after[1]).toBe((before[1] as number) + 14)
  expect(after[2]).toBeCloseTo((before[2] as number) + 0.000023, 12)
  expect(await gateway.metric('llmgw_requests_in_flight')).toBe(0)
})
