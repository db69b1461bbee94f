import { describe, expect, test } from 'vitest'
import type { ChatEvent } from '../../core/chat/event.ts'
import type { Usage } from '../../core/usage/usage.ts'
import { createChatEncoder } from './chat-encoder.ts'

const requestId = '018bcfe5-6800-7000-8000-000000000000' // made at 1_700_000_000 s
const start: ChatEvent = { type: 'start', id: 'up-1', model: 'up-model', createdS: 1_600_000_000 }
const end = (reason: 'stop' | 'length' | 'tool_calls' = 'stop', index = 0): ChatEvent => ({
  type: 'choice-end',
  index,
  reason,
})
const text = (value: string, index = 0): ChatEvent => ({ type: 'text-delta', index, text: value })
const call = (toolIndex: number, id: string, name: string): ChatEvent => ({
  type: 'tool-call-start',
  index: 0,
  toolIndex,
  id,
  name,
})
const args = (toolIndex: number, value: string): ChatEvent => ({
  type: 'tool-call-delta',
  index: 0,
  toolIndex,
  arguments: value,
})
const usage: ChatEvent = {
  type: 'usage',
  usage: {
    units: { input: 3, output: 2 },
    inputTokens: 3,
    outputTokens: 2,
    totalTokens: 5,
    serviceTier: 'default',
  } satisfies Usage,
}
const wireUsage = {
  prompt_tokens: 3,
  completion_tokens: 2,
  total_tokens: 5,
  prompt_tokens_details: { cached_tokens: 0 },
}

describe('streams', () => {
  function written(events: ChatEvent[], includeUsage = false): string {
    const encoder = createChatEncoder({ requestId, request: { model: 'asked', stream: true, includeUsage } })
    return [...events.map((event) => encoder.encode(event)?.toString() ?? ''), encoder.end().toString()].join('')
  }
  const chunks = (events: ChatEvent[], includeUsage = false) =>
    written(events, includeUsage)
      .split('\n\n')
      .slice(0, -2)
      .map((frame) => JSON.parse(frame.replace(/^data: /, '')))
  const choices = (...events: ChatEvent[]) => chunks([start, ...events]).map((chunk) => chunk.choices[0])
  const choice = (delta: object, finishReason: string | null = null, index = 0) => ({
    index,
    delta,
    logprobs: null,
    finish_reason: finishReason,
  })

  test('to the byte', () => {
    const head =
      'data: {"id":"up-1","object":"chat.completion.chunk","created":1600000000,"model":"up-model","choices":['
    expect(written([start, text('Hé"\n'), text('o'), end()])).toBe(
      `${head}{"index":0,"delta":{"role":"assistant","content":"Hé\\"\\n"},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${head}{"index":0,"delta":{"content":"o"},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${head}{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n` +
        'data: [DONE]\n\n',
    )
  })

  test('what the upstream does not say is ours', () => {
    const unknown: ChatEvent = { type: 'start', id: undefined, model: undefined, createdS: undefined }
    expect(chunks([unknown, text('a')])[0]).toMatchObject({
      id: `chatcmpl-${requestId}`,
      model: 'asked',
      created: 1_700_000_000,
    })
  })

  test('usage is sent when asked for, with choices: [], and never else', () => {
    expect(chunks([start, text('a'), end(), usage]).some((chunk) => 'usage' in chunk)).toBe(false)
    const asked = chunks([start, text('a'), end(), usage], true)
    expect(asked.map((chunk) => chunk.usage)).toEqual([null, null, wireUsage])
    expect(asked.at(-1).choices).toEqual([])
  })

  test('each kind of delta has its place', () => {
    expect(
      choices(
        { type: 'reasoning-delta', index: 0, text: 'why' },
        { type: 'refusal-delta', index: 0, text: 'No.' },
        { type: 'message-extra', index: 0, members: { annotations: [1] } },
        { type: 'text-delta', index: 0, text: 'a', logprobs: { content: [2] } },
        end(),
      ),
    ).toEqual([
      choice({ role: 'assistant', reasoning_content: 'why' }),
      choice({ refusal: 'No.' }),
      choice({ annotations: [1] }),
      { ...choice({ content: 'a' }), logprobs: { content: [2] } },
      choice({}, 'stop'),
    ])
  })

  test('a tool call begins with id, type and name, and then only grows', () => {
    const extra = { extra_content: { google: 1 } }
    expect(
      choices({ ...call(0, 'c0', 'f'), extra } as ChatEvent, args(0, '{"x"'), args(0, ':1}'), end('tool_calls')),
    ).toEqual([
      choice({
        role: 'assistant',
        content: null,
        tool_calls: [{ index: 0, id: 'c0', type: 'function', function: { name: 'f', arguments: '' }, ...extra }],
      }),
      choice({ tool_calls: [{ index: 0, function: { arguments: '{"x"' } }] }),
      choice({ tool_calls: [{ index: 0, function: { arguments: ':1}' } }] }),
      choice({}, 'tool_calls'),
    ])
  })

  test('a call without arguments gets an empty object, one that was cut off does not', () => {
    const argumentsOf = (reason: 'tool_calls' | 'length') =>
      choices(call(0, 'c0', 'f'), call(1, 'c1', 'g'), args(1, '{}'), end(reason))
        .flatMap((one) => one.delta.tool_calls ?? [])
        .filter((one: { index: number }) => one.index === 0)
        .map((one: { function: { arguments: string } }) => one.function.arguments)
        .join('')
    expect(argumentsOf('tool_calls')).toBe('{}')
    expect(argumentsOf('length')).toBe('')
  })

  test('each choice has a role, also one that says nothing', () => {
    expect(choices(text('a', 1), text('b', 0), text('c', 1), end('stop', 0), end('stop', 1), end('stop', 2))).toEqual([
      choice({ role: 'assistant', content: 'a' }, null, 1),
      choice({ role: 'assistant', content: 'b' }),
      choice({ content: 'c' }, null, 1),
      choice({}, 'stop'),
      choice({}, 'stop', 1),
      choice({ role: 'assistant', content: '' }, null, 2),
      choice({}, 'stop', 2),
    ])
  })

  test("a provider's own members: plain ones in every chunk, lists once, late ones with the next chunk", () => {
    const all = chunks([
      { ...start, extra: { system_fingerprint: 'fp', citations: ['u'] } } as ChatEvent,
      text('a'),
      text('b'),
      { type: 'answer-extra', members: { citations: ['u', 'v'] } },
      end(),
    ])
    expect(all.map((chunk) => [chunk.system_fingerprint, chunk.citations])).toEqual([
      ['fp', ['u']],
      ['fp', undefined],
      ['fp', ['u', 'v']],
    ])
    expect(chunks([start, text('a'), end(), { type: 'answer-extra', members: { late: 1 } }]).at(-1)).toMatchObject({
      choices: [],
      late: 1,
    })
  })
})

describe('unary answers', () => {
  function collected(...events: ChatEvent[]) {
    const encoder = createChatEncoder({ requestId, request: { model: 'asked', stream: false, includeUsage: false } })
    for (const event of events) expect(encoder.encode(event)).toBeUndefined()
    return JSON.parse(encoder.end().toString())
  }

  test('are one completion', () => {
    const logprobs = { content: [1] }
    expect(
      collected(
        { ...start, extra: { system_fingerprint: 'fp' } } as ChatEvent,
        { type: 'reasoning-delta', index: 0, text: 'why' },
        { type: 'text-delta', index: 0, text: 'Hé', logprobs },
        { type: 'text-delta', index: 0, text: 'llo', logprobs: { content: [2] } },
        { type: 'message-extra', index: 0, members: { annotations: [1] } },
        { type: 'message-extra', index: 0, members: { annotations: [2] } },
        { type: 'answer-extra', members: { citations: ['u'] } },
        end('length'),
        usage,
      ),
    ).toEqual({
      id: 'up-1',
      object: 'chat.completion',
      created: 1_600_000_000,
      model: 'up-model',
      system_fingerprint: 'fp',
      citations: ['u'],
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'Héllo',
            refusal: null,
            reasoning_content: 'why',
            annotations: [1, 2],
          },
          logprobs: { content: [1, 2] },
          finish_reason: 'length',
        },
      ],
      usage: wireUsage,
    })
  })

  test('content is null where there are only calls or a refusal, and empty where there is nothing', () => {
    const messageOf = (...events: ChatEvent[]) => collected(start, ...events).choices[0].message
    expect(messageOf(call(0, 'c', 'f'), end('tool_calls')).content).toBeNull()
    expect(messageOf({ type: 'refusal-delta', index: 0, text: 'No.' }, end())).toEqual({
      role: 'assistant',
      content: null,
      refusal: 'No.',
    })
    expect(messageOf(end()).content).toBe('')
    expect(messageOf(text('a'), call(0, 'c', 'f'), end('tool_calls')).content).toBe('a')
  })

  test('calls keep their order and always have arguments that parse, unless they were cut off', () => {
    const callsOf = (reason: 'tool_calls' | 'length') =>
      collected(
        start,
        call(0, 'c0', 'f'),
        call(1, 'c1', 'g'),
        args(1, '{"x"'),
        args(0, ''),
        args(1, ':1}'),
        end(reason),
      ).choices[0].message.tool_calls
    expect(callsOf('tool_calls')).toEqual([
      { id: 'c0', type: 'function', function: { name: 'f', arguments: '{}' } },
      { id: 'c1', type: 'function', function: { name: 'g', arguments: '{"x":1}' } },
    ])
    expect(callsOf('length')[0].function.arguments).toBe('')
  })

  test('choices come in order, whatever order they ended in', () => {
    const { choices } = collected(start, text('b', 1), text('a', 0), end('stop', 1), end('length', 0))
    expect(choices.map((one: { index: number; finish_reason: string }) => [one.index, one.finish_reason])).toEqual([
      [0, 'length'],
      [1, 'stop'],
    ])
  })

  test('what the upstream does not say is ours, unknown usage is left out', () => {
    const unknown: ChatEvent = { type: 'start', id: undefined, model: undefined, createdS: undefined }
    const answer = collected(unknown, text('a'), end())
    expect(answer).toMatchObject({ id: `chatcmpl-${requestId}`, model: 'asked', created: 1_700_000_000 })
    expect('usage' in answer).toBe(false)
  })
})
