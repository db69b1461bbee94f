import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateSecret } from '../../src/core/keys/key-format.ts'
import { eventually } from '../support/eventually.ts'
import { chatDefaults, openTestGateway, type TestGateway } from '../support/gateway.ts'
import { type ExpectedRefusal, expectNothingDispatched, expectRefusal } from '../support/refusals.ts'

let gateway: TestGateway

const gatewayPath = { chat: '/v1/chat/completions', embeddings: '/v1/embeddings' } as const
const keys = {
  expired: 'this-key-has-expired-0123456789',
  disabled: 'this-key-is-disabled-0123456789',
  revoked: 'this-key-is-revoked-0123456789',
  revokedLater: 'this-key-will-be-revoked-0123456789',
  limited: 'this-key-may-use-the-demo-0123456789',
}

beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      providers: [{ name: 'switched-off', type: 'demo', enabled: false }],
      keys: [
        { name: 'expired', secret: keys.expired, expiresAt: '2026-01-01T00:00:00Z' },
        { name: 'disabled', secret: keys.disabled, enabled: false },
        { name: 'revoked', secret: keys.revoked },
        { name: 'revoked later', secret: keys.revokedLater },
        { name: 'limited', secret: keys.limited, allowedModels: ['demo/*'] },
      ],
    },
  })
  await gateway.pool.query(`update api_keys set revoked_at = now() where name = 'revoked'`)
})
afterAll(() => gateway.close())

const invalidRequest = (status: number, code: string, param?: string): ExpectedRefusal => ({
  status,
  type: 'invalid_request_error',
  code,
  ...(param !== undefined && { param }),
})
const unauthenticated = (code: string): ExpectedRefusal => ({ status: 401, type: 'authentication_error', code })

describe('400 invalid_json', () => {
  const member = '"model":"gpt-4o-mini"'
  test.for([
    ['nothing', ''],
    ['half an object', `{${member}`],
    ['a comma too many', `{${member},}`],
    ['single quotes', "{'model':'gpt-4o-mini'}"],
    ['NaN', `{${member},"temperature":NaN}`],
    ['a comment', `{${member}/* */}`],
    ['two objects', `{${member}}{${member}}`],
    ['a byte order mark', `\ufeff{${member}}`],
    ['a control character in a string', '{"model":"a\u0001b"}'],
    [
      'a control character deep inside of a long text that is acted on',
      `{${member},"messages":[{"role":"user","content":"hi"}],"user":"${'a'.repeat(3_000)}\u0001"}`,
    ],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
    ['UTF-16', Buffer.from(`{${member}}`, 'utf16le')],
    [
      'a surrogate as UTF-8',
      Buffer.concat([Buffer.from('{"model":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]),
    ],
    ['nesting that does not end', '{"a":'.repeat(20)],
  ])('%s', async ([, body]) => {
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await gateway.chat(body as string), invalidRequest(400, 'invalid_json'))
    })
  })
})

describe('400 invalid_json, in a body that is too large to be parsed as a whole', () => {
  /** No JSON, for what is in its text: a control character, or an escape that there is none of. */
  const broken = (text: string, members: string): string =>
    `{${members},"padding":"${'x'.repeat(20_000)}","broken":"${text}"}`
  const asText = '"messages":[{"role":"user","content":"hello"}]'

  test.for(
    ['\u0001', '\\x41', '\\u12'].flatMap((text) => [
      ['demo-chat', gatewayPath.chat, broken(text, `"model":"demo-chat",${asText}`)] as const,
      [
        'usage asked for, and other options given',
        gatewayPath.chat,
        broken(text, `"model":"round-numbers",${asText},"stream":true,"stream_options":{"x":1}`),
      ] as const,
      ['demo-embedding', gatewayPath.embeddings, broken(text, '"model":"demo-embedding","input":"hello"')] as const,
      ['peer-embedding', gatewayPath.embeddings, broken(text, '"model":"peer-embedding","input":"hello"')] as const,
    ]),
  )('%s', async ([, path, body]) => {
    await expectRefusal(await gateway.request('POST', path, { body }), invalidRequest(400, 'invalid_json'))
  })
})

describe('400 invalid_body', () => {
  const nested = (levels: number): object => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`)
  const messages = (message: unknown): object => ({ messages: [chatDefaults.messages[0], message] })
  const chatCases: [what: string, body: object | string, param?: string][] = [
    ['a list', '[]'],
    ['a text', '"hello"'],
    ['a number', '1'],
    ['null', 'null'],
    ['no model', { model: undefined }, 'model'],
    ['a model that is a number', { model: 4 }, 'model'],
    ['a model without a name', { model: '' }, 'model'],
    ['a model whose name is too long', { model: 'm'.repeat(257) }, 'model'],
    ['no messages', { messages: undefined }, 'messages'],
    ['messages that are a text', { messages: 'hello' }, 'messages'],
    ['an empty list of messages', { messages: [] }, 'messages'],
    ['2,049 messages', { messages: Array(2_049).fill({ role: 'user' }) }, 'messages'],
    ['a message that is null', messages(null), 'messages[1]'],
    ['a message that is a text', messages('hello'), 'messages[1]'],
    ['a message that is a list', messages([]), 'messages[1]'],
    ['a message without a role', messages({ content: 'hello' }), 'messages[1].role'],
    ['a message whose role is empty', messages({ role: '' }), 'messages[1].role'],
    ['a message whose role is a number', messages({ role: 1 }), 'messages[1].role'],
    ['content that is a number', messages({ role: 'user', content: 1 }), 'messages[1].content'],
    ['content that is an object', messages({ role: 'user', content: {} }), 'messages[1].content'],
    ['a stream that is a text', { stream: 'true' }, 'stream'],
    ['stream options that are a text', { stream: true, stream_options: 'usage' }, 'stream_options'],
    ['stream options that are a list', { stream: true, stream_options: [] }, 'stream_options'],
    [
      'include_usage that is a number',
      { stream: true, stream_options: { include_usage: 1 } },
      'stream_options.include_usage',
    ],
    ['a user that is a number', { user: 7 }, 'user'],
    ['33 levels', { metadata: nested(32) }],
    ['60,000 levels', '['.repeat(60_000)],
    ['10,001 items', { stop: Array(10_001).fill(1) }],
    ['a member named __proto__', '{"model":"gpt-4o-mini","messages":[{"role":"user","__proto__":{"a":1}}]}'],
    ['constructor.prototype', messages({ role: 'user', constructor: { prototype: {} } })],
    ['a member twice', '{"model":"gpt-4o-mini","messages":[{"role":"user"}],"model":"o3"}', 'model'],
    [
      'a member twice, once in escapes',
      '{"model":"demo-chat","messages":[{"role":"user"}],"mod\\u0065l":"o3"}',
      'model',
    ],
  ]
  test.for(chatCases)('a chat request: %s', async ([, body, param]) => {
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await gateway.chat(body), invalidRequest(400, 'invalid_body', param))
    })
  })

  const embeddingCases: [what: string, body: object, param: string][] = [
    ['no model', { model: null }, 'model'],
    ['no input', { input: undefined }, 'input'],
    ['an empty text', { input: '' }, 'input'],
    ['an empty list', { input: [] }, 'input'],
    ['a number', { input: 1 }, 'input'],
    ['an object', { input: { text: 'hello' } }, 'input'],
    ['2,049 texts', { input: Array(2_049).fill('a') }, 'input'],
    ['an unknown encoding', { encoding_format: 'hex' }, 'encoding_format'],
    ['a user that is a list', { user: [] }, 'user'],
  ]
  test.for(embeddingCases)('an embeddings request: %s', async ([, body, param]) => {
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await gateway.embed(body), invalidRequest(400, 'invalid_body', param))
    })
  })
})

describe('401', () => {
  const whole = generateSecret()
  const cases: [what: string, headers: Record<string, string>, code: string][] = [
    ['no key', {}, 'invalid_api_key'],
    ['an empty key', { 'api-key': '' }, 'invalid_api_key'],
    ['no bearer', { authorization: 'Basic dXNlcjpwYXNzd29yZC1vZi1oZXJz' }, 'invalid_api_key'],
    ['a key that is too short to be one', { authorization: 'Bearer sk-short' }, 'invalid_api_key'],
    ['a key that is too long to be one', { authorization: `Bearer ${'x'.repeat(201)}` }, 'invalid_api_key'],
    ['a key with spaces', { authorization: 'Bearer this key has spaces in it' }, 'invalid_api_key'],
    ['a key that was cut', { authorization: `Bearer ${whole.slice(0, -1)}` }, 'invalid_api_key'],
    ['a key with a wrong checksum', { authorization: `Bearer ${whole.slice(0, -1)}!` }, 'invalid_api_key'],
    ['a key of ours that nobody has', { authorization: `Bearer ${whole}` }, 'invalid_api_key'],
    ['a key that nobody has', { 'api-key': 'nobody-has-this-key-0123456789' }, 'invalid_api_key'],
    ['a revoked key', { authorization: `Bearer ${keys.revoked}` }, 'key_revoked'],
    ['a disabled key', { authorization: `Bearer ${keys.disabled}` }, 'key_revoked'],
    ['an expired key', { authorization: `Bearer ${keys.expired}` }, 'key_expired'],
  ]
  test.for(cases)('%s, whatever is asked for', async ([, headers, code]) => {
    await expectNothingDispatched(gateway, async () => {
      const options = { key: null, headers }
      for (const response of await Promise.all([
        gateway.chat({}, options),
        gateway.embed({}, options),
        gateway.request('GET', '/v1/models', options),
        gateway.request('GET', '/v1/models/smart', options),
      ])) {
        const { message } = await expectRefusal(response, unauthenticated(code))
        for (const value of Object.values(headers)) if (value) expect(message).not.toContain(value.slice(-10))
      }
    })
  })

  test('a key in the URL counts for nothing', async () => {
    const { keySecret } = gateway
    for (const query of [
      `api_key=${keySecret}`,
      `key=${keySecret}`,
      `api-key=${keySecret}`,
      `access_token=${keySecret}`,
    ]) {
      const response = await gateway.request('GET', `/v1/models?${query}`, { key: null })
      await expectRefusal(response, unauthenticated('invalid_api_key'))
    }
  })

  test('a stranger is turned away before anybody reads the body', async () => {
    const response = await gateway.chat('{"not json', { key: 'nobody-has-this-key-0123456789' })
    await expectRefusal(response, unauthenticated('invalid_api_key'))
  })

  test('a revocation takes effect while the key is in use', async () => {
    const call = (): Promise<Response> => gateway.embed({ model: 'demo-embedding' }, { key: keys.revokedLater })
    expect((await call()).status).toBe(200)
    await gateway.pool.query(`update api_keys set revoked_at = now(), updated_at = now() where name = 'revoked later'`)
    const refused = await eventually('the key to be refused', async () => {
      const response = await call()
      return response.status !== 200 && response
    })
    await expectRefusal(refused, unauthenticated('key_revoked'))
  })
})

test('403 model_not_allowed', async () => {
  await expectNothingDispatched(gateway, async () => {
    const response = await gateway.chat({}, { key: keys.limited })
    const expected = { status: 403, type: 'permission_error', code: 'model_not_allowed', param: 'model' }
    const { message } = await expectRefusal(response, expected)
    expect(message).toContain('gpt-4o-mini')
  })
})

describe('404', () => {
  test.for([
    ['nobody has it', 'peer/no-such-model'],
    ['its provider is switched off', 'switched-off/demo-chat'],
    ['it is a provider and nothing else', 'peer/'],
    ['it does something else', 'peer/peer-embedding'],
  ])('model_not_found: %s', async ([, model]) => {
    await expectNothingDispatched(gateway, async () => {
      const { message } = await expectRefusal(
        await gateway.chat({ model }),
        invalidRequest(404, 'model_not_found', 'model'),
      )
      expect(message).toContain((model as string).split('/')[0])
    })
  })

  test('model_not_found: a name that is nearly right', async () => {
    const { message } = await expectRefusal(
      await gateway.chat({ model: 'peer/peer-chatt' }),
      invalidRequest(404, 'model_not_found', 'model'),
    )
    expect(message).toContain('Did you mean "peer/peer-chat"')
  })

  test.for([
    ['GET', '/'],
    ['GET', '/v1'],
    ['GET', '/v1/chat/completions'],
    ['HEAD', '/v1/models'],
    ['DELETE', '/v1/models/smart'],
    ['PUT', '/v1/models'],
    ['OPTIONS', '/v1/models'],
    ['POST', '/v1/no/such/thing'],
    ['POST', '/v1/chat/completions/'],
    ['GET', '/v1/models/%E0%A4%A'],
    ['GET', `/${'long/'.repeat(40)}`],
    ['GET', '/healthz'],
    ['GET', '/metrics'],
  ])('not_found: %s %s', async ([method, path]) => {
    const response = await gateway.request(
      method as string,
      path as string,
      method === 'POST' || method === 'PUT' ? { body: {} } : {},
    )
    if (method === 'HEAD') expect(response.status).toBe(404)
    else await expectRefusal(response, invalidRequest(404, 'not_found'))
  })
})
