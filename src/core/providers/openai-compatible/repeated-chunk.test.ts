import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ChatEvent } from '../../chat/event.ts'
import { createCompletionStreamDecoder } from './from-upstream.ts'
import { RepeatedChunk } from './repeated-chunk.ts'

const chunk = (content: string, more: object = {}): string =>
  JSON.stringify({ id: 'c-1', model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: null }], ...more })
const delta = (text: string): ChatEvent => ({ type: 'text-delta', index: 0, text })

const learned = (text: string, events: ChatEvent[] = [delta(text)]): RepeatedChunk => {
  const repeated = new RepeatedChunk()
  repeated.learn(chunk(text), events)
  return repeated
}

describe('a chunk like the one before', () => {
  test.each(['b', 'two words', '"quoted"', 'back\\slash', 'line\nbreak', 'ü€𝄞', '\u0000', '"}],"x":"'])(
    '%j',
    (text) => {
      expect(learned('a').read(chunk(text))).toEqual(delta(text))
      expect(learned(text).read(chunk('a'))).toEqual(delta('a'))
    },
  )

  test.each([
    ['of another id', chunk('b').replace('c-1', 'c-2')],
    ['that ends a choice', chunk('b').replace('null', '"stop"')],
    ['with something beside', chunk('b', { usage: { prompt_tokens: 1 } })],
    ['without text', chunk('')],
    ['cut in its text', chunk('b').slice(0, -40)],
    ['with a text that is none', chunk('b').replace('"b"', '"b","c":"d"')],
    ['with a bare line break', chunk('b').replace('"b"', '"b\n"')],
  ])('is parsed when it is one %s', (_, other) => {
    expect(learned('a').read(other)).toBeUndefined()
  })

  test.each([
    ['more than its text', [delta('a'), delta('a')]],
    ['another text', [delta('b')]],
    ['probabilities', [{ ...delta('a'), logprobs: {} } as ChatEvent]],
    ['nothing', []],
  ])('is not known from one that came to %s', (_, events) => {
    expect(learned('a', events).read(chunk('b'))).toBeUndefined()
  })

  test('is not known from one with two contents', () => {
    const repeated = new RepeatedChunk()
    repeated.learn(chunk('a', { echo: { content: 'a' } }), [delta('a')])
    expect(repeated.read(chunk('a', { echo: { content: 'b' } }))).toBeUndefined()
  })
})

test('a stream comes to the same events, whatever its texts are', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', ' a', ' b'))), (texts) => {
      const wellFormed = texts.map((text) => text.toWellFormed())
      const decoder = createCompletionStreamDecoder()
      const body = `${wellFormed.map((text) => `data: ${chunk(text)}\n\n`).join('')}data: ${chunk('').replace('null', '"stop"')}\n\ndata: [DONE]\n\n`
      const { events, failure } = decoder.push(Buffer.from(body))
      const told = events.flatMap((event) => (event.type === 'text-delta' ? [event.text] : []))
      expect(told).toEqual(wellFormed.filter((text) => text !== ''))
      if (told.length > 0) expect(failure).toBeUndefined()
      const bytes = told.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
      expect(decoder.facts.outputBytes).toBe(bytes)
    }),
  )
})
