import { describe, expect, test } from 'vitest'
import { ConverseEvents } from './converse-events.ts'

function decoded(events: readonly Record<string, unknown>[], answerTool?: string) {
  const converse = new ConverseEvents(answerTool)
  for (const event of events) converse.take(event)
  const failure = converse.finish()
  return { events: converse.taken(), failure, facts: converse.facts }
}
function whole(answer: Record<string, unknown>, answerTool?: string) {
  const converse = new ConverseEvents(answerTool)
  const failure = converse.takeWhole(answer) ?? converse.finish()
  return { events: converse.taken(), failure, facts: converse.facts }
}

const begin = { messageStart: { role: 'assistant' } }
const delta = (contentBlockIndex: number, delta: object) => ({ contentBlockDelta: { contentBlockIndex, delta } })
const openTool = (contentBlockIndex: number, toolUseId: string, name: string) => ({
  contentBlockStart: { contentBlockIndex, start: { toolUse: { toolUseId, name } } },
})
const close = (contentBlockIndex: number) => ({ contentBlockStop: { contentBlockIndex } })
const stop = (stopReason = 'end_turn') => ({ messageStop: { stopReason } })
const counted = { inputTokens: 10, outputTokens: 5, totalTokens: 15 }
const metadata = { metadata: { usage: counted } }

const start = { type: 'start', id: undefined, model: undefined, createdS: undefined }
const text = (value: string) => ({ type: 'text-delta', index: 0, text: value })
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
  test('(48) texts need no start, empty deltas are nothing, and usage comes after the end', () => {
    const { events, failure, facts } = decoded([
      begin,
      delta(0, { text: '' }),
      delta(0, { text: 'Hé' }),
      delta(0, { text: 'llo' }),
      close(0),
      stop(),
      metadata,
    ])
    expect(failure).toBeUndefined()
    expect(events).toEqual([start, text('Hé'), text('llo'), end('stop'), tenAndFive])
    expect(facts).toMatchObject({ finish: 'stop', outputBytes: 6, usage: tenAndFive.usage })
  })

  test('(18, 23) calls are numbered among themselves, with or without arguments', () => {
    const { events } = decoded([
      begin,
      delta(0, { text: 'Let me see.' }),
      close(0),
      openTool(1, 'tooluse_a', 'weather'),
      delta(1, { toolUse: { input: '{"city":' } }),
      delta(1, { toolUse: { input: '"Bern"}' } }),
      close(1),
      openTool(2, 'tooluse_b', 'time'),
      delta(2, { toolUse: { input: '' } }),
      close(2),
      stop('tool_use'),
      metadata,
    ])
    expect(events).toEqual([
      start,
      text('Let me see.'),
      call(0, 'tooluse_a', 'weather'),
      args(0, '{"city":'),
      args(0, '"Bern"}'),
      call(1, 'tooluse_b', 'time'),
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test('(30, 31) reasoning is kept with its signature, also redacted', () => {
    const { events } = decoded([
      begin,
      delta(0, { reasoningContent: { text: 'Hm, ' } }),
      delta(0, { reasoningContent: { text: 'well.' } }),
      delta(0, { reasoningContent: { signature: 'c2ln' } }),
      close(0),
      delta(1, { reasoningContent: { redactedContent: Buffer.from('da') } }),
      delta(1, { reasoningContent: { redactedContent: Buffer.from('ta') } }),
      close(1),
      stop(),
      metadata,
    ])
    expect(events).toEqual([
      start,
      { type: 'reasoning-delta', index: 0, text: 'Hm, ' },
      { type: 'reasoning-delta', index: 0, text: 'well.' },
      kept({ type: 'thinking', thinking: 'Hm, well.', signature: 'c2ln' }),
      kept({ type: 'redacted_thinking', data: Buffer.from('data').toString('base64') }),
      end('stop'),
      tenAndFive,
    ])
  })

  test('the input of the answer tool is the answer', () => {
    const stream = [
      begin,
      openTool(0, 'tooluse_a', 'answer'),
      delta(0, { toolUse: { input: '{"a":1}' } }),
      close(0),
      stop('tool_use'),
    ]
    expect(decoded(stream, 'answer').events).toEqual([start, text('{"a":1}'), end('stop')])
  })

  test('members of unknown names are passed over', () => {
    const { events, failure } = decoded([
      begin,
      { somethingNew: {} },
      delta(0, { citation: {} }),
      delta(0, { text: 'Hi.' }),
      stop(),
      metadata,
    ])
    expect(failure).toBeUndefined()
    expect(events).toEqual([start, text('Hi.'), end('stop'), tenAndFive])
  })

  test('(53) one without an end was cut', () => {
    expect(decoded([begin, delta(0, { text: 'Hi.' })]).failure).toMatchObject({ kind: 'cut', retryable: true })
    expect(decoded([]).failure?.kind).toBe('cut')
  })
})

describe('a whole answer', () => {
  test('gives the same events', () => {
    const content = [
      { reasoningContent: { reasoningText: { text: 'Hm.', signature: 'c2ln' } } },
      { reasoningContent: { redactedContent: Buffer.from('data') } },
      { text: 'Let me see.' },
      { guardContent: {} },
      { toolUse: { toolUseId: 'tooluse_a', name: 'weather', input: { city: 'Bern' } } },
      { toolUse: { toolUseId: 'tooluse_b', name: 'time', input: {} } },
    ]
    const { events } = whole({
      output: { message: { role: 'assistant', content } },
      stopReason: 'tool_use',
      usage: counted,
    })
    expect(events).toEqual([
      start,
      { type: 'reasoning-delta', index: 0, text: 'Hm.' },
      kept({ type: 'thinking', thinking: 'Hm.', signature: 'c2ln' }),
      kept({ type: 'redacted_thinking', data: Buffer.from('data').toString('base64') }),
      text('Let me see.'),
      call(0, 'tooluse_a', 'weather'),
      args(0, '{"city":"Bern"}'),
      call(1, 'tooluse_b', 'time'),
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test.each([
    ['end_turn', 'stop'],
    ['stop_sequence', 'stop'],
    ['max_tokens', 'length'],
    ['model_context_window_exceeded', 'length'],
    ['guardrail_intervened', 'content_filter'],
    ['content_filtered', 'content_filter'],
    ['malformed_model_output', 'stop'],
    ['malformed_tool_use', 'stop'],
    ['something_new', 'stop'],
  ])('stopReason %s is %s', (stopReason, reason) => {
    const { events, facts } = whole({ output: { message: { content: [] } }, stopReason })
    expect(events).toContainEqual(end(reason))
    expect(facts.oddFinish).toBe(/^(malformed|something)/.test(stopReason) ? stopReason : undefined)
  })

  test.each([{}, { output: {} }, { output: { message: {} } }])('(60) %j is none', (answer) => {
    expect(whole(answer).failure?.kind).toBe('malformed')
  })
})

describe('usage', () => {
  const usageOf = (counts: object, more: object = {}) =>
    whole({ output: { message: { content: [] } }, usage: counts, ...more }).facts

  test('(1) what was read from the cache and written into it is part of the prompt', () => {
    const counts = {
      inputTokens: 3,
      cacheReadInputTokens: 100,
      cacheWriteInputTokens: 20,
      cacheDetails: [
        { ttl: '1h', inputTokens: 15 },
        { ttl: '5m', inputTokens: 5 },
      ],
      outputTokens: 5,
    }
    expect(usageOf(counts).usage).toEqual(
      usage({ input: 3, cache_read: 100, cache_write_5m: 5, cache_write_1h: 15, output: 5 }, 123, 5).usage,
    )
  })

  test('the tier that served is known', () => {
    expect(usageOf(counted, { serviceTier: { type: 'flex' } }).usage?.serviceTier).toBe('flex')
  })

  test('(4) missing counts are none, and nonsense is kept as it came', () => {
    expect(usageOf({ inputTokens: 3, outputTokens: undefined }).usage?.units).toEqual({ input: 3 })
    expect(usageOf({ inputTokens: -1, outputTokens: 1 })).toMatchObject({
      usage: undefined,
      implausibleUsage: { inputTokens: -1 },
    })
  })
})
