import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { outputBytesOf, RelayStream } from './relay-stream.ts'

const frame = (value: object | string, end = '\n\n'): string =>
  `data: ${typeof value === 'string' ? value : JSON.stringify(value)}${end}`
const chunk = (delta: object, finishReason: string | null = null, extra: object = {}): object => ({
  id: 'chatcmpl-9',
  object: 'chat.completion.chunk',
  choices: [{ index: 0, delta, finish_reason: finishReason }],
  ...extra,
})
const role = frame(chunk({ role: 'assistant', content: '' }, null, { usage: null }))
const text = (content: string): string => frame(chunk({ content }, null, { usage: null }))
const stop = frame(chunk({}, 'stop', { usage: null }))
const usage = frame({
  id: 'chatcmpl-9',
  choices: [],
  usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
})
const done = frame('[DONE]')

interface Relayed {
  sent: string
  heldBeforeOutput: string
  tail: string | undefined
  failure: string | undefined
  stream: RelayStream
}

function relay(pieces: Buffer[], showUsage = false): Relayed {
  let sent = ''
  let heldBeforeOutput = ''
  const stream = new RelayStream(
    {
      bytes(frames, isOutput) {
        sent += frames.toString('utf8')
        if (!isOutput) heldBeforeOutput += frames.toString('utf8')
        return true
      },
      event: () => true,
      onceDrained() {},
      follow() {},
    },
    showUsage,
  )
  for (const piece of pieces) {
    const failure = stream.push(piece)
    if (failure) return { sent, heldBeforeOutput, tail: undefined, failure: failure.kind, stream }
  }
  const { failure, tail } = stream.finish()
  return { sent, heldBeforeOutput, tail: tail?.toString('utf8'), failure: failure?.kind, stream }
}

const whole = (body: string, showUsage = false): Relayed => relay([Buffer.from(body)], showUsage)

describe('a whole stream', () => {
  const body = role + text('Hé') + text('llo') + stop + usage + done

  test('goes through untouched but for the usage frame nobody asked for, and [DONE] waits', () => {
    const relayed = whole(body)
    expect(relayed.sent).toBe(role + text('Hé') + text('llo') + stop)
    expect(relayed.tail).toBe(done)
    expect(relayed.stream.facts).toMatchObject({
      usage: { inputTokens: 5, outputTokens: 2 },
      finish: 'stop',
      outputBytes: 6,
      providerResponseId: 'chatcmpl-9',
    })
  })

  test('keeps the usage frame for a client that asked for it', () => {
    expect(whole(body, true).sent).toBe(role + text('Hé') + text('llo') + stop + usage)
  })

  test('is the same wherever the bytes are cut', () => {
    const bytes = Buffer.from(`: ping\n\n${body}`)
    const expected = whole(`: ping\n\n${body}`)
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 })), (cuts) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length]
        const relayed = relay(edges.slice(1).map((end, i) => bytes.subarray(edges[i], end)))
        expect([relayed.sent, relayed.tail]).toEqual([expected.sent, expected.tail])
        expect(relayed.stream.facts).toEqual(expected.stream.facts)
      }),
      { numRuns: 500 },
    )
  })

  test('may end its lines with CRLF', () => {
    const relayed = whole(body.replaceAll('\n', '\r\n'))
    expect(relayed.sent).toBe((role + text('Hé') + text('llo') + stop).replaceAll('\n', '\r\n'))
    expect(relayed.stream.facts.usage?.inputTokens).toBe(5)
  })

  test('may lack [DONE] or the last blank line when its finish reason came', () => {
    expect(whole(role + text('Hi') + stop).tail).toBe(done)
    expect(whole((role + text('Hi') + stop + done).trimEnd()).tail).toBe(done)
  })
})

test('role-only frames and comments are not output', () => {
  const pieces = [': hello\n\n', role, text('Hi'), stop, done].map((piece) => Buffer.from(piece))
  expect(relay(pieces).heldBeforeOutput).toBe(`: hello\n\n${role}`)
})

test('text that looks like our marks is text', () => {
  const tricky = ['[DONE]', '"usage":{', 'data: [DONE]\n\n', '"error":{"message":"x"}'].map(text).join('')
  const relayed = whole(text('a') + tricky + stop + done)
  expect(relayed.sent).toBe(text('a') + tricky + stop)
  expect(relayed.failure).toBeUndefined()
})

test('usage on a chunk with choices stays, whoever asked', () => {
  const last = frame(chunk({}, 'stop', { usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }))
  const relayed = whole(text('a') + last + done)
  expect(relayed.sent).toBe(text('a') + last)
  expect(relayed.stream.facts.usage?.totalTokens).toBe(2)
})

describe('an upstream that breaks off never looks like a finished answer', () => {
  test.each([
    ['after text', role + text('Hi'), 'cut'],
    ['in mid-frame', role + text('Hi') + text('there').slice(0, 30), 'cut'],
    ['with no byte', '', 'cut'],
    ['with an error', role + text('Hi') + frame({ error: { message: 'overloaded', code: 500 } }), 'in-stream'],
    ['with garbage', `${text('Hi')}data: {"id":\n\n`, 'cut'],
    ['with HTML', '<html>\n\n<body>\n\n', 'cut'],
    ['with garbage at first', 'data: {"id":\n\n', 'malformed'],
  ])('%s', (_, body, kind) => {
    const relayed = whole(body)
    expect(relayed.failure).toBe(kind)
    expect(relayed.tail).toBeUndefined()
    expect(relayed.sent).not.toContain('there')
  })
})

test('a line without end is refused at 1 MiB', () => {
  const relayed = relay([Buffer.from('data: "'), ...Array.from({ length: 17 }, () => Buffer.alloc(65_536, 'x'))])
  expect(relayed.failure).toBe('malformed')
})

test('what a model writes counts wherever it stands, names of things do not', () => {
  expect(outputBytesOf({ role: 'assistant', content: 'ab' })).toBe(2)
  expect(
    outputBytesOf({
      tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }],
    }),
  ).toBe(3)
  expect(outputBytesOf({ reasoning_content: 'é', content: null })).toBe(2)
})
