import { describe, expect, test } from 'vitest'
import { readChatRequest } from '../../chat/read-request.ts'
import { GatewayError } from '../../errors.ts'
import { toAnthropicRequest } from './to-upstream.ts'

const hello = [{ role: 'user', content: 'Hello.' }]
const sent = (request: object, options: Partial<Parameters<typeof toAnthropicRequest>[1]> = {}) =>
  toAnthropicRequest(readChatRequest({ messages: hello, ...request }), {
    model: 'claude-sonnet-4-5',
    stream: false,
    outputTokensMax: undefined,
    unsupportedParameters: 'refuse',
    ...options,
  })
const bodyOf = (request: object, model = 'claude-sonnet-4-5') => sent(request, { model }).body
const messagesOf = (...messages: object[]) => bodyOf({ messages }).messages
const text = (value: string) => ({ type: 'text', text: value })
const user = (...content: object[]) => ({ role: 'user', content })
const assistant = (...content: object[]) => ({ role: 'assistant', content })
const call = (id: string, name: string, args = '{}') => ({ id, type: 'function', function: { name, arguments: args } })
const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }

function refusal(request: object, model?: string): { code: string; param: string | undefined } {
  try {
    bodyOf(request, model)
  } catch (error) {
    if (error instanceof GatewayError) return { code: error.code, param: error.param }
  }
  throw new Error('It was not refused.')
}

describe('messages', () => {
  test('system and developer messages become system, wherever they stand', () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      ...hello,
      { role: 'developer', content: [{ type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } }] },
    ]
    const { system, messages: turns } = bodyOf({ messages })
    expect(system).toEqual([text('Be brief.'), { ...text('Be kind.'), cache_control: { type: 'ephemeral' } }])
    expect(turns).toEqual([user(text('Hello.'))])
  })

  test('turns alternate', () => {
    expect(
      messagesOf(
        { role: 'user', content: 'One.' },
        { role: 'user', content: [{ type: 'text', text: 'Two.' }] },
        { role: 'assistant', content: 'Three.' },
        { role: 'assistant', content: 'Four.' },
        { role: 'user', content: 'Five.' },
      ),
    ).toEqual([user(text('One.'), text('Two.')), assistant(text('Three.'), text('Four.')), user(text('Five.'))])
  })

  test('(37) texts without a character are left out, and a first message of the assistant is refused', () => {
    expect(
      messagesOf(
        ...hello,
        { role: 'assistant', content: '' },
        { role: 'user', content: [{ type: 'text', text: ' ' }] },
      ),
    ).toEqual([user(text('Hello.'))])
    const messages = [{ role: 'assistant', content: 'Hi.' }, ...hello]
    expect(refusal({ messages })).toEqual({ code: 'unsupported_parameter', param: 'messages[0].role' })
    expect(refusal({ messages: [{ role: 'system', content: 'Be brief.' }] }).param).toBe('messages')
  })

  test('the beginning of an answer does not end in white space', () => {
    expect(messagesOf(...hello, { role: 'assistant', content: 'Once upon ' })).toEqual([
      user(text('Hello.')),
      assistant(text('Once upon')),
    ])
  })

  test('(20) results of parallel calls are one message, before what the user says', () => {
    expect(
      messagesOf(
        ...hello,
        { role: 'assistant', content: null, tool_calls: [call('a', 'weather', '{"city":"Bern"}'), call('b', 'time')] },
        { role: 'tool', tool_call_id: 'a', content: 'Rain.' },
        { role: 'user', content: 'And?' },
        {
          role: 'tool',
          tool_call_id: 'b',
          content: [{ type: 'text', text: 'Noon.' }],
          cache_control: { type: 'ephemeral' },
        },
      ),
    ).toEqual([
      user(text('Hello.')),
      assistant(
        { type: 'tool_use', id: 'a', name: 'weather', input: { city: 'Bern' } },
        { type: 'tool_use', id: 'b', name: 'time', input: {} },
      ),
      user(
        { type: 'tool_result', tool_use_id: 'a', content: 'Rain.' },
        { type: 'tool_result', tool_use_id: 'b', content: 'Noon.', cache_control: { type: 'ephemeral' } },
        text('And?'),
      ),
    ])
  })

  test('(18) arguments of a call without any are an object', () => {
    const body = bodyOf({
      messages: [
        ...hello,
        { role: 'assistant', tool_calls: [call('a', 'time', '')] },
        { role: 'tool', tool_call_id: 'a', content: '' },
      ],
    })
    expect(body.messages).toEqual([
      user(text('Hello.')),
      assistant({ type: 'tool_use', id: 'a', name: 'time', input: {} }),
      user({ type: 'tool_result', tool_use_id: 'a' }),
    ])
  })

  test('(22) text comes before the calls of an answer', () => {
    expect(
      messagesOf(
        ...hello,
        { role: 'assistant', content: 'Let me see.', tool_calls: [call('a', 'time')] },
        { role: 'assistant', content: 'One moment.' },
        { role: 'tool', tool_call_id: 'a', content: 'Noon.' },
      ),
    ).toEqual([
      user(text('Hello.')),
      assistant(text('Let me see.'), text('One moment.'), { type: 'tool_use', id: 'a', name: 'time', input: {} }),
      user({ type: 'tool_result', tool_use_id: 'a', content: 'Noon.' }),
    ])
  })

  test('(26) ids of other providers are made acceptable, and stay apart', () => {
    const messages = messagesOf(
      ...hello,
      { role: 'assistant', tool_calls: [call('functions.time:0', 'time'), call('functions_time:0', 'time')] },
      { role: 'tool', tool_call_id: 'functions_time:0', content: 'Noon.' },
      { role: 'tool', tool_call_id: 'functions.time:0', content: 'One.' },
    ) as { content: { id?: string; tool_use_id?: string }[] }[]
    expect(messages[1]?.content.map(({ id }) => id)).toEqual(['functions_time_0', 'functions_time_0_2'])
    expect(messages[2]?.content.map(({ tool_use_id: id }) => id)).toEqual(['functions_time_0_2', 'functions_time_0'])
  })

  test('(30, 31) thinking goes back as it was signed: in its order, without text, redacted', () => {
    const thinking = [
      { type: 'thinking', thinking: 'Hm.', signature: 'c2ln' },
      { type: 'redacted_thinking', data: 'ZGF0YQ==' },
      { type: 'thinking', thinking: '', signature: 'c2lnMg==' },
    ]
    const messages = messagesOf(
      ...hello,
      { role: 'assistant', content: 'See.', thinking_blocks: thinking, tool_calls: [call('a', 'time')] },
      { role: 'tool', tool_call_id: 'a', content: 'Noon.' },
    ) as object[]
    expect(messages[1]).toEqual(
      assistant(...thinking, text('See.'), { type: 'tool_use', id: 'a', name: 'time', input: {} }),
    )
  })

  test('thinking of another provider, which Anthropic has not signed, stays away', () => {
    const thinking = [
      { type: 'thinking', thinking: 'Hm.' },
      { type: 'reasoning.text', text: 'Hm.' },
    ]
    expect(messagesOf(...hello, { role: 'assistant', content: 'Yes.', thinking_blocks: thinking })).toEqual([
      user(text('Hello.')),
      assistant(text('Yes.')),
    ])
  })
})

describe('pictures and documents', () => {
  const part = (content: object) =>
    (messagesOf({ role: 'user', content: [content] }) as { content: object[] }[])[0]?.content[0]
  const image = (url: string) => part({ type: 'image_url', image_url: { url } })

  test('data URLs are base64 sources, and others stay URLs', () => {
    expect(image('data:image/png;base64,AAAA')).toEqual({
      type: 'image',
      source: { type: 'base64', media_type: 'image/png', data: 'AAAA' },
    })
    expect(image('data:image/jpg;base64,AAAA')).toMatchObject({ source: { media_type: 'image/jpeg' } })
    expect(image('https://example.com/a.png')).toEqual({
      type: 'image',
      source: { type: 'url', url: 'https://example.com/a.png' },
    })
  })

  test('a PDF is a document with its name, and so is plain text', () => {
    const file = (file_data: string) => part({ type: 'file', file: { filename: 'a.pdf', file_data } })
    expect(file('data:application/pdf;base64,AAAA')).toEqual({
      type: 'document',
      source: { type: 'base64', media_type: 'application/pdf', data: 'AAAA' },
      title: 'a.pdf',
    })
    expect(file('data:text/plain;base64,SGk=')).toMatchObject({
      source: { type: 'text', media_type: 'text/plain', data: 'Hi' },
    })
    expect(file('https://example.com/a.pdf')).toMatchObject({
      source: { type: 'url', url: 'https://example.com/a.pdf' },
    })
  })

  test.each([
    [
      { type: 'image_url', image_url: { url: 'data:image/svg+xml;base64,AAAA' } },
      'messages[0].content[0].image_url.url',
    ],
    [
      { type: 'file', file: { file_data: 'data:application/zip;base64,AAAA' } },
      'messages[0].content[0].file.file_data',
    ],
    [{ type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } }, 'messages[0].content[0]'],
  ])('what it cannot read is refused by name: %j', (content, param) => {
    expect(refusal({ messages: [{ role: 'user', content: [content] }] })).toEqual({
      code: 'unsupported_parameter',
      param,
    })
  })
})

describe('tools', () => {
  test('functions are tools with an input schema', () => {
    const parameters = { type: 'object', properties: { city: { type: 'string' } } }
    const tools = [
      { type: 'function', function: { name: 'weather', description: 'Tells.', parameters, strict: true } },
      { type: 'function', function: { name: 'time' }, cache_control: { type: 'ephemeral' } },
    ]
    expect(bodyOf({ tools }).tools).toEqual([
      { name: 'weather', description: 'Tells.', input_schema: parameters, strict: true },
      { name: 'time', input_schema: { type: 'object' }, cache_control: { type: 'ephemeral' } },
    ])
    expect(bodyOf({ tools }, 'claude-3-5-haiku-latest').tools).toEqual([
      { name: 'weather', description: 'Tells.', input_schema: parameters },
      { name: 'time', input_schema: { type: 'object' }, cache_control: { type: 'ephemeral' } },
    ])
  })

  test.each([
    ['auto', { type: 'auto' }],
    ['none', { type: 'none' }],
    ['required', { type: 'any' }],
    [
      { type: 'function', function: { name: 'weather' } },
      { type: 'tool', name: 'weather' },
    ],
  ])('tool_choice %j', (tool_choice, expected) => {
    expect(bodyOf({ tools: [weather], tool_choice }).tool_choice).toEqual(expected)
  })

  test('one call at a time is a member of the choice, which may have to be made for it', () => {
    const serial = { tools: [weather], parallel_tool_calls: false }
    expect(bodyOf(serial).tool_choice).toEqual({ type: 'auto', disable_parallel_tool_use: true })
    expect(bodyOf({ ...serial, tool_choice: 'required' }).tool_choice).toEqual({
      type: 'any',
      disable_parallel_tool_use: true,
    })
    expect(bodyOf({ ...serial, tool_choice: 'none' }).tool_choice).toEqual({ type: 'none' })
    expect(bodyOf({ tools: [weather], parallel_tool_calls: true }).tool_choice).toBeUndefined()
  })

  test('(21) a history with calls declares the tools it names, which may not be called', () => {
    const messages = [
      ...hello,
      { role: 'assistant', tool_calls: [call('a', 'time'), call('b', 'time')] },
      { role: 'tool', tool_call_id: 'a', content: 'Noon.' },
      { role: 'tool', tool_call_id: 'b', content: 'Noon.' },
    ]
    expect(bodyOf({ messages })).toMatchObject({
      tools: [{ name: 'time', input_schema: { type: 'object' } }],
      tool_choice: { type: 'none' },
    })
  })
})

describe('parameters', () => {
  test("the cap is the client's, else the one given, else what every model answers", () => {
    expect(bodyOf({ max_tokens: 5 }).max_tokens).toBe(5)
    expect(bodyOf({ max_tokens: 5, max_completion_tokens: 6 }).max_tokens).toBe(6)
    expect(sent({}, { outputTokensMax: 7 }).body.max_tokens).toBe(7)
    expect(bodyOf({}).max_tokens).toBe(4096)
  })

  test('temperature ends at 1, and models that take only one of the two get the temperature', () => {
    expect(bodyOf({ temperature: 1.5, top_p: 0.5 }, 'claude-3-5-sonnet-20241022')).toMatchObject({
      temperature: 1,
      top_p: 0.5,
    })
    expect(bodyOf({ temperature: 0.5, top_p: 0.5 })).toMatchObject({ temperature: 0.5 })
    expect(bodyOf({ temperature: 0.5, top_p: 0.5 })).not.toHaveProperty('top_p')
    expect(bodyOf({ top_p: 0.5 })).toMatchObject({ top_p: 0.5 })
    expect(bodyOf({ temperature: 0.5, top_p: 0.5 }, 'claude-opus-4-7')).not.toHaveProperty('temperature')
  })

  test('stop is a list, and white space alone is refused', () => {
    expect(bodyOf({ stop: 'END' }).stop_sequences).toEqual(['END'])
    expect(bodyOf({ stop: ['A', 'B'] }).stop_sequences).toEqual(['A', 'B'])
    expect(refusal({ stop: ['A', '\n'] })).toEqual({ code: 'unsupported_parameter', param: 'stop[1]' })
  })

  test.each([
    [{ user: 'u-1' }, { metadata: { user_id: 'u-1' } }],
    [{ metadata: { user_id: 'u-2', trace: 'x' } }, { metadata: { user_id: 'u-2' } }],
    [{ service_tier: 'auto' }, { service_tier: 'auto' }],
    [{ service_tier: 'default' }, { service_tier: 'standard_only' }],
    [
      { top_k: 5, cache_control: { type: 'ephemeral' } },
      { top_k: 5, cache_control: { type: 'ephemeral' } },
    ],
  ])('%j', (request, expected) => {
    expect(bodyOf(request)).toMatchObject(expected)
  })

  test('what only tunes is left out', () => {
    const tuned = bodyOf({ seed: 1, presence_penalty: 1, frequency_penalty: 1, store: true, verbosity: 'low', n: 1 })
    expect(Object.keys(tuned)).toEqual(['model', 'max_tokens', 'messages'])
  })

  test.each([
    ['n', 2],
    ['logprobs', true],
    ['logit_bias', { 1: 2 }],
    ['modalities', ['text', 'audio']],
    ['web_search_options', {}],
  ])('%s would change the answer, and is refused unless the operator drops it', (param, value) => {
    expect(refusal({ [param]: value })).toEqual({ code: 'unsupported_parameter', param })
    expect(() => sent({ [param]: value }, { unsupportedParameters: 'drop' })).not.toThrow()
  })

  test('a stream is asked for', () => {
    expect(sent({}, { stream: true }).body.stream).toBe(true)
    expect(sent({}).body).not.toHaveProperty('stream')
  })
})

describe('answers in JSON', () => {
  const schema = { type: 'object', properties: { a: { type: 'string' } }, additionalProperties: false }
  const response_format = { type: 'json_schema', json_schema: { name: 'thing', schema } }

  test('an object is asked for in words', () => {
    const { system } = bodyOf({ response_format: { type: 'json_object' } }) as { system: { text: string }[] }
    expect(system[0]?.text).toMatch(/JSON object and nothing else/)
  })

  test('a schema is the output format of models that have one', () => {
    expect(bodyOf({ response_format }).output_config).toEqual({ format: { type: 'json_schema', schema } })
  })

  test('a schema is a tool that must be called for older ones', () => {
    const { body, answerTool } = sent({ response_format }, { model: 'claude-3-5-haiku-latest' })
    expect(answerTool).toBe('answer')
    expect(body).toMatchObject({
      tools: [{ name: 'answer', input_schema: schema }],
      tool_choice: { type: 'tool', name: 'answer', disable_parallel_tool_use: true },
    })
  })

  test('(34) a schema is asked for in words where a tool that must be called may not be: thinking, or beside tools', () => {
    const thinking = sent(
      { response_format, reasoning_effort: 'low' },
      { model: 'claude-sonnet-4-0', outputTokensMax: 9000 },
    )
    expect(thinking.answerTool).toBeUndefined()
    expect(thinking.body.thinking).toEqual({ type: 'enabled', budget_tokens: 2048 })
    expect(JSON.stringify(thinking.body.system)).toContain('JSON Schema of \\"thing\\"')
    const withTools = sent({ response_format, tools: [weather] }, { model: 'claude-3-5-haiku-latest' })
    expect(withTools.answerTool).toBeUndefined()
    expect(withTools.body.tools).toHaveLength(1)
  })
})

describe('reasoning', () => {
  test.each([
    ['minimal', 1024],
    ['low', 2048],
    ['medium', 8192],
    ['high', 16_384],
  ])('effort %s is a budget for models that take one', (reasoning_effort, budget_tokens) => {
    const { thinking } = sent({ reasoning_effort }, { outputTokensMax: 64_000 }).body
    expect(thinking).toEqual({ type: 'enabled', budget_tokens })
  })

  test('the budget stays below the cap, and there is none where the cap leaves no room', () => {
    expect(bodyOf({ reasoning_effort: 'high', max_tokens: 3000 }).thinking).toEqual({
      type: 'enabled',
      budget_tokens: 2999,
    })
    expect(bodyOf({ reasoning_effort: 'high', max_tokens: 1024 })).not.toHaveProperty('thinking')
  })

  test.each([
    ['minimal', 'low'],
    ['medium', 'medium'],
    ['xhigh', 'xhigh'],
  ])('effort %s is an effort for models that adapt', (reasoning_effort, effort) => {
    expect(bodyOf({ reasoning_effort }, 'claude-opus-4-6')).toMatchObject({
      thinking: { type: 'adaptive' },
      output_config: { effort },
    })
  })

  test('none, or a model that does not think, gets nothing; an unknown effort is refused', () => {
    expect(bodyOf({ reasoning_effort: 'none' })).not.toHaveProperty('thinking')
    expect(bodyOf({ reasoning_effort: 'high' }, 'claude-3-5-haiku-latest')).not.toHaveProperty('thinking')
    expect(refusal({ reasoning_effort: 'immense' })).toEqual({
      code: 'unsupported_parameter',
      param: 'reasoning_effort',
    })
  })

  test('what the client says in terms of Anthropic goes on', () => {
    const thinking = { type: 'enabled', budget_tokens: 1500 }
    expect(bodyOf({ thinking, reasoning_effort: 'high' }).thinking).toEqual(thinking)
  })

  test('sampling is left out while thinking', () => {
    const body = bodyOf({ reasoning_effort: 'low', temperature: 0.2, top_p: 0.9 })
    expect(body).not.toHaveProperty('temperature')
    expect(body).not.toHaveProperty('top_p')
  })

  test('(34) there is no thinking beside a tool that must be called', () => {
    expect(bodyOf({ reasoning_effort: 'low', tools: [weather], tool_choice: 'required' })).not.toHaveProperty(
      'thinking',
    )
    const adaptive = bodyOf({ reasoning_effort: 'low', tools: [weather], tool_choice: 'required' }, 'claude-opus-4-6')
    expect(adaptive).not.toHaveProperty('thinking')
    expect(adaptive.output_config).toEqual({ effort: 'low' })
  })

  test('(30) there is no thinking after a call whose thinking the client has not kept', () => {
    const turn = (thinking_blocks?: object[]) =>
      bodyOf({
        reasoning_effort: 'low',
        tools: [weather],
        messages: [
          ...hello,
          { role: 'assistant', tool_calls: [call('a', 'weather')], thinking_blocks },
          { role: 'tool', tool_call_id: 'a', content: 'Rain.' },
        ],
      })
    expect(turn()).not.toHaveProperty('thinking')
    expect(turn([{ type: 'thinking', thinking: 'Hm.', signature: 'c2ln' }])).toHaveProperty('thinking')
  })
})
