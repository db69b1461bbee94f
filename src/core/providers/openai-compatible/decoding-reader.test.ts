import { describe, expect, test } from 'vitest'
import type { ChatEvent } from '../../chat/event.ts'
import { readInferenceRequest } from '../../inference/read-inference-request.ts'
import { createDecodingReader } from './decoding-reader.ts'

function readerFor(operation: 'chat' | 'embeddings', request: object, keepsUp = true) {
  const events: ChatEvent[] = []
  const output = {
    bytes: () => true,
    event: (event: ChatEvent) => {
      events.push(event)
      return keepsUp
    },
    onceDrained: () => {},
    follow: () => {},
  }
  const call = { operation, model: 'm', request: readInferenceRequest(operation, Buffer.from(JSON.stringify(request))) }
  return { reader: createDecodingReader(call, output, 'sk-1'), events }
}
const chat = (stream: boolean) => ({ model: 'm', stream, messages: [{ role: 'user', content: 'Hi' }] })
const completion = '{"id":"c-1","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
const frame = 'data: {"id":"c-1","choices":[{"delta":{"content":"Hi"}}]}\n\n'

describe('streams', () => {
  test('events are passed on as they come', () => {
    const { reader, events } = readerFor('chat', chat(true))
    expect(reader.push(Buffer.from(frame))).toBeUndefined()
    expect(events.map(({ type }) => type)).toEqual(['start', 'text-delta'])
    expect(reader.push(Buffer.from('data: [DONE]\n\n'))).toBeUndefined()
    expect(reader.finish()).toEqual({ failure: undefined, tail: undefined })
    expect(events.at(-1)?.type).toBe('choice-end')
    expect(reader.facts).toMatchObject({ outputBytes: 2, providerResponseId: 'c-1' })
  })

  test('what came before a failure is passed on, too', () => {
    const { reader, events } = readerFor('chat', chat(true))
    expect(reader.push(Buffer.from(`${frame}data: {"error":"sk-1 is full"}\n\n`))?.kind).toBe('in-stream')
    expect(events).toHaveLength(2)
  })

  test('a slow reader asks for a pause, a chunk without events does not', () => {
    const { reader } = readerFor('chat', chat(true), false)
    reader.push(Buffer.from(frame))
    expect(reader.keepsUp).toBe(false)
    reader.push(Buffer.from(': comment\n\n'))
    expect(reader.keepsUp).toBe(true)
  })

  test('a stream without an end is a cut', () => {
    const { reader } = readerFor('chat', chat(true))
    reader.push(Buffer.from(frame))
    expect(reader.finish().failure?.kind).toBe('cut')
  })
})

describe('unary answers', () => {
  test('nothing is passed on before all of it is there', () => {
    const { reader, events } = readerFor('chat', chat(false))
    for (const byte of Buffer.from(completion)) reader.push(Buffer.of(byte))
    expect(events).toEqual([])
    expect(reader.finish().failure).toBeUndefined()
    expect(events.map(({ type }) => type)).toEqual(['start', 'text-delta', 'choice-end'])
    expect(reader.facts.finish).toBe('stop')
  })

  test('half of one passes nothing on', () => {
    const { reader, events } = readerFor('chat', chat(false))
    reader.push(Buffer.from(completion.slice(0, -2)))
    expect(reader.finish().failure?.kind).toBe('malformed')
    expect(events).toEqual([])
  })

  test('more than 32 MiB is refused while it comes', () => {
    const { reader } = readerFor('chat', chat(false))
    const mebibyte = Buffer.alloc(1024 * 1024)
    for (let sent = 0; sent < 32; sent++) expect(reader.push(mebibyte)).toBeUndefined()
    expect(reader.push(Buffer.of(1))?.kind).toBe('malformed')
  })

  test('embeddings come as the bytes of their answer, checked against the inputs', () => {
    const body = Buffer.from('{"data":[{"embedding":[1,-2]}],"usage":{"prompt_tokens":3,"total_tokens":3}}')
    const asked = readerFor('embeddings', { model: 'm', input: ['a'], encoding_format: 'base64' })
    asked.reader.push(body)
    expect(JSON.parse(String(asked.reader.finish().tail)).data[0].embedding).toBe('AACAPwAAAMA=')
    expect(asked.reader.facts.usage?.inputTokens).toBe(3)
    const two = readerFor('embeddings', { model: 'm', input: ['a', 'b'] })
    two.reader.push(body)
    expect(two.reader.finish().failure?.kind).toBe('malformed')
  })
})
