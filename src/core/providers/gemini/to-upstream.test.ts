import { describe, expect, test } from 'vitest'
import { readChatRequest } from '../../chat/read-request.ts'
import { GatewayError } from '../../errors.ts'
import { toGeminiRequest } from './to-upstream.ts'

const hello = [{ role: 'user', content: 'Hello.' }]
const bodyOf = (request: object, options: Partial<Parameters<typeof toGeminiRequest>[1]> = {}) =>
  toGeminiRequest(readChatRequest({ messages: hello, ...request }), {
    model: 'gemini-2.5-flash',
    service: 'gemini',
    outputTokensMax: undefined,
    unsupportedParameters: 'refuse',
    ...options,
  }) as { contents: { role: string; parts: object[] }[]; generationConfig: object } & Record<string, unknown>
const contentsOf = (...messages: object[]) => bodyOf({ messages }).contents
const configOf = (request: object, model = 'gemini-2.5-flash') => bodyOf(request, { model }).generationConfig
const user = (...parts: object[]) => ({ role: 'user', parts })
const model = (...parts: object[]) => ({ role: 'model', parts })
const call = (id: string, name: string, args = '{}', more: object = {}) => ({
  id,
  type: 'function',
  function: { name, arguments: args },
  ...more,
})
const signed = (thought_signature: string) => ({ extra_content: { google: { thought_signature } } })
const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }

function refusal(request: object, options?: Parameters<typeof bodyOf>[1]): { code: string; param: string | undefined } {
  try {
    bodyOf(request, options)
  } catch (error) {
    if (error instanceof GatewayError) return { code: error.code, param: error.param }
  }
  throw new Error('It was not refused.')
}

describe('messages', () => {
  test('system and developer messages become the system instruction, wherever they stand', () => {
    const messages = [{ role: 'system', content: 'Be brief.' }, ...hello, { role: 'developer', content: 'Be kind.' }]
    const { systemInstruction, contents } = bodyOf({ messages })
    expect(systemInstruction).toEqual({ parts: [{ text: 'Be brief.' }, { text: 'Be kind.' }] })
    expect(contents).toEqual([user({ text: 'Hello.' })])
  })

  test('turns alternate, and empty texts are left out', () => {
    expect(
      contentsOf(
        { role: 'user', content: 'One.' },
        { role: 'user', content: 'Two.' },
        { role: 'assistant', content: '' },
        { role: 'user', content: [{ type: 'text', text: '' }] },
        { role: 'assistant', content: 'Three.' },
      ),
    ).toEqual([user({ text: 'One.' }, { text: 'Two.' }), model({ text: 'Three.' })])
    expect(refusal({ messages: [{ role: 'system', content: 'Be brief.' }] }).param).toBe('messages')
  })

  test('(20) results of parallel calls are one content, by the names of their functions', () => {
    expect(
      contentsOf(
        ...hello,
        {
          role: 'assistant',
          content: null,
          tool_calls: [call('call_a', 'weather', '{"city":"Bern"}'), call('call_b', 'time', '')],
        },
        { role: 'tool', tool_call_id: 'call_b', content: 'Noon.' },
        { role: 'tool', tool_call_id: 'call_a', content: '{"sky":"grey"}' },
      ),
    ).toEqual([
      user({ text: 'Hello.' }),
      model(
        { functionCall: { name: 'weather', args: { city: 'Bern' } } },
        { functionCall: { name: 'time', args: {} } },
      ),
      user(
        { functionResponse: { name: 'time', response: { output: 'Noon.' } } },
        { functionResponse: { name: 'weather', response: { sky: 'grey' } } },
      ),
    ])
  })

  test('(16) ids that Gemini gave go back, and those of others stay away', () => {
    const contents = contentsOf(
      ...hello,
      { role: 'assistant', tool_calls: [call('x7k2p9', 'weather'), call('toolu_1', 'time')] },
      { role: 'tool', tool_call_id: 'x7k2p9', content: 'Rain.' },
      { role: 'tool', tool_call_id: 'toolu_1', content: 'Noon.' },
    )
    expect(contents[1]?.parts).toEqual([
      { functionCall: { id: 'x7k2p9', name: 'weather', args: {} } },
      { functionCall: { name: 'time', args: {} } },
    ])
    expect(contents[2]?.parts).toEqual([
      { functionResponse: { id: 'x7k2p9', name: 'weather', response: { output: 'Rain.' } } },
      { functionResponse: { name: 'time', response: { output: 'Noon.' } } },
    ])
  })

  test('(33) signatures go back where they came from: on a call, or on the text', () => {
    const messages = [
      ...hello,
      {
        role: 'assistant',
        content: 'Let me see.',
        ...signed('c2ln'),
        tool_calls: [call('call_a', 'time', '{}', signed('Y2FsbA=='))],
      },
      { role: 'tool', tool_call_id: 'call_a', content: 'Noon.' },
    ]
    expect(contentsOf(...messages)[1]).toEqual(
      model(
        { text: 'Let me see.', thoughtSignature: 'c2ln' },
        { functionCall: { name: 'time', args: {} }, thoughtSignature: 'Y2FsbA==' },
      ),
    )
  })

  test('(33) Gemini 3 is told of calls that it has not signed that it need not look: the first of parallel ones', () => {
    const messages = [...hello, { role: 'assistant', tool_calls: [call('call_a', 'time'), call('call_b', 'time')] }]
    const [, answer] = bodyOf({ messages }, { model: 'gemini-3-pro-preview' }).contents
    expect(answer?.parts).toEqual([
      { functionCall: { name: 'time', args: {} }, thoughtSignature: 'skip_thought_signature_validator' },
      { functionCall: { name: 'time', args: {} } },
    ])
  })
})

describe('media', () => {
  const part = (content: object, options?: Parameters<typeof bodyOf>[1]) =>
    bodyOf({ messages: [{ role: 'user', content: [content] }] }, options).contents[0]?.parts[0]
  const image = (url: string) => ({ type: 'image_url', image_url: { url } })

  test('data URLs, files and audio are inline data', () => {
    expect(part(image('data:image/png;base64,AAAA'))).toEqual({ inlineData: { mimeType: 'image/png', data: 'AAAA' } })
    expect(part({ type: 'file', file: { file_data: 'data:application/pdf;base64,AAAA' } })).toEqual({
      inlineData: { mimeType: 'application/pdf', data: 'AAAA' },
    })
    expect(part({ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } })).toEqual({
      inlineData: { mimeType: 'audio/wav', data: 'AAAA' },
    })
  })

  test('URLs go on with the type that their extension tells; Cloud Storage is read by Vertex', () => {
    expect(part(image('https://example.com/a.JPG?size=1'))).toEqual({
      fileData: { fileUri: 'https://example.com/a.JPG?size=1', mimeType: 'image/jpeg' },
    })
    expect(part(image('gs://bucket/a.png'), { service: 'vertex' })).toEqual({
      fileData: { fileUri: 'gs://bucket/a.png', mimeType: 'image/png' },
    })
  })

  test.each(['gs://bucket/a.png', 'https://example.com/a', 'ftp://example.com/a.png'])(
    '%s is refused by name',
    (url) => {
      expect(refusal({ messages: [{ role: 'user', content: [image(url)] }] })).toEqual({
        code: 'unsupported_parameter',
        param: 'messages[0].content[0].image_url.url',
      })
    },
  )

  test('pictures of a tool stand behind its result', () => {
    const messages = [
      ...hello,
      { role: 'assistant', tool_calls: [call('call_a', 'look')] },
      {
        role: 'tool',
        tool_call_id: 'call_a',
        content: [{ type: 'text', text: 'This.' }, image('data:image/png;base64,AAAA')],
      },
    ]
    expect(contentsOf(...messages)[2]?.parts).toEqual([
      { functionResponse: { name: 'look', response: { output: 'This.' } } },
      { inlineData: { mimeType: 'image/png', data: 'AAAA' } },
    ])
  })
})

describe('tools', () => {
  test('(39) functions are declared in one entry, with their JSON Schema as it is', () => {
    const parameters = {
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'object',
      properties: { city: { type: ['string', 'null'] }, level: { enum: [1, 2] } },
      additionalProperties: false,
    }
    const tools = [
      { type: 'function', function: { name: 'weather', description: 'Tells.', parameters, strict: true } },
      { type: 'function', function: { name: 'time' } },
    ]
    expect(bodyOf({ tools }).tools).toEqual([
      {
        functionDeclarations: [
          { name: 'weather', description: 'Tells.', parametersJsonSchema: parameters },
          { name: 'time' },
        ],
      },
    ])
  })

  test.each([
    ['auto', { mode: 'AUTO' }],
    ['none', { mode: 'NONE' }],
    ['required', { mode: 'ANY' }],
    [
      { type: 'function', function: { name: 'weather' } },
      { mode: 'ANY', allowedFunctionNames: ['weather'] },
    ],
  ])('tool_choice %j', (tool_choice, functionCallingConfig) => {
    expect(bodyOf({ tools: [weather], tool_choice }).toolConfig).toEqual({ functionCallingConfig })
    expect(bodyOf({ tool_choice })).not.toHaveProperty('toolConfig')
  })
})

describe('parameters', () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }

  test.each([
    [{ max_tokens: 5 }, { maxOutputTokens: 5 }],
    [{ max_completion_tokens: 6, max_tokens: 5 }, { maxOutputTokens: 6 }],
    [
      { temperature: 1.5, top_p: 0.5 },
      { temperature: 1.5, topP: 0.5 },
    ],
    [{ stop: 'END' }, { stopSequences: ['END'] }],
    [{ n: 2 }, { candidateCount: 2 }],
    [
      { seed: 7, presence_penalty: 1, frequency_penalty: -1 },
      { seed: 7, presencePenalty: 1, frequencyPenalty: -1 },
    ],
    [
      { logprobs: true, top_logprobs: 3 },
      { responseLogprobs: true, logprobs: 3 },
    ],
    [{ response_format: { type: 'text' } }, {}],
    [{ response_format: { type: 'json_object' } }, { responseMimeType: 'application/json' }],
    [
      { response_format: { type: 'json_schema', json_schema: { name: 'thing', schema } } },
      { responseMimeType: 'application/json', responseJsonSchema: schema },
    ],
    [{ top_k: 5, parallel_tool_calls: false, user: 'u', service_tier: 'auto' }, { topK: 5 }],
    [{ thinkingConfig: { thinkingBudget: 7 }, reasoning_effort: 'high' }, { thinkingConfig: { thinkingBudget: 7 } }],
  ])('%j', (request, expected) => {
    expect(configOf(request)).toEqual(expected)
  })

  test('a cap that a budget needs is used where the client names none', () => {
    expect(bodyOf({}, { outputTokensMax: 9 }).generationConfig).toEqual({ maxOutputTokens: 9 })
    expect(bodyOf({ max_tokens: 5 }, { outputTokensMax: 9 }).generationConfig).toEqual({ maxOutputTokens: 5 })
  })

  test("Google's own members go on", () => {
    const own = { safetySettings: [{ category: 'X', threshold: 'BLOCK_NONE' }], cachedContent: 'cachedContents/1' }
    expect(bodyOf(own)).toMatchObject(own)
  })

  test('metadata are labels of Vertex, as far as they can be', () => {
    const metadata = { team: 'payments', Trace: 'x', note: 'Not this.', 'a-b': '' }
    expect(bodyOf({ metadata }, { service: 'vertex' }).labels).toEqual({ team: 'payments', 'a-b': '' })
    expect(bodyOf({ metadata })).not.toHaveProperty('labels')
  })

  test.each([
    [{ logit_bias: { 1: 2 } }, 'logit_bias'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ stop: ['1', '2', '3', '4', '5', '6'] }, 'stop'],
    [{ reasoning_effort: 'immense' }, 'reasoning_effort'],
  ])('%j is refused by name', (request, param) => {
    expect(refusal(request)).toEqual({ code: 'unsupported_parameter', param })
  })
})

test.each([
  ['gemini-2.5-flash', 'none', { thinkingBudget: 0 }],
  ['gemini-2.5-pro', 'none', { thinkingBudget: 128 }],
  ['gemini-2.5-flash', 'minimal', { thinkingBudget: 1024, includeThoughts: true }],
  ['gemini-2.5-flash', 'low', { thinkingBudget: 1024, includeThoughts: true }],
  ['gemini-2.5-pro', 'medium', { thinkingBudget: 8192, includeThoughts: true }],
  ['gemini-2.5-pro', 'high', { thinkingBudget: 24_576, includeThoughts: true }],
  ['gemini-3-pro-preview', 'none', { thinkingLevel: 'low' }],
  ['gemini-3-flash', 'none', { thinkingLevel: 'minimal' }],
  ['gemini-3-pro-preview', 'minimal', { thinkingLevel: 'low', includeThoughts: true }],
  ['gemini-3.1-pro', 'medium', { thinkingLevel: 'medium', includeThoughts: true }],
  ['something-newer', 'xhigh', { thinkingLevel: 'high', includeThoughts: true }],
  ['gemini-2.0-flash', 'high', undefined],
])('%s with effort %s', (model, reasoning_effort, thinkingConfig) => {
  expect(configOf({ reasoning_effort }, model)).toEqual(thinkingConfig === undefined ? {} : { thinkingConfig })
})
