import { expect, test } from 'vitest'
import { readChatRequest } from './read-request.ts'
import { refuseUnsupported } from './unsupported.ts'

const hello = { role: 'user', content: 'Hello' }
const request = (members: object, messages: object[] = [hello]) => readChatRequest({ model: 'm', messages, ...members })
const assistant = (members: object) => ({ role: 'assistant', content: null, ...members })
const call = (id: string, name = 'look', json = '{"a":1}') => ({
  id,
  type: 'function',
  function: { name, arguments: json },
})

test('a text is one part, and parts keep their order, kind and place', () => {
  const { messages } = request({}, [
    { role: 'developer', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'See', cache_control: { type: 'ephemeral' } },
        { type: 'image_url', image_url: { url: 'data:image/PNG;base64,AAAA', detail: 'low' } },
        { type: 'image_url', image_url: { url: 'https://example.com/a.jpg' } },
        { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,BBBB' } },
        { type: 'input_audio', input_audio: { data: 'CCCC', format: 'wav' } },
      ],
    },
  ])
  expect(messages[0]).toMatchObject({ role: 'system', parts: [{ kind: 'text', text: 'Be brief.' }] })
  expect(messages[1]).toMatchObject({
    role: 'user',
    path: 'messages[1]',
    parts: [
      { kind: 'text', text: 'See', cacheControl: { type: 'ephemeral' }, path: 'messages[1].content[0]' },
      { kind: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' }, detail: 'low' },
      { kind: 'image', source: { kind: 'url', url: 'https://example.com/a.jpg' } },
      { kind: 'file', filename: 'a.pdf', source: { kind: 'data', mediaType: 'application/pdf', base64: 'BBBB' } },
      { kind: 'audio', format: 'wav', base64: 'CCCC' },
    ],
  })
})

test('tool calls are parsed, and results belong to a call', () => {
  const { messages } = request({}, [
    hello,
    assistant({ tool_calls: [call('1'), call('2', 'other', '')], thinking_blocks: [{ type: 'thinking' }] }),
    { role: 'tool', tool_call_id: '2', content: 'done' },
  ])
  expect(messages[1]).toMatchObject({
    toolCalls: [
      { id: '1', name: 'look', arguments: { a: 1 }, argumentsText: '{"a":1}' },
      { id: '2', name: 'other', arguments: {} },
    ],
    thinkingBlocks: [{ type: 'thinking' }],
    parts: [],
  })
  expect(messages[2]).toMatchObject({ role: 'tool', toolCallId: '2', parts: [{ kind: 'text', text: 'done' }] })
})

test('what is null is as good as absent, and the newer name of the cap wins', () => {
  expect(request({ temperature: null, stop: null, tools: null, max_tokens: 5 })).toMatchObject({
    temperature: undefined,
    stop: [],
    tools: [],
    outputTokensMax: 5,
    choices: 1,
  })
  expect(request({ max_tokens: 5, max_completion_tokens: 7, stop: 'x', n: 2 })).toMatchObject({
    outputTokensMax: 7,
    stop: ['x'],
    choices: 2,
  })
})

test.each([
  ['messages[0].content', {}, [{ role: 'user', content: 5 }]],
  ['messages[0].content[0].image_url.url', {}, [{ role: 'user', content: [{ type: 'image_url', image_url: 'x' }] }]],
  ['messages[0].content[0].type', {}, [{ role: 'user', content: [{ type: 'video' }] }]],
  [
    'messages[0].content[0]',
    {},
    [{ role: 'system', content: [{ type: 'image_url', image_url: 'https://x.example' }] }],
  ],
  ['messages[0].content[0].file.file_id', {}, [{ role: 'user', content: [{ type: 'file', file: { file_id: 'f' } }] }]],
  ['messages[0].role', {}, [{ role: 'robot', content: 'x' }]],
  ['messages[1].tool_call_id', {}, [hello, { role: 'tool', tool_call_id: 'unknown', content: 'x' }]],
  ['messages[0].tool_calls[0].function.arguments', {}, [assistant({ tool_calls: [call('1', 'a', '{"a":')] })]],
  ['messages[0].tool_calls[0].function.arguments', {}, [assistant({ tool_calls: [call('1', 'a', '[1]')] })]],
  ['temperature', { temperature: 2.5 }, [hello]],
  ['top_p', { top_p: 'high' }, [hello]],
  ['stop[1]', { stop: ['a', ''] }, [hello]],
  ['n', { n: 1.5 }, [hello]],
  ['tools[0].type', { tools: [{ type: 'custom' }] }, [hello]],
  ['tool_choice', { tool_choice: 'maybe' }, [hello]],
  ['functions', { functions: [] }, [hello]],
  ['response_format.type', { response_format: { type: 'xml' } }, [hello]],
  ['response_format.json_schema.name', { response_format: { type: 'json_schema', json_schema: {} } }, [hello]],
])('what makes no sense is refused by its name: %s', (param, members, messages) => {
  expect(() => request(members, messages)).toThrow(expect.objectContaining({ param }))
})

test('what would change the answer is refused, what only tunes is not', () => {
  const refuse = (members: object, policy: 'refuse' | 'drop' = 'refuse') =>
    refuseUnsupported(request(members), new Set(['top_k']), 'Acme', policy)
  expect(() => refuse({ logprobs: true })).toThrow('Acme has no equivalent of "logprobs".')
  expect(() => refuse({ made_up: 1 })).toThrow(expect.objectContaining({ param: 'made_up' }))
  expect(() => refuse({ made_up: 1 }, 'drop')).not.toThrow()
  expect(() => refuse({ logprobs: false, n: 1, seed: 3, top_k: 5, logit_bias: {}, modalities: ['text'] })).not.toThrow()
})
