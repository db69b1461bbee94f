import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSseDecoder, type ServerSentEvent } from './sse.ts'

function decode(chunks: readonly (Buffer | string)[]): ServerSentEvent[] {
  const decoder = createSseDecoder()
  const events = chunks.flatMap((chunk) => decoder.push(Buffer.from(chunk)))
  return [...events, ...decoder.end()]
}
const dataOf = (...chunks: (Buffer | string)[]): string[] => decode(chunks).map(({ data }) => data)

describe('one event', () => {
  test.each([
    ['LF', 'data: a\n\ndata: b\n\n'],
    ['CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n'],
    ['CR', 'data: a\r\rdata: b\r\r'],
    ['a mixture', 'data: a\r\n\ndata: b\n\r'],
    ['no space after the colon', 'data:a\n\ndata:b\n\n'],
    ['comments', ': OPENROUTER PROCESSING\n\ndata: a\n: x\n\n:\ndata: b\n\n'],
    ['a byte order mark', '\ufeffdata: a\n\ndata: b\n\n'],
    ['no blank line at the end', 'data: a\n\ndata: b\n'],
    ['no line end at the end', 'data: a\n\ndata: b'],
    ['fields nobody knows', 'id: 7\nretry: 10\ndata: a\ndatum: x\n\n x\ndata: b\n\n'],
  ])('%s', (_name, text) => {
    expect(dataOf(text)).toEqual(['a', 'b'])
  })

  test('several data lines are joined, a second space stays', () => {
    expect(dataOf('data: a\ndata:  b\ndata\ndata:\n\n')).toEqual(['a\n b\n\n'])
  })

  test('an empty data line is an event, an event without data is none', () => {
    expect(decode(['event: ping\n\ndata:\n\n'])).toEqual([{ name: 'message', data: '' }])
  })

  test('the name counts for one event', () => {
    expect(decode(['event: error\ndata: a\n\ndata: b\n\n'])).toEqual([
      { name: 'error', data: 'a' },
      { name: 'message', data: 'b' },
    ])
  })

  test('a byte order mark further down is text', () => {
    expect(dataOf('data: a\n\n\ufeffdata: b\n\n')).toEqual(['a'])
  })
})

describe('cuts', () => {
  test('CRLF in two pieces is one line end', () => {
    expect(dataOf('data: a\r', '\ndata: b\r', '\n\r', '\n')).toEqual(['a\nb'])
  })

  test('an event is passed on with the line end that completes it', () => {
    const decoder = createSseDecoder()
    expect(decoder.push(Buffer.from('data: a\r\n\r'))).toEqual([{ name: 'message', data: 'a' }])
    expect(decoder.push(Buffer.from('\ndata: b\n\n'))).toEqual([{ name: 'message', data: 'b' }])
  })

  const line = fc.oneof(
    fc.string({ unit: 'grapheme' }).map((text) => `data: ${text}`),
    fc.constantFrom('', '', 'data', 'data:', 'event: x', ': c', '\ufeffdata: y', 'data: {"a":"日本 🎉"}'),
  )
  const ending = fc.constantFrom('\n', '\r\n', '\r')

  test('wherever the bytes are cut, the events are the same', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(line, ending)), fc.array(fc.nat(400), { maxLength: 20 }), (lines, cuts) => {
        const bytes = Buffer.from(lines.map(([text, end]) => text.replace(/[\r\n]/g, '') + end).join(''))
        const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length]
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end))
        const whole = decode([bytes])
        expect(decode(chunks)).toEqual(whole)
        expect(decode(Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)))).toEqual(whole)
      }),
      { numRuns: 500 },
    )
  })
})

describe('bounds', () => {
  const mebibyte = 1024 * 1024

  test('a line of 1 MiB is taken, one more byte is refused', () => {
    expect(dataOf(`data: ${'x'.repeat(mebibyte - 6)}\n\n`)[0]).toHaveLength(mebibyte - 6)
    const decoder = createSseDecoder()
    expect(decoder.push(Buffer.from(`data: a\n\ndata: ${'x'.repeat(mebibyte - 5)}\n\ndata: b\n\n`))).toHaveLength(1)
    expect(decoder.refusal).toBe('a line of more than 1 MiB')
    expect(decoder.push(Buffer.from('data: c\n\n'))).toEqual([])
    expect(decoder.end()).toEqual([])
  })

  test('a line that never ends is refused while it comes', () => {
    const decoder = createSseDecoder()
    const piece = Buffer.alloc(64 * 1024, 'x')
    for (let sent = 0; sent < mebibyte; sent += piece.length) decoder.push(piece)
    expect(decoder.refusal).toBeUndefined()
    decoder.push(piece)
    expect(decoder.refusal).toBeDefined()
  })

  test('so are lines without end for one event', () => {
    const decoder = createSseDecoder()
    const line = Buffer.from(`data: ${'x'.repeat(64 * 1024)}\n`)
    for (let i = 0; i < 20; i++) decoder.push(line)
    expect(decoder.refusal).toBeDefined()
  })

  test('a long line in single bytes is no more work than its length', () => {
    const decoder = createSseDecoder()
    decoder.push(Buffer.from('data: '))
    const one = Buffer.from('x')
    // Quadratic work on a mebibyte would not end before the test's time does.
    for (let sent = 6; sent < mebibyte; sent++) decoder.push(one)
    expect(decoder.push(Buffer.from('\n\n'))[0]?.data).toHaveLength(mebibyte - 6)
  })
})
