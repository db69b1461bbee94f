import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ChatEvent } from '../../chat/event.ts'
import { GatewayError } from '../../errors.ts'
import { Cancellation } from '../../inference/cancellation.ts'
import { readInferenceRequest } from '../../inference/read-inference-request.ts'
import { createDemoProvider } from './provider.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

function ask(request: object, speed = { tokensPerSecond: 0, latencyMs: 0 }, operation: 'chat' | 'embeddings' = 'chat') {
  const provider = createDemoProvider({ name: 'demo', totalTimeoutMs: 60_000, ...speed })
  const events: ChatEvent[] = []
  const reader = { keepsUp: true, resume: (): void => {} }
  const cancellation = new Cancellation()
  const result = provider.exchange(
    {
      requestId: '018bcfe5-6800-7000-8000-000000000000',
      operation,
      model: 'demo-chat',
      request: readInferenceRequest(operation, Buffer.from(JSON.stringify({ model: 'demo-chat', ...request }))),
      cancellation,
      answerForm: 'any',
      outputTokensCap: undefined,
      modelOutputTokensMax: undefined,
      remainingMs: 60_000,
    },
    {
      bytes: () => true,
      event: (event) => {
        events.push(event)
        return reader.keepsUp
      },
      follow: () => {},
      onceDrained: (resume) => {
        reader.resume = resume
      },
    },
  )
  const text = () => events.map((event) => (event.type === 'text-delta' ? event.text : '')).join('')
  const args = () => events.map((event) => (event.type === 'tool-call-delta' ? event.arguments : '')).join('')
  return { result, events, reader, cancellation, text, args }
}
const say = (content: unknown, more: object = {}) => ({ messages: [{ role: 'user', content }], ...more })

describe('answers', () => {
  test('say that they are a demo, repeat the question, and count their tokens', async () => {
    const { result, events, text } = ask(say('What  is\nlove?'))
    expect(await result).toMatchObject({
      failure: undefined,
      finish: 'stop',
      outputBytes: Buffer.byteLength(text()),
      tail: undefined,
    })
    expect(text()).toBe(
      'This is the built-in demo provider. It answers by itself and asks no model. You asked: "What is love?". ' +
        'Configure a real provider to get real answers.',
    )
    const pieces = events.filter(({ type }) => type === 'text-delta').length
    expect((await result).usage).toMatchObject({ outputTokens: pieces, units: { output: pieces } })
    expect((await result).usage?.inputTokens).toBeGreaterThan(0)
    expect(events[0]?.type).toBe('start')
    expect(events.slice(-2).map(({ type }) => type)).toEqual(['choice-end', 'usage'])
  })

  test('long and structured questions are quoted briefly', async () => {
    const parts = [
      { type: 'text', text: 'x'.repeat(1_000) },
      { type: 'image_url', image_url: { url: 'data:' } },
    ]
    const { result, text } = ask(say(parts))
    await result
    expect(text()).toContain(`"${'x'.repeat(200)}…"`)
  })

  test('end at the output limit', async () => {
    const { result, events } = ask(say('Hi', { max_tokens: 3 }))
    expect(await result).toMatchObject({ finish: 'length', usage: { outputTokens: 3 } })
    expect(events.filter(({ type }) => type === 'text-delta')).toHaveLength(3)
  })

  test('come as often as asked for', async () => {
    const { result, events } = ask(say('Hi', { n: 3, max_tokens: 2 }))
    expect((await result).usage?.outputTokens).toBe(6)
    expect(events.flatMap((event) => (event.type === 'choice-end' ? [event.index] : []))).toEqual([0, 1, 2])
  })

  test('are JSON where it is wanted', async () => {
    const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
    const bySchema = ask(say('Hi', { response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } }))
    await bySchema.result
    expect(JSON.parse(bySchema.text())).toEqual({ city: 'demo' })
    const plain = ask(say('Say "hi there", please', { response_format: { type: 'json_object' } }))
    await plain.result
    expect(JSON.parse(plain.text()).message).toContain('Say "hi there", please')
  })
})

describe('tools', () => {
  const tool = (name: string) => ({
    type: 'function',
    function: {
      name,
      parameters: {
        type: 'object',
        properties: { place: { $ref: '#/$defs/place' }, days: { type: 'integer', minimum: 2 }, unused: {} },
        required: ['place', 'days'],
        $defs: { place: { enum: ['Berlin', 'Paris'] } },
      },
    },
  })

  test('are called when a call is required', async () => {
    const { result, events, args } = ask(say('Hi', { tools: [tool('f'), tool('g')], tool_choice: 'required' }))
    expect(await result).toMatchObject({ finish: 'tool_calls', outputBytes: Buffer.byteLength(args()) })
    expect(events[1]).toMatchObject({ type: 'tool-call-start', index: 0, toolIndex: 0, name: 'f' })
    expect(JSON.parse(args())).toEqual({ place: 'Berlin', days: 2 })
    expect(events.some(({ type }) => type === 'text-delta')).toBe(false)
  })

  test('by name, when one is named', async () => {
    const choice = { type: 'function', function: { name: 'g' } }
    const { result, events } = ask(say('Hi', { tools: [tool('f'), tool('g')], tool_choice: choice }))
    await result
    expect(events[1]).toMatchObject({ type: 'tool-call-start', name: 'g' })
  })

  test('are left alone otherwise, and what they said is repeated', async () => {
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'tool', tool_call_id: 'c', content: '21 degrees' },
    ]
    const { result, text } = ask({ messages, tools: [tool('f')], tool_choice: 'auto' })
    expect((await result).finish).toBe('stop')
    expect(text()).toContain('The tool said: "21 degrees".')
  })

  test('a schema that refers to itself for ever still gets arguments', async () => {
    const endless = { type: 'object', properties: { next: { $ref: '#' } }, required: ['next'] }
    const tools = [{ type: 'function', function: { name: 'f', parameters: endless } }]
    const { result, args } = ask(say('Hi', { tools, tool_choice: 'required' }))
    await result
    expect(JSON.parse(args())).toHaveProperty('next.next.next')
  })
})

describe('pace', () => {
  test('the first token comes after the latency, the others at the given speed', async () => {
    const { result, events } = ask(say('Hi', { max_tokens: 4 }), { tokensPerSecond: 10, latencyMs: 500 })
    const written = () => events.filter(({ type }) => type === 'text-delta').length
    await vi.advanceTimersByTimeAsync(499)
    expect(events).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(written()).toBe(1)
    await vi.advanceTimersByTimeAsync(199)
    expect(written()).toBe(2)
    await vi.advanceTimersByTimeAsync(101)
    expect(written()).toBe(4)
    expect((await result).failure).toBeUndefined()
  })

  test('a slow reader is waited for', async () => {
    const { result, events, reader } = ask(say('Hi', { max_tokens: 3 }))
    reader.keepsUp = false
    await vi.advanceTimersByTimeAsync(1_000)
    const before = events.length
    reader.keepsUp = true
    reader.resume()
    await result
    expect(before).toBeLessThan(events.length)
    expect(events.filter(({ type }) => type === 'text-delta')).toHaveLength(3)
  })
})

describe('cancelling', () => {
  const left = new GatewayError('client_closed_request', 'The client left.')

  test.each([
    ['before the first token', 100, 0],
    ['between two tokens', 1_150, 2],
  ])('%s ends it at once', async (_name, afterMs, tokens) => {
    const { result, events, cancellation } = ask(say('Hi'), { tokensPerSecond: 10, latencyMs: 1_000 })
    await vi.advanceTimersByTimeAsync(afterMs)
    cancellation.cancel(left)
    expect(await result).toMatchObject({
      failure: { error: left, kind: 'cancelled', retryable: false },
      usage: undefined,
    })
    expect((await result).outputBytes).toBe(tokens === 0 ? 0 : 'This is'.length)
    expect(events.filter(({ type }) => type === 'text-delta')).toHaveLength(tokens)
  })

  test('while the reader is slow ends it, too, and a late drain changes nothing', async () => {
    const { result, events, reader, cancellation } = ask(say('Hi'))
    reader.keepsUp = false
    await vi.advanceTimersByTimeAsync(1)
    cancellation.cancel(new GatewayError('provider_timeout', 'Too late.'))
    expect((await result).failure?.kind).toBe('timeout')
    const count = events.length
    reader.resume()
    expect(events).toHaveLength(count)
  })
})

describe('embeddings', () => {
  const vectors = async (input: unknown, more: object = {}) => {
    const { result } = ask({ input, ...more }, undefined, 'embeddings')
    const { tail, usage, failure } = await result
    expect(failure).toBeUndefined()
    return { ...JSON.parse(String(tail)), counted: usage }
  }
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, at) => sum + value * (b[at] as number), 0)

  test('are the same for the same text, of length 1, and near for texts that share words', async () => {
    const { data, counted, usage } = await vectors(['the red cat', 'the red cat', 'the red dog', 'quantum loans 7'])
    const [a, b, c, d] = data.map((one: { embedding: number[] }) => one.embedding)
    expect(a).toEqual(b)
    expect(a).toHaveLength(256)
    expect(dot(a, a)).toBeCloseTo(1)
    expect(dot(a, c)).toBeGreaterThan(dot(a, d) + 0.2)
    expect(usage).toEqual({ prompt_tokens: counted.inputTokens, total_tokens: counted.inputTokens })
  })

  test('take the size and encoding that is asked for', async () => {
    const float = await vectors('x', { dimensions: 8 })
    const base64 = await vectors('x', { dimensions: 8, encoding_format: 'base64' })
    const bytes = Buffer.from(base64.data[0].embedding, 'base64')
    expect(Array.from({ length: 8 }, (_, at) => bytes.readFloatLE(4 * at))).toEqual(float.data[0].embedding)
  })

  test('take token ids, one list or several', async () => {
    expect((await vectors([1, 2, 3])).data).toHaveLength(1)
    expect((await vectors([[1, 2], [3]])).data).toHaveLength(2)
  })
})
