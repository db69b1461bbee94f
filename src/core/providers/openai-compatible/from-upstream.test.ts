import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ChatEvent } from '../../chat/event.ts'
import { createCompletionStreamDecoder, decodeCompletion } from './from-upstream.ts'

const newCallId = (): (() => string) => {
  let made = 0
  return () => `call_made${made++}`
}

const frame = (data: unknown): string => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
const chunk = (choice: object, more: object = {}): object => ({
  id: 'c-1',
  object: 'chat.completion.chunk',
  created: 1_700_000_000,
  model: 'm-1',
  choices: [{ index: 0, ...choice }],
  ...more,
})
const delta = (members: object, more: object = {}): object => chunk({ delta: members, finish_reason: null, ...more })
const finish = (reason: string | null = 'stop'): object => chunk({ delta: {}, finish_reason: reason })
const done = '[DONE]'

function decode(...frames: unknown[]) {
  const decoder = createCompletionStreamDecoder({ newCallId: newCallId() })
  const { events, failure } = decoder.push(Buffer.from(frames.map(frame).join('')))
  const last = failure ? { events: [], failure } : decoder.end()
  return { events: [...events, ...last.events], failure: failure ?? last.failure, facts: decoder.facts }
}
const unary = (body: unknown) =>
  decodeCompletion(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), { newCallId: newCallId() })
const message = (members: object, more: object = {}): object => ({
  id: 'c-1',
  object: 'chat.completion',
  created: 1_700_000_000,
  model: 'm-1',
  choices: [{ index: 0, message: { role: 'assistant', ...members }, finish_reason: 'stop' }],
  ...more,
})

const start: ChatEvent = { type: 'start', id: 'c-1', model: 'm-1', createdS: 1_700_000_000 }
const text = (value: string, index = 0): ChatEvent => ({ type: 'text-delta', index, text: value })
const reasoning = (value: string): ChatEvent => ({ type: 'reasoning-delta', index: 0, text: value })
const end = (reason: string, index = 0) => ({ type: 'choice-end', index, reason })
const callStart = (toolIndex: number, id: string, name: string) => ({
  type: 'tool-call-start',
  index: 0,
  toolIndex,
  id,
  name,
})
const callText = (toolIndex: number, args: string) => ({
  type: 'tool-call-delta',
  index: 0,
  toolIndex,
  arguments: args,
})

describe('a clean stream', () => {
  test('becomes start, text, end and usage', () => {
    const reported = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, cost: 0.1 }
    const { events, failure, facts } = decode(
      delta({ role: 'assistant', content: '' }),
      delta({ content: 'Hé' }),
      delta({ content: 'llo' }),
      finish('length'),
      chunk({}, { choices: [], usage: reported }),
      done,
    )
    expect(failure).toBeUndefined()
    const usage = {
      units: { input: 3, output: 2 },
      inputTokens: 3,
      outputTokens: 2,
      totalTokens: 5,
      serviceTier: 'default',
    }
    expect(events).toEqual([start, text('Hé'), text('llo'), end('length'), { type: 'usage', usage, reported }])
    expect(facts).toEqual({
      usage,
      implausibleUsage: undefined,
      finish: 'length',
      outputBytes: 6,
      providerResponseId: 'c-1',
    })
  })

  test('gives the same events wherever its bytes are cut', () => {
    const bytes = Buffer.from(
      [
        delta({ role: 'assistant', content: '日本' }),
        delta({ tool_calls: [{ index: 0, id: 'a', function: { name: 'f', arguments: '{"é":' } }] }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '1}' } }] }),
        finish('tool_calls'),
        done,
      ]
        .map(frame)
        .join(''),
    )
    const decodeIn = (chunks: Buffer[]) => {
      const decoder = createCompletionStreamDecoder()
      return [...chunks.flatMap((piece) => decoder.push(piece).events), ...decoder.end().events]
    }
    const whole = decodeIn([bytes])
    expect(whole).toHaveLength(6)
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length]
        const chunks = places.slice(1).map((to, at) => bytes.subarray(places[at], to))
        expect(decodeIn(chunks)).toEqual(whole)
      }),
    )
  })
})

describe('heads', () => {
  test('the first id, model and time count, empty ones do not', () => {
    const { events } = decode(
      { id: '', object: '', model: '', choices: [], created: 0 },
      { id: 'c-1', model: 'm-1', created: 1_700_000_000_500, choices: [{ delta: { content: 'a' } }] },
      { id: 'c-2', model: 'm-2', choices: [{ delta: { content: 'b' }, finish_reason: 'stop' }] },
    )
    expect(events).toEqual([start, text('a'), text('b'), end('stop')])
  })

  test('what is missing stays unknown', () => {
    const { events } = decode({ choices: [{ delta: { content: 'a' } }] }, done)
    expect(events[0]).toEqual({ type: 'start', id: undefined, model: undefined, createdS: undefined })
  })

  test("a provider's own members come with the start, or late, and only once", () => {
    const own = { system_fingerprint: 'fp', provider: 'Google', x_groq: { id: 'r' }, obfuscation: 'xx', none: null }
    const { events } = decode(
      chunk({ delta: { content: 'a' } }, { ...own, citations: ['u1'] }),
      chunk({ delta: { content: 'b' } }, { ...own, citations: ['u1'], search_results: [1] }),
      chunk({ delta: {}, finish_reason: 'stop' }, { ...own, citations: ['u1', 'u2'], search_results: [1] }),
      done,
    )
    expect(events).toEqual([
      { ...start, extra: { system_fingerprint: 'fp', provider: 'Google', citations: ['u1'] } },
      text('a'),
      text('b'),
      { type: 'answer-extra', members: { search_results: [1], citations: ['u1', 'u2'] } },
      end('stop'),
    ])
  })
})

describe('how a stream ends', () => {
  test('a finish reason without [DONE] will do', () => {
    expect(decode(delta({ content: 'a' }), finish()).failure).toBeUndefined()
  })

  test('so does [DONE] without a finish reason: it is derived', () => {
    expect(decode(delta({ content: 'a' }), done).events.at(-1)).toEqual(end('stop'))
    const call = { id: 'x', function: { name: 'f', arguments: '{}' } }
    expect(decode(delta({ tool_calls: [call] }), finish(''), done).events.at(-1)).toEqual(end('tool_calls'))
  })

  test('neither is a cut, and nothing is made up', () => {
    const { events, failure } = decode(delta({ content: 'a' }))
    expect(failure).toMatchObject({ kind: 'cut', error: { code: 'provider_bad_response' } })
    expect(events).toEqual([start, text('a')])
  })

  test('one choice of two without an end is a cut', () => {
    expect(
      decode(chunk({ delta: { content: 'a' }, finish_reason: 'stop' }), chunk({ index: 1, delta: { content: 'b' } }))
        .failure?.kind,
    ).toBe('cut')
  })

  test('half a frame at the end is a cut, too', () => {
    const decoder = createCompletionStreamDecoder()
    decoder.push(Buffer.from(`${frame(delta({ content: 'a' }))}data: {"choices":[{"delta":{"cont`))
    expect(decoder.end().failure?.kind).toBe('cut')
  })

  test('a last frame without its blank line counts', () => {
    const decoder = createCompletionStreamDecoder()
    decoder.push(Buffer.from(`${frame(delta({ content: 'a' }))}data: ${JSON.stringify(finish())}`))
    expect(decoder.end()).toMatchObject({ events: [end('stop')], failure: undefined })
  })

  test('the last finish reason counts: some name one in every chunk, or before the call', () => {
    const { events } = decode(
      chunk({ delta: { content: 'a' }, finish_reason: 'stop' }),
      chunk({ delta: { tool_calls: [{ function: { name: 'f', arguments: '{}' } }] }, finish_reason: 'stop' }),
      done,
    )
    expect(events.at(-1)).toEqual(end('tool_calls'))
    expect(events.filter(({ type }) => type === 'choice-end')).toHaveLength(1)
  })

  test('a call that was cut off ends for its length', () => {
    const call = { id: 'x', function: { name: 'f', arguments: '{"a":' } }
    const { events } = decode(delta({ tool_calls: [call] }), finish('length'), done)
    expect(events.slice(1)).toEqual([callStart(0, 'x', 'f'), callText(0, '{"a":'), end('length')])
  })

  test.each([
    ['model_length', 'length'],
    ['MAX_TOKENS', 'length'],
    ['eos', 'stop'],
    ['function_call', 'tool_calls'],
    ['content_filter', 'content_filter'],
    ['SAFETY', 'content_filter'],
  ])('%s ends it with %s', (reason, expected) => {
    expect(decode(delta({ content: 'a' }), finish(reason)).events.at(-1)).toEqual(end(expected))
  })

  test.each(['error', 'insufficient_system_resource'])('%s is no end but a failure', (reason) => {
    expect(decode(delta({ content: 'a' }), finish(reason)).failure).toMatchObject({ kind: 'in-stream' })
  })

  test('what comes after [DONE] is ignored', () => {
    expect(decode(delta({ content: 'a' }), done, delta({ content: 'b' }), 'rubbish').events).toEqual([
      start,
      text('a'),
      end('stop'),
    ])
  })
})

describe('text and reasoning', () => {
  test.each([
    ['reasoning_content', { reasoning_content: 'why' }],
    ['reasoning', { reasoning: 'why' }],
    ['both, saying the same', { reasoning: 'why', reasoning_content: 'why' }],
    ['a thinking part', { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'why' }] }] }],
  ])('reasoning in %s', (_name, members) => {
    expect(decode(delta({ content: '', ...members }), finish()).events).toEqual([start, reasoning('why'), end('stop')])
  })

  test('reasoning_details give text and are passed on for the next turn', () => {
    const details = [
      { type: 'reasoning.summary', summary: 'wh' },
      { type: 'reasoning.text', text: 'y', signature: 's' },
    ]
    expect(decode(delta({ content: '', reasoning: null, reasoning_details: details }), finish()).events).toEqual([
      start,
      reasoning('why'),
      { type: 'message-extra', index: 0, members: { reasoning_details: details } },
      end('stop'),
    ])
  })

  test('parts of content keep their order', () => {
    const content = [{ type: 'text', text: 'a' }, { type: 'thinking', thinking: 'b' }, { type: 'file' }, 'c']
    expect(decode(delta({ content }), finish()).events).toEqual([
      start,
      text('a'),
      reasoning('b'),
      text('c'),
      end('stop'),
    ])
  })

  test('a message in place of deltas, and a message beside them', () => {
    expect(
      decode(chunk({ message: { content: 'a' } }), chunk({ message: { content: 'b' }, finish_reason: 'stop' })).events,
    ).toEqual([start, text('a'), text('b'), end('stop')])
    const last = chunk({ message: { content: 'ab' }, finish_reason: 'stop' })
    expect(decode(delta({ content: 'a' }), delta({ content: 'b' }), last).events).toEqual([
      start,
      text('a'),
      text('b'),
      end('stop'),
    ])
  })

  test('refusals, log probabilities and annotations survive', () => {
    const logprobs = { content: [{ token: 'a', logprob: -1 }] }
    const annotations = [{ type: 'url_citation' }]
    expect(
      decode(delta({ content: 'a' }, { logprobs }), delta({ refusal: 'No.', annotations }), finish()).events,
    ).toEqual([
      start,
      { ...text('a'), logprobs },
      { type: 'refusal-delta', index: 0, text: 'No.' },
      { type: 'message-extra', index: 0, members: { annotations } },
      end('stop'),
    ])
  })

  test('several choices keep apart', () => {
    const { events } = decode(
      {
        ...delta({}),
        choices: [
          { index: 1, delta: { content: 'b' } },
          { index: 0, delta: { content: 'a' } },
        ],
      },
      { ...delta({}), choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
      { ...delta({}), choices: [{ index: 1, delta: {}, finish_reason: 'length' }] },
    )
    expect(events).toEqual([start, text('b', 1), text('a', 0), end('stop', 0), end('length', 1)])
  })
})

describe('tool calls', () => {
  test('one that never gets a name is no answer', () => {
    const { failure } = decode(delta({ tool_calls: [{ index: 0, function: { arguments: '{}' } }] }), finish())
    expect(failure?.kind).toBe('malformed')
  })

  test('the form before tools is passed on, and ends for its call', () => {
    const function_call = { name: 'f', arguments: '{}' }
    const { events, facts } = decode(delta({ content: null, function_call }), finish())
    expect(events.slice(1)).toEqual([
      { type: 'message-extra', index: 0, members: { function_call } },
      end('tool_calls'),
    ])
    expect(facts.outputBytes).toBe(2)
  })
})

describe('usage', () => {
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }

  test.each([
    ['on the finish chunk', [chunk({ delta: {}, finish_reason: 'stop' }, { usage })]],
    ['on a chunk without choices', [finish(), { id: 'c-1', usage }]],
    ['on one with choices: null', [finish(), { id: 'c-1', choices: null, usage }]],
    ['in x_groq', [chunk({ delta: {}, finish_reason: 'stop' }, { x_groq: { usage } })]],
    ['in the choice', [chunk({ delta: {}, finish_reason: 'stop', usage })]],
    ['after an empty delta', [finish(), chunk({ delta: {} }, { usage })]],
    [
      'growing',
      [
        chunk({ delta: {} }, { usage: { ...usage, completion_tokens: 1 } }),
        chunk({ delta: {}, finish_reason: 'stop' }, { usage }),
      ],
    ],
  ])('%s', (_name, frames) => {
    const { events, facts } = decode(delta({ content: 'a' }), ...frames, done)
    expect(facts.usage?.totalTokens).toBe(5)
    expect(events.slice(-2)).toMatchObject([end('stop'), { type: 'usage', usage: { totalTokens: 5 } }])
  })

  test('nonsense is kept aside, and shown to nobody', () => {
    const nonsense = { prompt_tokens: -3, completion_tokens: 2 }
    const { events, facts } = decode(
      delta({ content: 'a' }),
      chunk({ delta: {}, finish_reason: 'stop' }, { usage: nonsense }),
    )
    expect(facts).toMatchObject({ usage: undefined, implausibleUsage: nonsense })
    expect(events.at(-1)).toEqual(end('stop'))
  })
})

describe('failures in a stream of status 200', () => {
  test.each([
    ['an error object', { error: { message: 'Why.', code: 429 } }, 'provider_rate_limited'],
    ['an error string', { error: 'Why.' }, 'provider_error'],
    ['an array around it', [{ error: { message: 'Why.', code: 503 } }], 'provider_error'],
    ['an error beside choices', chunk({ delta: {} }, { error: { message: 'Why.', code: 400 } }), 'invalid_body'],
    [
      'an error in a choice',
      chunk({ delta: {}, error: { message: 'Why.', code: 502 }, finish_reason: 'error' }),
      'provider_error',
    ],
    ["Groq's", { x_groq: { error: 'over capacity' }, choices: [] }, 'provider_error'],
    ['no envelope', { object: 'error', message: 'Why.', type: 'BadRequestError', code: 400 }, 'invalid_body'],
  ])('%s', (_name, frames, code) => {
    const { events, failure } = decode(delta({ content: 'a' }), frames, finish(), done)
    expect(failure).toMatchObject({ kind: 'in-stream', error: { code } })
    expect(events).toEqual([start, text('a')])
  })

  test('an event named error', () => {
    const decoder = createCompletionStreamDecoder()
    const { failure } = decoder.push(Buffer.from('event: error\ndata: {"message":"Why.","code":429}\n\n'))
    expect(failure?.error.code).toBe('provider_rate_limited')
  })

  test('error: null is none', () => {
    expect(decode(chunk({ delta: { content: 'a' }, finish_reason: 'stop' }, { error: null })).failure).toBeUndefined()
  })

  test('the credential is redacted', () => {
    const decoder = createCompletionStreamDecoder({ credential: 'sk-1' })
    const { failure } = decoder.push(Buffer.from(frame({ error: { message: 'Not sk-1.', code: 400 } })))
    expect(failure?.error.message).toBe('Not [redacted].')
  })

  test.each([
    ['nothing', []],
    ['only [DONE]', [done]],
    ['usage without choices', [{ usage: { prompt_tokens: 1 }, choices: [] }, done]],
    ['a role and no more', [delta({ role: 'assistant', content: '' }), done]],
    ['HTML', ['<html>']],
    ['a number', [7]],
    ['choices that are none', [{ choices: ['x'] }]],
  ])('%s is no answer', (_name, frames) => {
    expect(decode(...frames).failure).toMatchObject({ error: { code: 'provider_bad_response' } })
  })

  test('a line without end is refused', () => {
    const decoder = createCompletionStreamDecoder()
    expect(decoder.push(Buffer.alloc(1024 * 1024 + 1, 'x')).failure?.kind).toBe('malformed')
  })
})

describe('unary answers', () => {
  test('come as the same events, in one burst', () => {
    const call = { id: 'a', type: null, function: { name: 'f', arguments: '{"x":1}' } }
    const { events, failure, facts } = unary(
      message(
        { content: 'Hi', reasoning: 'why', tool_calls: [call, { function: { name: 'f', arguments: '' } }] },
        { usage: { prompt_tokens: 3, completion_tokens: 2 }, service_tier: 'flex' },
      ),
    )
    expect(failure).toBeUndefined()
    expect(events).toMatchObject([
      { ...start, extra: { service_tier: 'flex' } },
      reasoning('why'),
      text('Hi'),
      callStart(0, 'a', 'f'),
      callText(0, '{"x":1}'),
      callStart(1, 'call_made0', 'f'),
      end('tool_calls'),
      { type: 'usage', usage: { serviceTier: 'flex' } },
    ])
    expect(facts).toMatchObject({ outputBytes: 12, finish: 'tool_calls', providerResponseId: 'c-1' })
  })

  test('a missing finish reason is derived', () => {
    expect(unary({ choices: [{ message: { content: 'a' } }] }).events.at(-1)).toEqual(end('stop'))
  })

  test.each([
    ['an empty body', ''],
    ['HTML', '<!doctype html><p>Sorry'],
    ['half of one', '{"id":"c-1","choices":[{"message":{"content":"a'],
    ['text', 'Internal error'],
    ['null', 'null'],
    ['no choices', '{"id":"c-1"}'],
    ['choices: null', '{"choices":null}'],
    ['an empty list of choices', '{"choices":[]}'],
    ['a choice without a message', '{"choices":[{"index":0}]}'],
  ])('%s is no answer', (_name, body) => {
    expect(unary(body)).toMatchObject({
      events: [],
      failure: {
        kind: 'malformed',
        billing: 'maybe_billed',
        retryable: true,
        error: { code: 'provider_bad_response' },
      },
    })
  })

  test.each([
    ['an error', { error: { message: 'Why.', code: 429 } }],
    ['in an array', [{ error: { message: 'Why.', code: 429 } }]],
    ['in the choice', { choices: [{ error: { message: 'Why.', code: 429 }, finish_reason: 'error' }] }],
  ])('%s of status 200 is an error', (_name, body) => {
    expect(unary(body).failure).toMatchObject({
      kind: 'in-stream',
      error: { code: 'provider_rate_limited', message: 'Why.' },
    })
  })
})
