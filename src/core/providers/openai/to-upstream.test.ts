import { expect, test } from 'vitest'
import { readInferenceRequest } from '../../inference/read-inference-request.ts'
import { type RequestQuirks, toUpstreamBody } from './to-upstream.ts'

const sent = (body: string, model: string, quirks: RequestQuirks = {}): string =>
  toUpstreamBody(readInferenceRequest('chat', Buffer.from(body)), model, quirks).toString('utf8')

test('a request that needs no change goes on as the very same bytes', () => {
  const request = readInferenceRequest(
    'chat',
    Buffer.from('{ "model": "m", "messages": [{"role":"user","content":"é"}] }'),
  )
  expect(toUpstreamBody(request, 'm')).toBe(request.bytes)
})

test('only the model name changes, unknown members and white space stay', () => {
  expect(sent('{"x_new" : [1, 2.50],\n"model" : "smart", "messages":[{"role":"user","content":"hi"}]}', 'gpt-4o')).toBe(
    '{"x_new" : [1, 2.50],\n"model" : "gpt-4o", "messages":[{"role":"user","content":"hi"}]}',
  )
})

test('a stream asks for usage although the client did not', () => {
  expect(sent('{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}', 'm')).toBe(
    '{"stream_options":{"include_usage":true},"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}',
  )
})

test('other stream options survive, and an explicit no is turned into a yes upstream', () => {
  expect(
    sent(
      '{"stream_options":{"include_usage":false,"x":1},"model":"a","stream":true,"messages":[{"role":"user"}]}',
      'b',
    ),
  ).toBe('{"stream_options":{"include_usage":true,"x":1},"model":"b","stream":true,"messages":[{"role":"user"}]}')
})

test('a stream that asked for usage itself is left alone', () => {
  const body = '{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user"}]}'
  expect(sent(body, 'm')).toBe(body)
})

test('a peer that refuses stream options is not sent any', () => {
  const body = '{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user"}]}'
  const json = JSON.parse(sent(body, 'm', { refusesStreamOptions: true }))
  expect(json).toEqual({ model: 'm', stream: true, stream_options: null, messages: [{ role: 'user' }] })
  expect(sent('{"model":"m","stream":true,"messages":[{"role":"user"}]}', 'm', { refusesStreamOptions: true })).toBe(
    '{"model":"m","stream":true,"messages":[{"role":"user"}]}',
  )
})

test('the output cap is renamed for a peer that knows it by its old name only', () => {
  const body = '{ "max_completion_tokens" : 77 , "model":"m","messages":[{"role":"user","content":"a:\\"b"}]}'
  expect(JSON.parse(sent(body, 'm', { outputCapMember: 'max_tokens' }))).toEqual({
    max_tokens: 77,
    model: 'm',
    messages: [{ role: 'user', content: 'a:"b' }],
  })
})

test('a cap that the client did not name is sent under the name the peer knows, and one that is null is filled in', () => {
  const capped = (body: string, quirks: RequestQuirks = {}): unknown =>
    JSON.parse(toUpstreamBody(readInferenceRequest('chat', Buffer.from(body)), 'm', quirks, 500).toString('utf8'))
  const base = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
  expect(capped(JSON.stringify(base))).toEqual({ ...base, max_completion_tokens: 500 })
  expect(capped(JSON.stringify(base), { outputCapMember: 'max_tokens' })).toEqual({ ...base, max_tokens: 500 })
  expect(capped(JSON.stringify({ ...base, max_completion_tokens: null }))).toEqual({
    ...base,
    max_completion_tokens: 500,
  })
  expect(capped(JSON.stringify({ ...base, stream: true }))).toEqual({
    ...base,
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: 500,
  })
})
