import { describe, expect, test } from 'vitest'
import { readChatRequest } from '../../chat/read-request.ts'
import { GatewayError } from '../../errors.ts'
import { toConverse } from './to-upstream.ts'

const claude = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0'
const olderClaude = 'anthropic.claude-3-5-haiku-20241022-v1:0'
const nova = 'amazon.nova-pro-v1:0'
const hello = [{ role: 'user', content: 'Hello.' }]
const converse = (request: object, options: Partial<Parameters<typeof toConverse>[1]> = {}) =>
  toConverse(readChatRequest({ messages: hello, ...request }), {
    model: nova,
    outputTokensMax: undefined,
    unsupportedParameters: 'refuse',
    ...options,
  })
const requestOf = (request: object, model = nova) => converse(request, { model }).request
const messagesOf = (...messages: object[]) => requestOf({ messages }).messages
const user = (...content: object[]) => ({ role: 'user', content })
const assistant = (...content: object[]) => ({ role: 'assistant', content })
const call = (id: string, name: string, args = '{}') => ({ id, type: 'function', function: { name, arguments: args } })
const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }
const marker = { cache_control: { type: 'ephemeral' } }

function refusal(request: object, model?: string): { code: string; param: string | undefined } {
  try {
    requestOf(request, model)
  } catch (error) {
    if (error instanceof GatewayError) return { code: error.code, param: error.param }
  }
  throw new Error('It was not refused.')
}

describe('messages', () => {
  test('system messages become system, with cache points behind what is marked', () => {
    const messages = [
      { role: 'system', content: [{ type: 'text', text: 'Be brief.', ...marker }] },
      ...hello,
      { role: 'developer', content: 'Be kind.' },
    ]
    const { system, messages: turns } = requestOf({ messages })
    expect(system).toEqual([{ text: 'Be brief.' }, { cachePoint: { type: 'default' } }, { text: 'Be kind.' }])
    expect(turns).toEqual([user({ text: 'Hello.' })])
  })

  test('a marker for an hour says so', () => {
    const content = [{ type: 'text', text: 'Long.', cache_control: { type: 'ephemeral', ttl: '1h' } }]
    expect(messagesOf({ role: 'user', content })).toEqual([
      user({ text: 'Long.' }, { cachePoint: { type: 'default', ttl: '1h' } }),
    ])
  })

  test('(20) turns alternate, and results of parallel calls are one, before what the user says', () => {
    expect(
      messagesOf(
        ...hello,
        {
          role: 'assistant',
          content: null,
          tool_calls: [call('a', 'weather', '{"city":"Bern"}'), call('b', 'time', '')],
        },
        { role: 'tool', tool_call_id: 'a', content: 'Rain.' },
        { role: 'user', content: 'And?' },
        { role: 'tool', tool_call_id: 'b', content: '' },
      ),
    ).toEqual([
      user({ text: 'Hello.' }),
      assistant(
        { toolUse: { toolUseId: 'a', name: 'weather', input: { city: 'Bern' } } },
        { toolUse: { toolUseId: 'b', name: 'time', input: {} } },
      ),
      user(
        { toolResult: { toolUseId: 'a', content: [{ text: 'Rain.' }] } },
        { toolResult: { toolUseId: 'b', content: [{ json: {} }] } },
        { text: 'And?' },
      ),
    ])
  })

  test('(22, 37) text comes before calls, empty text is left out, an answer first is refused', () => {
    expect(
      messagesOf(
        ...hello,
        { role: 'assistant', content: 'One.', tool_calls: [call('a', 'time')] },
        { role: 'assistant', content: 'Two.' },
        { role: 'tool', tool_call_id: 'a', content: 'Noon.' },
        { role: 'user', content: ' ' },
      ),
    ).toMatchObject([{}, assistant({ text: 'One.' }, { text: 'Two.' }, { toolUse: { name: 'time' } }), user({})])
    expect(refusal({ messages: [{ role: 'assistant', content: 'Hi.' }, ...hello] }).param).toBe('messages[0].role')
    expect(refusal({ messages: [{ role: 'system', content: 'Be brief.' }] }).param).toBe('messages')
  })

  test('(26) ids of other providers are made acceptable', () => {
    const messages = messagesOf(
      ...hello,
      { role: 'assistant', tool_calls: [call('functions.time:0', 'time')] },
      { role: 'tool', tool_call_id: 'functions.time:0', content: 'Noon.' },
    )
    expect(messages?.[1]?.content?.[0]?.toolUse?.toolUseId).toBe('functions_time_0')
    expect(messages?.[2]?.content?.[0]?.toolResult?.toolUseId).toBe('functions_time_0')
  })

  test('(30, 31) reasoning goes back as it was signed, redacted reasoning as bytes, and that of others not at all', () => {
    const thinking_blocks = [
      { type: 'thinking', thinking: 'Hm.', signature: 'c2ln' },
      { type: 'redacted_thinking', data: 'ZGF0YQ==' },
      { type: 'reasoning.text', text: 'Not mine.' },
    ]
    expect(messagesOf(...hello, { role: 'assistant', content: 'Yes.', thinking_blocks })?.[1]).toEqual(
      assistant(
        { reasoningContent: { reasoningText: { text: 'Hm.', signature: 'c2ln' } } },
        { reasoningContent: { redactedContent: Buffer.from('data') } },
        { text: 'Yes.' },
      ),
    )
  })
})

describe('media', () => {
  const text = { type: 'text', text: 'See.' }
  const block = (content: object) => messagesOf({ role: 'user', content: [text, content] })?.[0]?.content?.[1]
  const image = (url: string) => ({ type: 'image_url', image_url: { url } })
  const file = (file_data: string, filename?: string) => ({ type: 'file', file: { file_data, filename } })

  test.each([
    ['image/png', 'png'],
    ['image/jpg', 'jpeg'],
    ['IMAGE/JPEG', 'jpeg'],
    ['image/webp', 'webp'],
  ])('(40) %s is the format %s', (type, format) => {
    expect(block(image(`data:${type};base64,AAAA`))).toEqual({ image: { format, source: { bytes: Buffer.alloc(3) } } })
  })

  test('S3 is read by Bedrock itself', () => {
    expect(block(image('s3://bucket/a.jpg'))).toEqual({
      image: { format: 'jpeg', source: { s3Location: { uri: 's3://bucket/a.jpg' } } },
    })
  })

  test('documents have a format, and a name that may be and is their own', () => {
    const content = [
      text,
      file('data:application/pdf;base64,AAAA', 'Q3: report_final.pdf'),
      file('data:application/pdf;base64,AAAA', 'Q3 report/final.pdf'),
      file('data:application/txt;base64,AAAA'),
      file('data:application/octet-stream;base64,AAAA', 'table.CSV'),
    ]
    const documents = messagesOf({ role: 'user', content })?.[0]
      ?.content?.slice(1)
      .map(({ document }) => document)
    expect(documents?.map((one) => [one?.format, one?.name])).toEqual([
      ['pdf', 'Q3 report final'],
      ['pdf', 'Q3 report final (2)'],
      ['txt', 'document'],
      ['csv', 'table'],
    ])
  })

  test('audio is passed on to the models that hear', () => {
    expect(block({ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } })).toEqual({
      audio: { format: 'wav', source: { bytes: Buffer.alloc(3) } },
    })
  })

  test.each([
    ['(41)', image('https://example.com/a.png'), 'messages[0].content[0].image_url.url'],
    ['(40)', image('data:image/svg+xml;base64,AAAA'), 'messages[0].content[0].image_url.url'],
    ['a document behind a URL', file('https://example.com/a.pdf'), 'messages[0].content[0].file.file_data'],
    ['a document of unknown form', file('data:application/zip;base64,AAAA'), 'messages[0].content[0].file.file_data'],
    ['a document without a text', file('data:application/pdf;base64,AAAA'), 'messages[0].content'],
  ])('%s is refused by name', (_what, content, param) => {
    expect(refusal({ messages: [{ role: 'user', content: [content] }] })).toEqual({
      code: 'unsupported_parameter',
      param,
    })
  })
})

describe('tools', () => {
  test('functions are tool specifications', () => {
    const tools = [
      {
        type: 'function',
        function: { name: 'weather', description: 'Tells.', parameters: { type: 'object' }, strict: true },
        ...marker,
      },
      { type: 'function', function: { name: 'time', description: '' } },
    ]
    expect(requestOf({ tools }, claude).toolConfig).toEqual({
      tools: [
        {
          toolSpec: { name: 'weather', description: 'Tells.', inputSchema: { json: { type: 'object' } }, strict: true },
        },
        { cachePoint: { type: 'default' } },
        { toolSpec: { name: 'time', inputSchema: { json: { type: 'object' } } } },
      ],
    })
  })

  test.each([
    ['auto', { auto: {} }],
    ['required', { any: {} }],
    [{ type: 'function', function: { name: 'weather' } }, { tool: { name: 'weather' } }],
  ])('tool_choice %j', (tool_choice, toolChoice) => {
    expect(requestOf({ tools: [weather], tool_choice }).toolConfig?.toolChoice).toEqual(toolChoice)
  })

  const history = [
    ...hello,
    { role: 'assistant', tool_calls: [call('a', 'time')] },
    { role: 'tool', tool_call_id: 'a', content: 'Noon.' },
  ]

  test('(21) none leaves tools away, unless the history has calls, which it may not have without', () => {
    expect(requestOf({ tools: [weather], tool_choice: 'none' })).not.toHaveProperty('toolConfig')
    const kept = requestOf({ messages: history, tools: [weather], tool_choice: 'none' }).toolConfig
    expect(kept?.tools).toHaveLength(1)
    expect(kept).not.toHaveProperty('toolChoice')
    expect(requestOf({ messages: history }).toolConfig).toEqual({
      tools: [{ toolSpec: { name: 'time', inputSchema: { json: { type: 'object' } } } }],
    })
  })

  test('one call at a time is said in the words of Claude, and to nobody else', () => {
    const serial = { tools: [weather], parallel_tool_calls: false }
    expect(requestOf(serial, claude).additionalModelRequestFields).toEqual({
      tool_choice: { type: 'auto', disable_parallel_tool_use: true },
    })
    expect(requestOf(serial)).not.toHaveProperty('additionalModelRequestFields')
  })
})

describe('parameters', () => {
  test.each([
    [{ max_tokens: 5 }, { maxTokens: 5 }],
    [{ max_completion_tokens: 6, max_tokens: 5 }, { maxTokens: 6 }],
    [
      { temperature: 1.5, top_p: 0.5 },
      { temperature: 1.5, topP: 0.5 },
    ],
    [{ stop: 'END' }, { stopSequences: ['END'] }],
  ])('%j', (request, inferenceConfig) => {
    expect(requestOf(request).inferenceConfig).toEqual(inferenceConfig)
  })

  test('without any, nothing is said; a cap that a budget needs is', () => {
    expect(Object.keys(requestOf({ seed: 1, presence_penalty: 1 }))).toEqual(['modelId', 'messages'])
    expect(converse({}, { outputTokensMax: 9 }).request.inferenceConfig).toEqual({ maxTokens: 9 })
  })

  test('Claude takes a temperature up to 1, and not both', () => {
    expect(requestOf({ temperature: 1.5, top_p: 0.5 }, claude).inferenceConfig).toEqual({ temperature: 1 })
    expect(requestOf({ temperature: 0.5, top_p: 0.5 }, olderClaude).inferenceConfig).toEqual({
      temperature: 0.5,
      topP: 0.5,
    })
  })

  test.each([
    [
      { user: 'u-1', metadata: { team: 'payments', note: 'ü', n: 1 } },
      { requestMetadata: { user: 'u-1', team: 'payments' } },
    ],
    [{ service_tier: 'flex' }, { serviceTier: { type: 'flex' } }],
    [{ guardrailConfig: { guardrailIdentifier: 'g' } }, { guardrailConfig: { guardrailIdentifier: 'g' } }],
    [{ top_k: 5 }, { additionalModelRequestFields: { top_k: 5 } }],
  ])('%j', (request, expected) => {
    expect(requestOf(request)).toMatchObject(expected)
  })

  test('auto is no tier of its own', () => {
    expect(requestOf({ service_tier: 'auto' })).not.toHaveProperty('serviceTier')
  })

  test.each([
    ['n', 2],
    ['logprobs', true],
    ['logit_bias', { 1: 2 }],
    ['modalities', ['text', 'audio']],
  ])('%s is refused by name', (param, value) => {
    expect(refusal({ [param]: value })).toEqual({ code: 'unsupported_parameter', param })
  })
})

describe('answers in JSON', () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } } }
  const response_format = { type: 'json_schema', json_schema: { name: 'thing', description: 'A thing.', schema } }

  test('an object is asked for in words', () => {
    expect(requestOf({ response_format: { type: 'json_object' } }).system?.[0]?.text).toMatch(
      /JSON object and nothing else/,
    )
  })

  test.each([claude, 'qwen.qwen3-32b-v1:0'])('a schema is the text format of %s', (model) => {
    expect(requestOf({ response_format }, model).outputConfig).toEqual({
      textFormat: {
        type: 'json_schema',
        structure: { jsonSchema: { name: 'thing', description: 'A thing.', schema: JSON.stringify(schema) } },
      },
    })
  })

  test.each([olderClaude, nova])('a schema is a tool that must be called for %s', (model) => {
    const { request, answerTool } = converse({ response_format }, { model })
    expect(answerTool).toBe('answer')
    expect(request.toolConfig).toEqual({
      tools: [{ toolSpec: { name: 'answer', description: 'A thing.', inputSchema: { json: schema } } }],
      toolChoice: { tool: { name: 'answer' } },
    })
  })

  test('(34) a schema is asked for in words beside tools or thinking', () => {
    const thinking = converse(
      { response_format, reasoning_effort: 'low' },
      { model: 'anthropic.claude-sonnet-4-20250514-v1:0' },
    )
    expect(thinking.answerTool).toBeUndefined()
    expect(JSON.stringify(thinking.request.system)).toContain('JSON Schema of \\"thing\\"')
    expect(converse({ response_format, tools: [weather] }).answerTool).toBeUndefined()
  })
})

describe('reasoning', () => {
  test('is a budget or an effort in the words of Claude, within the cap', () => {
    expect(requestOf({ reasoning_effort: 'low', max_tokens: 9000 }, claude)).toMatchObject({
      additionalModelRequestFields: { thinking: { type: 'enabled', budget_tokens: 2048 } },
    })
    expect(requestOf({ reasoning_effort: 'high', temperature: 0.5 }, claude)).toMatchObject({
      inferenceConfig: { maxTokens: 4096 },
      additionalModelRequestFields: { thinking: { type: 'enabled', budget_tokens: 4095 } },
    })
    expect(
      requestOf({ reasoning_effort: 'high' }, 'anthropic.claude-opus-4-6-v1:0').additionalModelRequestFields,
    ).toEqual({
      thinking: { type: 'adaptive' },
      output_config: { effort: 'high' },
    })
  })

  test('is an effort of gpt-oss, and nothing to models that have no word for it', () => {
    expect(requestOf({ reasoning_effort: 'low' }, 'openai.gpt-oss-120b-1:0').additionalModelRequestFields).toEqual({
      reasoning_effort: 'low',
    })
    expect(requestOf({ reasoning_effort: 'low' })).not.toHaveProperty('additionalModelRequestFields')
  })

  test('(34) is not beside a tool that must be called, and (30) not behind a call that lacks it', () => {
    const forced = { reasoning_effort: 'low', tools: [weather], tool_choice: 'required' }
    expect(requestOf(forced, claude)).not.toHaveProperty('additionalModelRequestFields')
    const messages = [
      ...hello,
      { role: 'assistant', tool_calls: [call('a', 'weather')] },
      { role: 'tool', tool_call_id: 'a', content: 'Rain.' },
    ]
    const lacking = { reasoning_effort: 'low', tools: [weather], messages }
    expect(requestOf(lacking, claude)).not.toHaveProperty('additionalModelRequestFields')
  })
})
