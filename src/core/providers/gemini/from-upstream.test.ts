import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cutAnywhere, oneByOne } from '../../../../test/support/cut-anywhere.ts'
import { createContentStreamDecoder, decodeContent } from './from-upstream.ts'

const newOptions = () => {
  let made = 0
  return { credential: 'a-secret-key', newCallId: () => `call_made${made++}` }
}

/** As Google writes them: with CRLF. */
const sse = (...chunks: object[]): Buffer =>
  Buffer.from(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join(''))
const list = (...chunks: object[]): Buffer =>
  Buffer.from(`[${chunks.map((chunk) => JSON.stringify(chunk, null, 2)).join('\n,\r\n')}\n]\n`)

function decodeIn(chunks: readonly Buffer[]) {
  const decoder = createContentStreamDecoder(newOptions())
  const events = []
  for (const chunk of chunks) {
    const { events: some, failure } = decoder.push(chunk)
    events.push(...some)
    if (failure) return { events, failure, facts: decoder.facts }
  }
  const last = decoder.end()
  return { events: [...events, ...last.events], failure: last.failure, facts: decoder.facts }
}
const decode = (...chunks: object[]) => decodeIn([sse(...chunks)])
const whole = (answer: object) => decodeContent(Buffer.from(JSON.stringify({ ...head, ...answer })), newOptions())

const head = { responseId: 'r-1', modelVersion: 'gemini' }
const counted = { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 }
const chunk = (parts: object[] | undefined, finishReason?: string, more: object = {}) => ({
  ...head,
  candidates: [
    {
      content: parts === undefined ? undefined : { role: 'model', parts },
      ...(finishReason && { finishReason }),
      index: 0,
    },
  ],
  usageMetadata: counted,
  ...more,
})

const start = { type: 'start', id: 'r-1', model: 'gemini', createdS: undefined }
const text = (value: string, index = 0) => ({ type: 'text-delta', index, text: value })
const thought = (value: string) => ({ type: 'reasoning-delta', index: 0, text: value })
const call = (toolIndex: number, id: string, name: string, more: object = {}) => ({
  type: 'tool-call-start',
  index: 0,
  toolIndex,
  id,
  name,
  ...more,
})
const args = (toolIndex: number, value: object) => ({
  type: 'tool-call-delta',
  index: 0,
  toolIndex,
  arguments: JSON.stringify(value),
})
const end = (reason: string, index = 0) => ({ type: 'choice-end', index, reason })
const signed = (thought_signature: string) => ({ extra_content: { google: { thought_signature } } })
const usage = (units: object, inputTokens: number, outputTokens: number) => ({
  type: 'usage',
  usage: { units, inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, serviceTier: 'default' },
})
const tenAndFive = usage({ input: 10, output: 5 }, 10, 5)

describe('a stream', () => {
  test('becomes start, text, end and usage', () => {
    const { events, failure, facts } = decode(
      chunk([{ text: 'Hé' }]),
      chunk([{ text: 'llo' }]),
      chunk([{ text: '' }], 'STOP'),
    )
    expect(failure).toBeUndefined()
    expect(events).toEqual([start, text('Hé'), text('llo'), end('stop'), tenAndFive])
    expect(facts).toMatchObject({ finish: 'stop', outputBytes: 6, providerResponseId: 'r-1', usage: tenAndFive.usage })
  })

  test('(13, 14) a call anywhere in the answer ends it for tools, though Gemini says STOP, and later', () => {
    const { events } = decode(
      chunk([{ functionCall: { name: 'weather', args: { city: 'Bern' } } }]),
      chunk([{ text: '' }]),
      chunk([{ text: '' }], 'STOP'),
    )
    expect(events).toEqual([
      start,
      call(0, 'call_made0', 'weather'),
      args(0, { city: 'Bern' }),
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test('(15, 17) parallel calls of one function are two, each with an id of its own', () => {
    const { events } = decode(
      chunk([{ functionCall: { name: 'weather', args: { city: 'Bern' } } }]),
      chunk([
        { functionCall: { name: 'weather', args: { city: 'Chur' }, id: 'g-1' } },
        { functionCall: { name: 'weather', id: 'g-1' } },
      ]),
      chunk(undefined, 'STOP'),
    )
    expect(events).toEqual([
      start,
      call(0, 'call_made0', 'weather'),
      args(0, { city: 'Bern' }),
      call(1, 'g-1', 'weather'),
      args(1, { city: 'Chur' }),
      call(2, 'call_made1', 'weather'),
      args(2, {}),
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test('(18) a call without arguments has an empty object', () => {
    expect(decode(chunk([{ functionCall: { name: 'time' } }], 'STOP')).events).toContainEqual(args(0, {}))
  })

  test('thoughts are reasoning, and (33) signatures are kept: on a call, on a text, on nothing', () => {
    const { events } = decode(
      chunk([{ text: 'Hm.', thought: true }]),
      chunk([{ text: 'So.', thoughtSignature: 'dGV4dA==' }]),
      chunk([{ functionCall: { name: 'time', args: {} }, thoughtSignature: 'Y2FsbA==' }]),
      chunk([{ text: '', thoughtSignature: 'ZW5k' }], 'STOP'),
    )
    expect(events).toEqual([
      start,
      thought('Hm.'),
      text('So.'),
      { type: 'message-extra', index: 0, members: signed('dGV4dA==') },
      call(0, 'call_made0', 'time', { extra: signed('Y2FsbA==') }),
      args(0, {}),
      { type: 'message-extra', index: 0, members: signed('ZW5k') },
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test('arguments that Vertex streams in pieces are put together', () => {
    const piece = (functionCall: object) => chunk([{ functionCall }])
    const { events } = decode(
      piece({ name: 'weather', id: 'g-1', willContinue: true }),
      piece({ partialArgs: [{ jsonPath: '$.city', stringValue: 'Be', willContinue: true }], willContinue: true }),
      piece({
        partialArgs: [
          { jsonPath: '$.city', stringValue: 'rn' },
          { jsonPath: '$.days[0].n', numberValue: 1 },
        ],
        willContinue: true,
      }),
      piece({
        partialArgs: [
          { jsonPath: "$.days[1]['a b']", boolValue: true },
          { jsonPath: '$.none', nullValue: 'NULL_VALUE' },
        ],
        willContinue: true,
      }),
      piece({}),
      piece({ name: 'time', args: {} }),
      chunk(undefined, 'STOP'),
    )
    expect(events).toEqual([
      start,
      call(0, 'g-1', 'weather'),
      args(0, { city: 'Bern', days: [{ n: 1 }, { 'a b': true }], none: null }),
      call(1, 'call_made0', 'time'),
      args(1, {}),
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test('chunks without candidates, and parts that are no text, are passed over', () => {
    const { events, failure } = decode(
      { ...head, usageMetadata: counted },
      chunk([{ executableCode: { code: '1' } }, { codeExecutionResult: { output: '1' } }, { text: 'One.' }]),
      chunk(undefined, 'STOP', { groundingMetadata: {} }),
    )
    expect(failure).toBeUndefined()
    expect(events).toEqual([start, text('One.'), end('stop'), tenAndFive])
  })

  test('a picture is passed on', () => {
    const { events } = decode(chunk([{ inlineData: { mimeType: 'image/png', data: 'AAAA' } }], 'STOP'))
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }
    expect(events[1]).toEqual({ type: 'message-extra', index: 0, members: { images: [image] } })
  })

  test('candidates are choices', () => {
    const two = {
      ...head,
      candidates: [
        { index: 1, content: { parts: [{ text: 'B' }] }, finishReason: 'MAX_TOKENS' },
        { index: 0, content: { parts: [{ text: 'A' }] }, finishReason: 'STOP' },
      ],
    }
    expect(decode(two).events).toEqual([start, text('B', 1), text('A'), end('stop'), end('length', 1)])
  })

  test('(53) one that ends without a reason was cut, and an empty one is none', () => {
    expect(decode(chunk([{ text: 'Hi.' }])).failure).toMatchObject({ kind: 'cut', retryable: true })
    expect(decodeIn([]).failure).toBeDefined()
    const bytes = sse(chunk([{ text: 'Hi.' }]), chunk([{ text: '!' }], 'STOP'))
    expect(decodeIn([bytes.subarray(0, bytes.length - 20)]).failure?.kind).toBe('cut')
    const inPieces = list(chunk([{ text: 'Hi.' }]), chunk([{ text: '!' }], 'STOP'))
    expect(decodeIn([inPieces.subarray(0, inPieces.length - 20)]).failure?.kind).toBe('cut')
  })

  test.each([
    [{ code: 503, status: 'UNAVAILABLE' }, 'provider_error', true],
    [{ code: 429, status: 'RESOURCE_EXHAUSTED' }, 'provider_rate_limited', true],
    [{ status: 'DEADLINE_EXCEEDED' }, 'provider_timeout', true],
    [{ status: 'UNAUTHENTICATED' }, 'provider_auth_failed', true],
    [{ code: 400, status: 'INVALID_ARGUMENT' }, 'invalid_body', false],
    [{}, 'provider_error', true],
  ])('(51) the error %j in a stream is a failure, (57) also in a list', (error, code, retryable) => {
    const expected = { kind: 'in-stream', billing: 'maybe_billed', retryable, error: { code } }
    for (const bytes of [sse, list]) {
      const { events, failure } = decodeIn([
        bytes(chunk([{ text: 'Hi.' }]), { error: { ...error, message: 'It broke.' } }),
      ])
      expect(events).toEqual([start, text('Hi.')])
      expect(failure).toMatchObject(expected)
    }
  })

  test.each(['data: {"candidates"\r\n\r\n', '[{]', '[1]', '{"candidates":[]}', 'data: 7\r\n\r\n'])(
    '%j is no answer',
    (bytes) => {
      expect(decodeIn([Buffer.from(bytes)]).failure).toBeDefined()
    },
  )

  test('an object of more than a mebibyte is not held', () => {
    const failure = decodeIn([Buffer.from('[{"text":"'), Buffer.alloc(1024 * 1024, 'a')]).failure
    expect(failure?.kind).toBe('malformed')
  })

  test.each([
    ['server-sent events', sse],
    ['a list', list],
  ])('(44) %s cut at any byte give the same events', (_form, bytesOf) => {
    const bytes = bytesOf(
      chunk([{ text: '日本語 "🚀" \\ é' }]),
      chunk([{ text: '{[' }, { functionCall: { name: 'weather', args: { city: 'Zürich 🌧' } } }]),
      chunk([{ text: '' }], 'STOP'),
    )
    const { events } = decodeIn([bytes])
    expect(events).toHaveLength(7)
    expect(decodeIn(oneByOne(bytes)).events).toEqual(events)
    fc.assert(
      fc.property(cutAnywhere(bytes), (chunks) => {
        expect(decodeIn(chunks).events).toEqual(events)
      }),
    )
  })
})

describe('a whole answer', () => {
  test('gives the same events', () => {
    const parts = [{ text: 'Hm.', thought: true }, { text: 'Let me see.' }, { functionCall: { name: 'time' } }]
    const { events } = whole({ ...chunk(parts, 'STOP'), createTime: '2026-11-26T12:00:00.5Z' })
    expect(events).toEqual([
      { ...start, createdS: 1_795_694_400 },
      thought('Hm.'),
      text('Let me see.'),
      call(0, 'call_made0', 'time'),
      args(0, {}),
      end('tool_calls'),
      tenAndFive,
    ])
  })

  test.each([
    ['STOP', 'stop'],
    ['MAX_TOKENS', 'length'],
    ['SAFETY', 'content_filter'],
    ['RECITATION', 'content_filter'],
    ['BLOCKLIST', 'content_filter'],
    ['PROHIBITED_CONTENT', 'content_filter'],
    ['SPII', 'content_filter'],
    ['MODEL_ARMOR', 'content_filter'],
    ['IMAGE_SAFETY', 'content_filter'],
    ['LANGUAGE', 'content_filter'],
    ['MALFORMED_FUNCTION_CALL', 'stop'],
    ['UNEXPECTED_TOOL_CALL', 'stop'],
    ['OTHER', 'stop'],
    ['SOMETHING_NEW', 'stop'],
  ])('finishReason %s is %s', (finishReason, reason) => {
    const { events, facts } = whole(chunk([{ text: 'Hi.' }], finishReason))
    expect(events).toContainEqual(end(reason))
    expect(facts.oddFinish).toBe(reason === 'stop' && finishReason !== 'STOP' ? finishReason : undefined)
  })

  test('(58) a blocked prompt, a candidate without content and a content without parts are answers', () => {
    const { events } = whole({ promptFeedback: { blockReason: 'SAFETY' }, usageMetadata: { promptTokenCount: 3 } })
    expect(events).toEqual([
      start,
      { type: 'refusal-delta', index: 0, text: 'The prompt was blocked: SAFETY.' },
      end('content_filter'),
      usage({ input: 3 }, 3, 0),
    ])
    expect(whole(chunk(undefined, 'SAFETY')).events).toEqual([start, end('content_filter'), tenAndFive])
    expect(whole({ candidates: [{ content: {}, finishReason: 'MAX_TOKENS' }] }).events).toEqual([start, end('length')])
  })

  test('log probabilities have the form of OpenAI', () => {
    const logprobsResult = {
      chosenCandidates: [{ token: 'é', logProbability: -0.5 }],
      topCandidates: [
        {
          candidates: [
            { token: 'é', logProbability: -0.5 },
            { token: 'e', logProbability: -2 },
          ],
        },
      ],
    }
    const { events } = whole({
      candidates: [{ content: { parts: [{ text: 'é' }] }, finishReason: 'STOP', logprobsResult }],
    })
    const token = { token: 'é', logprob: -0.5, bytes: [195, 169] }
    expect(events[1]).toEqual({
      ...text('é'),
      logprobs: { content: [{ ...token, top_logprobs: [token, { token: 'e', logprob: -2, bytes: [101] }] }] },
    })
  })

  test.each(['', 'null', '[]', '{}', '{"candidates":[]}', '<html>'])('(60) %j is no answer', (body) => {
    expect(decodeContent(Buffer.from(body), newOptions())).toMatchObject({ events: [], failure: { kind: 'malformed' } })
  })

  test('(57) an error in a list is a failure', () => {
    const body = JSON.stringify([{ error: { code: 503, message: 'Overloaded.', status: 'UNAVAILABLE' } }])
    expect(decodeContent(Buffer.from(body), newOptions()).failure).toMatchObject({ error: { code: 'provider_error' } })
  })
})

describe('usage', () => {
  const usageOf = (usageMetadata: object) => whole({ ...chunk([{ text: 'Hi.' }], 'STOP'), usageMetadata }).facts

  test.each([
    [
      '(5) thoughts are part of the completion',
      { promptTokenCount: 10, candidatesTokenCount: 5, thoughtsTokenCount: 7, totalTokenCount: 22 },
      { input: 10, output: 5, reasoning: 7 },
    ],
    [
      '(6) unless the candidates hold them already',
      { promptTokenCount: 10, candidatesTokenCount: 12, thoughtsTokenCount: 7, totalTokenCount: 22 },
      { input: 10, output: 5, reasoning: 7 },
    ],
    [
      '(7) the cached part is inside the prompt',
      { promptTokenCount: 10, cachedContentTokenCount: 4, candidatesTokenCount: 5 },
      { input: 6, cache_read: 4, output: 5 },
    ],
    [
      'prompts of tools are part of the prompt',
      { promptTokenCount: 10, toolUsePromptTokenCount: 3, candidatesTokenCount: 5 },
      { input: 13, output: 5 },
    ],
    [
      'media have prices of their own',
      {
        promptTokenCount: 100,
        promptTokensDetails: [
          { modality: 'TEXT', tokenCount: 10 },
          { modality: 'AUDIO', tokenCount: 50 },
          { modality: 'IMAGE', tokenCount: 40 },
        ],
        candidatesTokenCount: 20,
        candidatesTokensDetails: [{ modality: 'IMAGE', tokenCount: 20 }],
      },
      { input: 10, input_audio: 50, input_image: 40, output_image: 20 },
    ],
  ])('%s', (_what, counts, units) => {
    expect(usageOf(counts).usage?.units).toEqual(units)
  })

  test('only thoughts, before the first candidate', () => {
    expect(usageOf({ promptTokenCount: 34, totalTokenCount: 102, thoughtsTokenCount: 68 }).usage).toMatchObject({
      units: { input: 34, reasoning: 68 },
      outputTokens: 68,
      totalTokens: 102,
    })
  })

  test.each([{ promptTokenCount: -1 }, { promptTokenCount: 10, cachedContentTokenCount: 11 }])(
    'what makes no sense is kept as it came: %j',
    (counts) => {
      expect(usageOf(counts)).toMatchObject({ usage: undefined, implausibleUsage: counts })
    },
  )

  test('the last counts of a stream are the ones', () => {
    const { facts } = decode(
      chunk([{ text: 'a' }]),
      chunk([{ text: 'b' }], 'STOP', { usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 9 } }),
    )
    expect(facts.usage?.units).toEqual({ input: 10, output: 9 })
  })
})
