import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutAnywhere, oneByOne } from '../../../../test/support/cut-anywhere.ts'
import { createMessageStreamDecoder, decodeMessage } from './from-upstream.ts'

const options = { answerTool: undefined as string | undefined, credential: 'sk-ant-secret' }

const frames = (...events: object[]): Buffer =>
  Buffer.from(
    events.map((event) => `event: ${(event as { type: string }).type}\ndata: ${JSON.stringify(event)}\n\n`).join(''),
  )

function decodeIn(chunks: readonly Buffer[], answerTool?: string) {
  const decoder = createMessageStreamDecoder({ ...options, answerTool })
  const events = []
  for (const chunk of chunks) {
    const { events: some, failure } = decoder.push(chunk)
    events.push(...some)
    if (failure) return { events, failure, facts: decoder.facts }
  }
  const last = decoder.end()
  return { events: [...events, ...last.events], failure: last.failure, facts: decoder.facts }
}
const decode = (...events: object[]) => decodeIn([frames(...events)])
const whole = (message: object, answerTool?: string) =>
  decodeMessage(Buffer.from(JSON.stringify({ id: 'msg_1', type: 'message', model: 'claude', ...message })), {
    ...options,
    answerTool,
  })

const begin = (usage: object = { input_tokens: 10, output_tokens: 1 }) => ({
  type: 'message_start',
  message: { id: 'msg_1', type: 'message', model: 'claude', content: [], usage },
})
const block = (index: number, content_block: object) => ({ type: 'content_block_start', index, content_block })
const delta = (index: number, delta: object) => ({ type: 'content_block_delta', index, delta })
const close = (index: number) => ({ type: 'content_block_stop', index })
const stop = (stop_reason: string | null = 'end_turn', usage: object = { output_tokens: 5 }, more: object = {}) => [
  { type: 'message_delta', delta: { stop_reason, stop_sequence: null, ...more }, usage },
  { type: 'message_stop' },
]
const textBlock = (index: number, text: string) => [
  block(index, { type: 'text', text: '' }),
  delta(index, { type: 'text_delta', text }),
  close(index),
]
const toolBlock = (index: number, id: string, name: string, ...json: string[]) => [
  block(index, { type: 'tool_use', id, name, input: {} }),
  ...json.map((partial_json) => delta(index, { type: 'input_json_delta', partial_json })),
  close(index),
]

const start = { type: 'start', id: 'msg_1', model: 'claude', createdS: undefined }
const text = (value: string) => ({ type: 'text-delta', index: 0, text: value })
const thought = (value: string) => ({ type: 'reasoning-delta', index: 0, text: value })
const call = (toolIndex: number, id: string, name: string) => ({
  type: 'tool-call-start',
  index: 0,
  toolIndex,
  id,
  name,
})
const args = (toolIndex: number, json: string) => ({ type: 'tool-call-delta', index: 0, toolIndex, arguments: json })
const kept = (block: object) => ({ type: 'message-extra', index: 0, members: { thinking_blocks: [block] } })
const end = (reason: string) => ({ type: 'choice-end', index: 0, reason })
const usage = (units: object, inputTokens: number, outputTokens: number, serviceTier = 'default') => ({
  type: 'usage',
  usage: { units, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, serviceTier },
})
const tenAndFive = usage({ input: 10, output: 5 }, 10, 5)

describe('a stream', () => {
  test('becomes start, text, end and usage', () => {
    const { events, failure, facts } = decode(
      begin(),
      { type: 'ping' },
      ...textBlock(0, 'Hé'),
      ...textBlock(1, 'llo'),
      ...stop(),
    )
    expect(failure).toBeUndefined()
    expect(events).toEqual([start, text('Hé'), text('llo'), end('stop'), tenAndFive])
    expect(facts).toMatchObject({
      finish: 'stop',
      outputBytes: 6,
      providerResponseId: 'msg_1',
      usage: tenAndFive.usage,
    })
  })

  test('(19, 23) tool calls are numbered among themselves, and an empty input at the start is no argument', () => {
    const { events } = decode(
      begin(),
      ...textBlock(0, 'Let me see.'),
      ...toolBlock(1, 'toolu_a', 'weather', '', '{"city":', '"Bern"}'),
      ...toolBlock(2, 'toolu_b', 'time'),
      ...stop('tool_use'),
    )
    expect(events).toEqual([
      start,
      text('Let me see.'),
      call(0, 'toolu_a', 'weather'),
      args(0, '{"city":'),
      args(0, '"Bern"}'),
      call(1, 'toolu_b', 'time'),
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test('an input that comes whole with the start is passed on once', () => {
    const { events } = decode(
      begin(),
      block(0, { type: 'tool_use', id: 'toolu_a', name: 'weather', input: { city: 'Bern' } }),
      close(0),
      ...stop('tool_use'),
    )
    expect(events).toContainEqual(args(0, '{"city":"Bern"}'))
  })

  test('(28) a call that was cut is passed on as far as it came', () => {
    const { events } = decode(begin(), ...toolBlock(0, 'toolu_a', 'weather', '{"city":"Be'), ...stop('max_tokens'))
    expect(events).toEqual([start, call(0, 'toolu_a', 'weather'), args(0, '{"city":"Be'), end('length'), tenAndFive])
  })

  test('(30, 31, 32) thinking is reasoning, and is kept with its signature, without text, and redacted', () => {
    const { events } = decode(
      begin(),
      block(0, { type: 'thinking', thinking: '', signature: '' }),
      delta(0, { type: 'thinking_delta', thinking: 'Hm, ' }),
      delta(0, { type: 'thinking_delta', thinking: 'well.' }),
      delta(0, { type: 'signature_delta', signature: 'c2ln' }),
      close(0),
      block(1, { type: 'redacted_thinking', data: 'ZGF0YQ==' }),
      close(1),
      block(2, { type: 'thinking', thinking: '', signature: 'c2lnMg==' }),
      close(2),
      ...stop(),
    )
    expect(events).toEqual([
      start,
      thought('Hm, '),
      thought('well.'),
      kept({ type: 'thinking', thinking: 'Hm, well.', signature: 'c2ln' }),
      kept({ type: 'redacted_thinking', data: 'ZGF0YQ==' }),
      kept({ type: 'thinking', thinking: '', signature: 'c2lnMg==' }),
      end('stop'),
      tenAndFive,
    ])
  })

  test('(50) unknown events, blocks and deltas are passed over, and tools of the server are no calls', () => {
    const { events, failure } = decode(
      begin(),
      { type: 'compaction', anything: true },
      block(0, { type: 'server_tool_use', id: 'srvtoolu_a', name: 'web_search', input: {} }),
      delta(0, { type: 'input_json_delta', partial_json: '{"query":"x"}' }),
      close(0),
      block(1, { type: 'fallback' }),
      close(1),
      block(2, { type: 'text', text: '' }),
      delta(2, { type: 'citations_delta', citation: {} }),
      delta(2, { type: 'text_delta', text: 'Found.' }),
      close(2),
      ...stop(),
    )
    expect(failure).toBeUndefined()
    expect(events).toEqual([start, text('Found.'), end('stop'), tenAndFive])
  })

  test('(48) a text without a start is text, and empty deltas are nothing', () => {
    const { events } = decode(
      begin(),
      delta(0, { type: 'text_delta', text: '' }),
      delta(0, { type: 'text_delta', text: 'Hi.' }),
      ...stop(),
    )
    expect(events).toEqual([start, text('Hi.'), end('stop'), tenAndFive])
  })

  test('(49) a second beginning goes on with the first answer', () => {
    const again = { ...begin(), message: { ...begin().message, id: 'msg_2', model: 'other' } }
    const { events } = decode(begin(), ...textBlock(0, 'One.'), again, ...textBlock(0, ' Two.'), ...stop())
    expect(events).toEqual([start, text('One.'), text(' Two.'), end('stop'), tenAndFive])
  })

  test('the input of the answer tool is the answer', () => {
    const { events } = decodeIn(
      [frames(begin(), ...toolBlock(0, 'toolu_a', 'answer', '{"a":', '1}'), ...stop('tool_use'))],
      'answer',
    )
    expect(events).toEqual([start, text('{"a":'), text('1}'), end('stop'), tenAndFive])
  })

  test('the end may come without a farewell, but not without a reason', () => {
    const [reason] = stop() as [object]
    expect(decode(begin(), ...textBlock(0, 'Hi.'), reason).events).toEqual([
      start,
      text('Hi.'),
      end('stop'),
      tenAndFive,
    ])
    const cut = decode(begin(), ...textBlock(0, 'Hi.'))
    expect(cut.failure).toMatchObject({ kind: 'cut', retryable: true })
    expect(cut.events).toEqual([start, text('Hi.')])
  })

  test('(53) what is cut in the middle of an event, or has none, is no answer', () => {
    const bytes = frames(begin(), ...textBlock(0, 'Hi.'), ...stop())
    expect(decodeIn([bytes.subarray(0, bytes.length - 60)]).failure?.kind).toBe('cut')
    expect(decodeIn([]).failure?.kind).toBe('cut')
  })

  test.each([
    ['overloaded_error', 'provider_error', true],
    ['api_error', 'provider_error', true],
    ['rate_limit_error', 'provider_rate_limited', true],
    ['timeout_error', 'provider_timeout', true],
    ['authentication_error', 'provider_auth_failed', true],
    ['invalid_request_error', 'invalid_body', false],
    ['never_heard_of', 'provider_error', true],
  ])('(51) the error event %s is a failure', (type, code, retryable) => {
    const { events, failure } = decode(
      begin(),
      ...textBlock(0, 'Hi.'),
      { type: 'error', error: { type, message: 'It broke.' } },
      ...stop(),
    )
    expect(events).toEqual([start, text('Hi.')])
    expect(failure).toMatchObject({ kind: 'in-stream', billing: 'maybe_billed', retryable, error: { code } })
  })

  test('what is no JSON is no answer', () => {
    expect(decodeIn([Buffer.from('data: {"type"\n\n')]).failure?.kind).toBe('malformed')
    expect(decodeIn([Buffer.from('data: 7\n\n')]).failure?.kind).toBe('malformed')
  })

  test('(44) cut at any byte it gives the same events', () => {
    const bytes = frames(
      begin(),
      ...textBlock(0, '日本語 🚀 é'),
      ...toolBlock(1, 'toolu_a', 'weather', '{"city":"Zü', 'rich 🌧"}'),
      block(2, { type: 'thinking', thinking: 'ä', signature: 'c2ln' }),
      close(2),
      ...stop('tool_use'),
    )
    const { events } = decodeIn([bytes])
    expect(events).toHaveLength(9)
    expect(decodeIn(oneByOne(bytes)).events).toEqual(events)
    fc.assert(
      fc.property(cutAnywhere(bytes), (chunks) => {
        expect(decodeIn(chunks).events).toEqual(events)
      }),
    )
  })
})

describe('a whole message', () => {
  const counted = { input_tokens: 10, output_tokens: 5 }

  test('gives the same events', () => {
    const content = [
      { type: 'thinking', thinking: 'Hm.', signature: 'c2ln' },
      { type: 'text', text: 'Let me see.' },
      { type: 'server_tool_use', id: 'srvtoolu_a', name: 'web_search', input: { q: 'x' } },
      { type: 'tool_use', id: 'toolu_a', name: 'weather', input: { city: 'Bern' } },
      { type: 'tool_use', id: 'toolu_b', name: 'time', input: {} },
    ]
    const { events, facts } = whole({ content, stop_reason: 'tool_use', usage: counted })
    expect(events).toEqual([
      start,
      thought('Hm.'),
      kept({ type: 'thinking', thinking: 'Hm.', signature: 'c2ln' }),
      text('Let me see.'),
      call(0, 'toolu_a', 'weather'),
      args(0, '{"city":"Bern"}'),
      call(1, 'toolu_b', 'time'),
      end('tool_calls'),
      tenAndFive,
    ])
    expect(facts.outputBytes).toBe('Hm.Let me see.{"city":"Bern"}'.length)
  })

  test('a refusal says why', () => {
    const { events } = whole({
      content: [],
      stop_reason: 'refusal',
      stop_details: { type: 'refusal', explanation: 'Not this.' },
      usage: counted,
    })
    expect(events).toEqual([
      start,
      { type: 'refusal-delta', index: 0, text: 'Not this.' },
      end('content_filter'),
      tenAndFive,
    ])
  })

  test.each([
    ['end_turn', 'stop'],
    ['stop_sequence', 'stop'],
    ['pause_turn', 'stop'],
    ['max_tokens', 'length'],
    ['model_context_window_exceeded', 'length'],
    ['refusal', 'content_filter'],
    ['something_new', 'stop'],
  ])('stop_reason %s is %s', (stop_reason, reason) => {
    const { events, facts } = whole({ content: [], stop_reason, usage: counted })
    expect(events).toContainEqual(end(reason))
    expect(facts.oddFinish).toBe(stop_reason === 'something_new' ? stop_reason : undefined)
  })

  test('the input of the answer tool is the answer', () => {
    const content = [{ type: 'tool_use', id: 'toolu_a', name: 'answer', input: { a: 1 } }]
    expect(whole({ content, stop_reason: 'tool_use', usage: counted }, 'answer').events).toEqual([
      start,
      text('{"a":1}'),
      end('stop'),
      tenAndFive,
    ])
  })

  test.each(['', 'null', '[]', '{"type":"message"}', '<html>'])('(60) %j is no answer', (body) => {
    expect(decodeMessage(Buffer.from(body), options)).toMatchObject({ events: [], failure: { kind: 'malformed' } })
  })

  test('an error in it is a failure', () => {
    const { failure } = whole({ type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } })
    expect(failure).toMatchObject({ kind: 'in-stream', error: { code: 'provider_error' } })
  })
})

describe('usage', () => {
  const usageOf = (...parts: [object, object?]) => {
    const { facts } = decode(begin(parts[0]), ...stop('end_turn', parts[1] ?? {}))
    return facts
  }

  test('(1) what was read from the cache and written into it is part of the prompt', () => {
    const cache = { cache_read_input_tokens: 100, cache_creation_input_tokens: 20 }
    expect(usageOf({ input_tokens: 3, ...cache, output_tokens: 5 }).usage).toEqual(
      usage({ input: 3, cache_read: 100, cache_write_5m: 20, output: 5 }, 123, 5).usage,
    )
  })

  test('what is kept for an hour has a price of its own', () => {
    const written = { ephemeral_5m_input_tokens: 5, ephemeral_1h_input_tokens: 15 }
    const counts = { input_tokens: 3, cache_creation_input_tokens: 20, cache_creation: written, output_tokens: 1 }
    expect(usageOf(counts).usage?.units).toEqual({ input: 3, cache_write_5m: 5, cache_write_1h: 15, output: 1 })
  })

  test('(2) later counts replace earlier ones', () => {
    const cache = { cache_read_input_tokens: 100, cache_creation_input_tokens: 20 }
    const { usage } = usageOf({ input_tokens: 3, ...cache, output_tokens: 1 }, { ...cache, output_tokens: 9 })
    expect(usage?.units).toEqual({ input: 3, cache_read: 100, cache_write_5m: 20, output: 9 })
  })

  test('(3) servers that count the prompt at the end are believed', () => {
    expect(usageOf({ input_tokens: 0, output_tokens: 0 }, { input_tokens: 30, output_tokens: 9 }).usage?.units).toEqual(
      {
        input: 30,
        output: 9,
      },
    )
  })

  test('(4) null and missing counts are none', () => {
    const nulls = { cache_read_input_tokens: null, cache_creation_input_tokens: null, cache_creation: null }
    expect(
      usageOf({ input_tokens: 3, ...nulls, output_tokens: 1 }, { output_tokens: 4, input_tokens: null }).usage?.units,
    ).toEqual({
      input: 3,
      output: 4,
    })
  })

  test('thinking and searches are counted where they are told, and the tier is known', () => {
    const { usage } = usageOf({
      input_tokens: 3,
      output_tokens: 10,
      output_tokens_details: { thinking_tokens: 7 },
      server_tool_use: { web_search_requests: 2 },
      service_tier: 'priority',
    })
    expect(usage).toMatchObject({ units: { input: 3, output: 3, reasoning: 7, search: 2 }, serviceTier: 'priority' })
  })

  test.each([
    { input_tokens: -1 },
    { output_tokens: 1.5 },
    { output_tokens: 1, output_tokens_details: { thinking_tokens: 2 } },
  ])('what makes no sense is kept as it came: %j', (counts) => {
    const { usage, implausibleUsage } = usageOf({ input_tokens: 3, output_tokens: 1, ...counts })
    expect(usage).toBeUndefined()
    expect(implausibleUsage).toMatchObject(counts)
  })

  test('no counts are no usage', () => {
    expect(decode(begin({}), ...stop('end_turn', {})).events).toEqual([start, end('stop')])
  })
})
