import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { chatDefaults, openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, respondWithJson, type SeenRequest, usageOf } from '../support/scripted-upstream.ts'

let gateway: TestGateway

const keys = {
  aliasOnly: 'may-use-the-alias-0123456789',
  openAiOnly: 'may-use-openai-0123456789',
  bareOnly: 'may-use-bare-names-0123456789',
}

beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      models: [
        { provider: 'peer', name: 'at-two-places', inputUsdPerMillion: 1, outputUsdPerMillion: 1 },
        { provider: 'spare', name: 'at-two-places', inputUsdPerMillion: 1, outputUsdPerMillion: 1 },
      ],
      keys: [
        { name: 'alias only', secret: keys.aliasOnly, allowedModels: ['smart'] },
        { name: 'openai only', secret: keys.openAiOnly, allowedModels: ['openai/*'] },
        { name: 'bare names only', secret: keys.bareOnly, allowedModels: ['gpt-4o*'] },
      ],
    },
  })
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer(respondWithCompletion))

const lastSeen = ({ upstream }: TestGateway): SeenRequest => upstream.requests.at(-1) as SeenRequest

/** Answers with these very bytes. */
function answerWith(text: string): void {
  gateway.upstream.answer((response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(text))
}

test('a request reaches the upstream byte for byte, fields nobody has heard of included', async () => {
  const body =
    ' {\n "future_field": {"a": [1.0, 1e2, -0]}, "messages":[{"role":"user","content":"caf\\u00e9 ☕","cache":{"x":1}}],' +
    '\t"model" : "gpt-4o-mini", "temperature":0.70, "seed": 12345678901234567890 }\n'
  const response = await gateway.chat(body)
  expect(response.status).toBe(200)
  expect(lastSeen(gateway).body).toBe(body)
})

test('an answer reaches the client byte for byte, fields nobody has heard of included', async () => {
  const answer =
    '{ "id":"chatcmpl-9", "future":{"n":1.0,"big":12345678901234567890}, "choices":[ {"index":0,"message":' +
    '{"role":"assistant","content":"caf\\u00e9 ☕","annotations":[]},"finish_reason":"stop"}],\n' +
    '"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"future_tokens":{"a":1}}}\n'
  answerWith(answer)
  const response = await gateway.chat()
  expect(await response.text()).toBe(answer)
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(response.headers.get('content-length')).toBe(String(Buffer.byteLength(answer)))
})

test('an answer says which request, provider, model and attempt it came from', async () => {
  const response = await gateway.chat({ model: 'smart' })
  const headers = Object.fromEntries(response.headers)
  expect(headers).toMatchObject({
    'x-llmgw-provider': 'openai',
    'x-llmgw-model': 'round-numbers',
    'x-llmgw-attempts': '1',
  })
  expect(headers['x-request-id']).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('the request id is ours: what the client sends under that name is stored beside it', async () => {
  const response = await gateway.chat({}, { headers: { 'x-request-id': 'the-name-the-client-gave' } })
  expect(requestIdOf(response)).not.toBe('the-name-the-client-gave')
  const record = await gateway.settledRecord(requestIdOf(response))
  expect(record.client_request_id).toBe('the-name-the-client-gave')
  expect(lastSeen(gateway).headers['x-client-request-id']).toBe(requestIdOf(response))
})

test('a call leaves one settled record with what the provider counted', async () => {
  const usage = {
    ...usageOf(100, 40),
    prompt_tokens_details: { cached_tokens: 60 },
    completion_tokens_details: { reasoning_tokens: 25 },
  }
  gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { id: 'chatcmpl-7', usage }))
  const response = await gateway.chat({ user: 'end-user-1' })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    records: 1,
    state: 'settled',
    finish: 'stop',
    usage_source: 'provider',
    operation: 'chat',
    stream: false,
    provider: 'openai',
    model: 'gpt-4o-mini',
    http_status: 200,
    error_code: null,
    input_tokens: '100',
    cache_read_tokens: '60',
    output_tokens: '40',
    reasoning_tokens: '25',
    units: { input: 40, cache_read: 60, output: 15, reasoning: 25, request: 1 },
    provider_response_id: 'chatcmpl-7',
    end_user: 'end-user-1',
    tags: { team: 'doors' },
    attempts: [{ attempt_no: 1, provider: 'openai', outcome: 'answered', http_status: 200, billing: 'billed' }],
  })
})

test.for([
  ['stop', 'stop'],
  ['length', 'length'],
  ['tool_calls', 'tool_calls'],
  ['function_call', 'tool_calls'],
  ['content_filter', 'content_filter'],
  ['a_reason_of_tomorrow', 'stop'],
] as const)('the finish reason %s is recorded as %s', async ([finishReason, recorded]) => {
  gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { finishReason }))
  const response = await gateway.chat()
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ finish: recorded, state: 'settled' })
})

test('an alias: the upstream reads the name of its model, the record names both', async () => {
  const body = '{"model":"smart","messages":[{"role":"user","content":"Call it smart."}],"x":"smart"}'
  const response = await gateway.chat(body)
  expect(lastSeen(gateway).body).toBe(body.replace('"model":"smart"', '"model":"round-numbers"'))
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    requested_model: 'smart',
    alias: 'smart',
    provider: 'openai',
    model: 'round-numbers',
  })
})

test.for([
  ['a bare name', 'round-numbers', 'openai', 'round-numbers'],
  ['provider/model', 'openai/round-numbers', 'openai', 'round-numbers'],
  ['provider/model of another provider', 'peer/peer-chat', 'peer', 'peer-chat'],
  ['a dated name that the catalog knows by rule', 'gpt-4o-mini-2024-07-18', 'openai', 'gpt-4o-mini-2024-07-18'],
  ['a name that only the pass-through provider can know', 'ft:someone:else', 'openai', 'ft:someone:else'],
] as const)('a model can be named as %s', async ([, named, provider, model]) => {
  const response = await gateway.chat({ model: named })
  expect(response.status).toBe(200)
  expect(response.headers.get('x-llmgw-provider')).toBe(provider)
  expect(lastSeen(gateway).json.model).toBe(model)
  const record = await gateway.settledRecord(requestIdOf(response))
  expect(record).toMatchObject({ requested_model: named, alias: null, provider, model })
})

test('a bare name that two providers serve is refused, naming both', async () => {
  const response = await gateway.chat({ model: 'at-two-places' })
  expect(response.status).toBe(404)
  const { error } = (await response.json()) as { error: { message: string } }
  expect(error.message).toContain('"peer/at-two-places", "spare/at-two-places"')
})

test.for([
  // UTF-16 that is no text, characters that no header may hold, and what a terminal would obey.
  ['a lone surrogate', 'openai/\ud800x'],
  ['a line break', 'openai/a\r\nset-cookie: x'],
  ['a NUL', 'openai/a\u0000b'],
  ['letters beyond Latin-1', 'openai/модель'],
])('a passed-through model name with %s does no harm', async ([, model]) => {
  const response = await gateway.chat({ model })
  expect(response.status).toBe(200)
  expect(response.headers.get('set-cookie')).toBeNull()
  expect(await response.json()).toMatchObject({ object: 'chat.completion' })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ records: 1, state: 'settled' })
})

test('the demo provider answers by itself, and says so', async () => {
  const requestsBefore = gateway.upstream.requests.length
  const response = await gateway.chat({ model: 'demo-chat' })
  expect(await response.json()).toMatchObject({
    object: 'chat.completion',
    model: 'demo-chat',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: expect.stringContaining('built-in demo provider') },
        finish_reason: 'stop',
      },
    ],
    usage: { prompt_tokens: expect.any(Number), completion_tokens: expect.any(Number) },
  })
  expect(gateway.upstream.requests.length).toBe(requestsBefore)
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    provider: 'demo',
    model: 'demo-chat',
    usage_source: 'provider',
    provider_cost_nano: '0',
    state: 'settled',
  })
})

test('the demo provider refuses to write more answers at once than OpenAI would', async () => {
  const response = await gateway.chat({ model: 'demo-chat', n: 1_000_000_000 })
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ error: { code: 'invalid_body', param: 'n' } })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    state: 'released',
    provider_cost_nano: '0',
  })
})

test('an answer of a peer is put into the form that strict clients need', async () => {
  answerWith(
    JSON.stringify({
      model: 'peer-chat',
      choices: [{ message: { content: [{ type: 'text', text: 'Parts where ' }, { text: 'text belongs.' }] } }],
      usage: { prompt_tokens: 3, completion_tokens: 4 },
    }),
  )
  const response = await gateway.chat({ model: 'peer-chat' })
  const requestId = requestIdOf(response)
  expect(await response.json()).toEqual({
    id: `chatcmpl-${requestId}`,
    object: 'chat.completion',
    created: expect.any(Number),
    model: 'peer-chat',
    choices: [
      {
        index: 0,
        message: expect.objectContaining({ role: 'assistant', content: 'Parts where text belongs.' }),
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: expect.objectContaining({ prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }),
  })
  expect(await gateway.settledRecord(requestId)).toMatchObject({
    provider: 'peer',
    usage_source: 'provider',
    // 3 at 2 dollars and 4 at 8 dollars a million
    provider_cost_nano: '38000',
  })
})

test.for([
  ['the alias, its targets are not named', keys.aliasOnly, 'smart', true],
  ['the alias, its target is asked for', keys.aliasOnly, 'openai/round-numbers', false],
  ['the alias, its target is asked for by its bare name', keys.aliasOnly, 'round-numbers', false],
  ['a provider, provider/model', keys.openAiOnly, 'openai/gpt-4o-mini', true],
  ['a provider, a bare name it serves', keys.openAiOnly, 'gpt-4o-mini', true],
  ['a provider, another one is asked for', keys.openAiOnly, 'peer/peer-chat', false],
  ['a provider, an alias with a target there', keys.openAiOnly, 'smart', true],
  ['bare names, such a name', keys.bareOnly, 'gpt-4o-mini', true],
  ['bare names, provider/model', keys.bareOnly, 'openai/gpt-4o-mini', false],
  ['bare names, another name', keys.bareOnly, 'round-numbers', false],
] as const)('a key is allowed %s', async ([, key, model, isAllowed]) => {
  const requestsBefore = gateway.upstream.requests.length
  const response = await gateway.chat({ model }, { key })
  expect(response.status).toBe(isAllowed ? 200 : 403)
  expect(gateway.upstream.requests.length).toBe(requestsBefore + (isAllowed ? 1 : 0))
  if (!isAllowed) expect(await response.json()).toMatchObject({ error: { code: 'model_not_allowed', param: 'model' } })
})

test('a key that may use one target of an alias only never falls back to the other one', async () => {
  gateway.upstream.answer((response) => respondWithJson(response, 500, { error: { message: 'no' } }))
  const spareBefore = gateway.spare.requests.length
  const response = await gateway.chat({ model: 'smart' }, { key: keys.openAiOnly })
  expect(response.status).toBe(502)
  expect(gateway.spare.requests.length).toBe(spareBefore)
})

test('headers of the client never reach the upstream, and what it sets in the body changes neither host nor key', async () => {
  const headers = {
    cookie: 'session=1',
    'openai-organization': 'org-of-the-client',
    'openai-beta': 'x',
    'x-forwarded-for': '10.0.0.1',
    forwarded: 'for=10.0.0.1',
    'x-stainless-lang': 'js',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'user-agent': 'client/1.0',
    'accept-encoding': 'gzip, br',
    'idempotency-key': 'k-1',
  }
  const extra = {
    api_base: 'http://127.0.0.1:9',
    base_url: 'http://127.0.0.1:9',
    api_key: 'sk-client',
    extra_headers: { authorization: 'Bearer sk-client', 'x-added': '1' },
    messages: [{ ...chatDefaults.messages[0], extra_headers: { 'x-added': '1' } }],
  }
  const response = await gateway.chat(extra, { headers })
  expect(response.status).toBe(200)
  const seen = lastSeen(gateway)
  const { host, 'content-length': length, ...sent } = seen.headers
  expect(sent).toEqual({
    connection: 'keep-alive',
    'content-type': 'application/json',
    'accept-encoding': 'identity',
    'user-agent': 'llmgw',
    authorization: 'Bearer sk-upstream-credential-0123456789',
    'x-client-request-id': requestIdOf(response),
  })
  expect(seen.path).toBe('/v1/chat/completions')
})

test('headers of the upstream stay with us', async () => {
  gateway.upstream.answer((response, request) => {
    response.setHeader('set-cookie', 'session=1')
    response.setHeader('server', 'upstream/1.0')
    response.setHeader('x-request-id', 'req_of_the_upstream')
    response.setHeader('openai-organization', 'org-of-the-operator')
    response.setHeader('x-ratelimit-remaining-requests', '17')
    response.setHeader('via', '1.1 proxy')
    respondWithCompletion(response, request)
  })
  const names = [...(await gateway.chat()).headers.keys()].sort()
  expect(names).toEqual([
    'connection',
    'content-length',
    'content-type',
    'date',
    'keep-alive',
    'x-llmgw-attempts',
    'x-llmgw-model',
    'x-llmgw-provider',
    'x-request-id',
  ])
})
