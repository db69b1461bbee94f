import { expect, test } from 'vitest'
import type { RequestShaping } from '../routing/declared-configuration.ts'
import { readInferenceRequest } from './read-inference-request.ts'
import { shapedRequest } from './shape-request.ts'

const requestOf = (members: object) =>
  readInferenceRequest(
    'chat',
    Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], ...members })),
  )

const shaped = (members: object, shaping: RequestShaping) => {
  const request = shapedRequest('chat', requestOf(members), shaping)
  const { model: _, messages: _messages, ...rest } = JSON.parse(request.bytes.toString())
  return { request, rest }
}

test('a parameter of the alias holds where the client named none', () => {
  const shaping = { parameters: { temperature: 0.2, reasoning_effort: 'low' } }
  expect(shaped({ temperature: 1 }, shaping).rest).toEqual({ temperature: 1, reasoning_effort: 'low' })
  expect(shaped({}, shaping).rest).toEqual(shaping.parameters)
})

test('a number above its cap is lowered to it, and others are left alone', () => {
  const shaping = { caps: { n: 2, temperature: 1 } }
  const { rest, request } = shaped({ n: 5, temperature: 0.5, top_p: 9 }, shaping)
  expect(rest).toEqual({ n: 2, temperature: 0.5, top_p: 9 })
  expect(request.choices).toBe(2)
  expect(shaped({ temperature: 'hot' }, shaping).rest, 'what is no number the provider refuses').toEqual({
    temperature: 'hot',
  })
})

test('a cap on output tokens holds under both names, and where the client has none', () => {
  const shaping = { caps: { max_tokens: 100 } }
  for (const [given, sent, max] of [
    [{}, { max_tokens: 100 }, 100],
    [{ max_tokens: 50 }, { max_tokens: 50 }, 50],
    [{ max_tokens: 500 }, { max_tokens: 100 }, 100],
    [{ max_completion_tokens: 500 }, { max_completion_tokens: 100 }, 100],
    [{ max_tokens: null }, { max_tokens: 100 }, 100],
    [{ max_tokens: '500' }, { max_tokens: 100 }, 100],
    [{ max_completion_tokens: null }, { max_completion_tokens: 100 }, 100],
    [{ max_tokens: 50, max_completion_tokens: null }, { max_tokens: 50, max_completion_tokens: null }, 50],
  ] as const) {
    const { rest, request } = shaped(given, shaping)
    expect(rest).toEqual(sent)
    expect(request.outputTokensMax).toBe(max)
  }
  expect(shaped({ max_tokens: 5 }, { parameters: { max_completion_tokens: 9 } }).rest).toEqual({ max_tokens: 5 })
  expect(shaped({}, { ...shaping, parameters: { max_completion_tokens: 900 } }).rest).toEqual({
    max_completion_tokens: 100,
  })
})

test('what needs no change is the very same request', () => {
  const request = requestOf({ max_tokens: 5, temperature: 0 })
  expect(shapedRequest('chat', request, { parameters: { temperature: 1 }, caps: { max_tokens: 10 } })).toBe(request)
})

test('of two caps on output tokens the lower one holds', () => {
  const caps = { max_tokens: 100, max_completion_tokens: 50 }
  expect(shaped({ max_tokens: 500 }, { caps }).rest).toEqual({ max_tokens: 50 })
  expect(shaped({ max_tokens: 500, n: 1 }, { caps: { max_completion_tokens: 50, max_tokens: 100 } }).rest).toEqual({
    max_tokens: 50,
    n: 1,
  })
})

test('null names nothing: the parameter of the alias takes its place', () => {
  expect(shaped({ temperature: null, stop: 'x' }, { parameters: { temperature: 0.2, stop: 'y' } }).rest).toEqual({
    temperature: 0.2,
    stop: 'x',
  })
})

test('embeddings have no output tokens to be capped', () => {
  const request = readInferenceRequest('embeddings', Buffer.from('{"model":"m","input":"Hi"}'))
  expect(shapedRequest('embeddings', request, { caps: { max_tokens: 10 } })).toBe(request)
})
