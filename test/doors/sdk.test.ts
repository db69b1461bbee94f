import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embed, embedMany, generateText, jsonSchema, streamText, tool } from 'ai'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import {
  type Behaviour,
  respondWithCompletion,
  respondWithJson,
  startStream,
  textChunk,
  usageOf,
  writeFrame,
} from '../support/scripted-upstream.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer(respondWithCompletion))

const messages = [{ role: 'user' as const, content: 'What is the weather in Oslo?' }]
const parameters = {
  type: 'object' as const,
  properties: { city: { type: 'string' as const } },
  required: ['city'],
  additionalProperties: false,
}
const weatherTool = { type: 'function' as const, function: { name: 'weather', parameters } }

/** Answers with one call of the tool `weather`, in pieces where a stream is asked for. */
const callTheTool: Behaviour = (response, { json }) => {
  const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }
  const head = { id: 'chatcmpl-1', created: 1_760_000_000, model: String(json.model) }
  if (json.stream !== true) {
    const message = { role: 'assistant', content: null, tool_calls: [call] }
    const choices = [{ index: 0, message, finish_reason: 'tool_calls' }]
    respondWithJson(response, 200, { ...head, object: 'chat.completion', choices, usage: usageOf(20, 9) })
    return
  }
  startStream(response)
  const chunk = (delta: object, finishReason: string | null = null): void =>
    writeFrame(response, {
      ...head,
      object: 'chat.completion.chunk',
      choices: [{ index: 0, delta, finish_reason: finishReason }],
    })
  chunk({ role: 'assistant', content: null })
  chunk({ tool_calls: [{ index: 0, ...call, function: { name: 'weather', arguments: '' } }] })
  chunk({ tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] })
  chunk({ tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] })
  chunk({}, 'tool_calls')
  writeFrame(response, { ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf(20, 9) })
  response.end('data: [DONE]\n\n')
}

/** Through the relay, the decoder and the demo; clients cannot tell which. */
const models = ['round-numbers', 'peer-chat'] as const

describe('openai', () => {
  const client = (options: { apiKey?: string; maxRetries?: number } = {}): OpenAI =>
    new OpenAI({ apiKey: gateway.keySecret, baseURL: `${gateway.url}/v1`, maxRetries: 0, ...options })

  test.for([...models, 'demo-chat'])('chat, %s', async (model) => {
    const { data, request_id, response } = await client().chat.completions.create({ model, messages }).withResponse()
    expect(data.choices[0]?.message.content).toMatch(/\S/)
    expect(data.choices[0]?.finish_reason).toBe('stop')
    expect(data.usage?.total_tokens).toBeGreaterThan(0)
    expect(request_id).toBe(response.headers.get('x-request-id'))
    expect(await gateway.settledRecord(String(request_id))).toMatchObject({ requested_model: model, state: 'settled' })
  })

  test.for([...models, 'demo-chat'])('a streamed chat, %s', async (model) => {
    let text = ''
    let usage: OpenAI.CompletionUsage | null | undefined
    const request = { model, messages, stream: true, stream_options: { include_usage: true } } as const
    for await (const chunk of await client().chat.completions.create(request)) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage ?? usage
    }
    expect(text).toMatch(/\S \S/)
    expect(usage?.completion_tokens).toBeGreaterThan(0)
  })

  test.for([...models, 'demo-chat'])('the streaming helper, %s', async (model) => {
    const stream = client().chat.completions.stream({ model, messages })
    const pieces: string[] = []
    stream.on('content', (delta) => pieces.push(delta))
    const completion = await stream.finalChatCompletion()
    expect(completion.choices[0]?.message.content).toBe(pieces.join(''))
    expect(completion.choices[0]?.finish_reason).toBe('stop')
  })

  test.for(models)('tools, %s', async (model) => {
    gateway.upstream.answer(callTheTool)
    const completion = await client().chat.completions.create({ model, messages, tools: [weatherTool] })
    expect(completion.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ id: 'call_1', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }] },
    })
  })

  test.for(models)('streamed tools, %s', async (model) => {
    gateway.upstream.answer(callTheTool)
    const stream = client().chat.completions.stream({ model, messages, tools: [weatherTool] })
    const completion = await stream.finalChatCompletion()
    expect(completion.choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ id: 'call_1', function: { name: 'weather', arguments: '{"city":"Oslo"}' } }] },
    })
  })

  test('the demo calls a tool that it has to call', async () => {
    const completion = await client().chat.completions.create({
      model: 'demo-chat',
      messages,
      tools: [weatherTool],
      tool_choice: 'required',
    })
    const [call] = completion.choices[0]?.message.tool_calls ?? []
    expect(call).toMatchObject({ type: 'function', function: { name: 'weather' } })
    expect(JSON.parse((call as OpenAI.ChatCompletionMessageFunctionToolCall).function.arguments)).toMatchObject({
      city: expect.any(String),
    })
  })

  test.for([...models, 'demo-chat'])('structured output, %s', async (model) => {
    gateway.upstream.answer((response, request) => {
      respondWithCompletion(response, request, { content: '{"city":"Oslo"}' })
    })
    const completion = await client().chat.completions.parse({
      model,
      messages,
      response_format: { type: 'json_schema', json_schema: { name: 'place', strict: true, schema: parameters } },
    })
    expect(completion.choices[0]?.message.parsed).toEqual({ city: expect.any(String) })
  })

  test.for(['text-embedding-3-small', 'peer-embedding', 'demo-embedding'])('embeddings, %s', async (model) => {
    // The SDK asks for base64 by itself and decodes what comes.
    const { data, usage } = await client().embeddings.create({ model, input: ['one', 'two'] })
    expect(data.map(({ index }) => index)).toEqual([0, 1])
    if (model === 'demo-embedding') expect(data[0]?.embedding).toHaveLength(256)
    else expect([...(data[1]?.embedding ?? [])]).toEqual([1.25, -0.5, 0.125])
    expect(usage.prompt_tokens).toBeGreaterThan(0)
  })

  test('models', async () => {
    const ids: string[] = []
    for await (const model of client().models.list()) ids.push(model.id)
    expect(ids).toEqual(expect.arrayContaining(['smart', 'openai/gpt-4o-mini']))
    expect(await client().models.retrieve('openai/gpt-4o-mini')).toMatchObject({ owned_by: 'openai', object: 'model' })
  })

  describe('errors come in its own classes', () => {
    const failWith = (status: number, error: object = {}): void =>
      gateway.upstream.answer((response) => respondWithJson(response, status, { error }))
    const call = (model = 'round-numbers', options = {}): Promise<unknown> =>
      client(options).chat.completions.create({ model, messages })

    test('a wrong key', async () => {
      const error = await call('smart', { apiKey: 'nobody-has-this-key-0123456789' }).catch((thrown) => thrown)
      expect(error).toBeInstanceOf(OpenAI.AuthenticationError)
      expect(error).toMatchObject({
        status: 401,
        code: 'invalid_api_key',
        requestID: expect.stringMatching(/^[0-9a-f-]{36}$/),
      })
    })

    test('a model that is not there', async () => {
      const error = await call('peer/no-such-model').catch((thrown) => thrown)
      expect(error).toBeInstanceOf(OpenAI.NotFoundError)
      expect(error).toMatchObject({ code: 'model_not_found', param: 'model' })
    })

    test('a request that is wrong', async () => {
      failWith(400, { message: 'Too hot.', param: 'temperature', code: 'invalid_value' })
      const error = await call().catch((thrown) => thrown)
      expect(error).toBeInstanceOf(OpenAI.BadRequestError)
      expect(error).toMatchObject({ message: '400 Too hot.', param: 'temperature', code: 'invalid_value' })
    })

    test('a limit', async () => {
      failWith(429, { message: 'Slow down.' })
      await expect(call()).rejects.toBeInstanceOf(OpenAI.RateLimitError)
    })

    test('a provider that fails', async () => {
      failWith(500)
      await expect(call()).rejects.toBeInstanceOf(OpenAI.InternalServerError)
    })

    test('a stream that breaks off', async () => {
      gateway.upstream.answer((response) => {
        startStream(response)
        writeFrame(response, textChunk('Hello.'))
        response.end()
      })
      const stream = await client().chat.completions.create({ model: 'round-numbers', messages, stream: true })
      const reading = (async () => {
        for await (const _chunk of stream);
      })()
      await expect(reading).rejects.toMatchObject({ code: 'provider_bad_response' })
      await expect(reading).rejects.toBeInstanceOf(OpenAI.APIError)
    })

    test('a call that is given up', async () => {
      gateway.upstream.answer(() => {})
      const seenBefore = gateway.upstream.requests.length
      const leaving = new AbortController()
      const request = { model: 'round-numbers', messages }
      const running = client().chat.completions.create(request, { signal: leaving.signal })
      const outcome = expect(running).rejects.toBeInstanceOf(OpenAI.APIUserAbortError)
      await gateway.upstream.seen(seenBefore + 1)
      leaving.abort()
      await outcome
      await eventually('the upstream to be closed', () => gateway.upstream.requests.at(-1)?.isAborted)
    })

    test('a gateway that is not there', async () => {
      const nowhere = new OpenAI({ apiKey: gateway.keySecret, baseURL: 'http://127.0.0.1:9/v1', maxRetries: 0 })
      await expect(nowhere.models.list()).rejects.toBeInstanceOf(OpenAI.APIConnectionError)
    })
  })

  test('a stream that is left early is closed upstream', async () => {
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('Hello.'))
    })
    const stream = await client().chat.completions.create({ model: 'round-numbers', messages, stream: true })
    for await (const _chunk of stream) break
    await eventually('the upstream to be closed', () => gateway.upstream.requests.at(-1)?.isAborted)
  })

  describe('it tries again', () => {
    /** Fails that often, and then answers. */
    function failFirst(times: number, status: number, headers: object, error: object = {}): () => number {
      let calls = 0
      gateway.upstream.answer((response, request) => {
        if (++calls > times) respondWithCompletion(response, request)
        else respondWithJson(response, status, { error }, headers)
      })
      return () => calls
    }
    const call = (): Promise<unknown> =>
      client({ maxRetries: 2 }).chat.completions.create({ model: 'round-numbers', messages })

    test('when a limit goes away by waiting, as long as it was told to wait', async () => {
      const calls = failFirst(2, 429, { 'retry-after-ms': '20' })
      await call()
      expect(calls()).toBe(3)
    })

    test('not when a quota is used up', async () => {
      const calls = failFirst(1, 429, {}, { code: 'insufficient_quota' })
      await expect(call()).rejects.toMatchObject({ code: 'insufficient_quota' })
      expect(calls()).toBe(1)
    })

    test('not when the request is wrong', async () => {
      const calls = failFirst(1, 400, {})
      await expect(call()).rejects.toBeInstanceOf(OpenAI.BadRequestError)
      expect(calls()).toBe(1)
    })
  })
})

describe('ai with @ai-sdk/openai-compatible', () => {
  const provider = () =>
    createOpenAICompatible({
      name: 'llmgw',
      apiKey: gateway.keySecret,
      baseURL: `${gateway.url}/v1`,
      includeUsage: true,
    })
  const tools = {
    weather: tool({
      description: 'The weather of a city.',
      inputSchema: jsonSchema<{ city: string }>(parameters),
      execute: async ({ city }) => `It rains in ${city}.`,
    }),
  }

  test.for([...models, 'demo-chat'])('generateText, %s', async (model) => {
    const { text, finishReason, usage } = await generateText({ model: provider()(model), prompt: 'Hello.' })
    expect(text).toMatch(/\S/)
    expect(finishReason).toBe('stop')
    expect(usage.inputTokens).toBeGreaterThan(0)
  })

  test.for([...models, 'demo-chat'])('streamText, %s', async (model) => {
    const result = streamText({ model: provider()(model), prompt: 'Hello.' })
    let text = ''
    for await (const piece of result.textStream) text += piece
    expect(text).toMatch(/\S \S/)
    expect(await result.finishReason).toBe('stop')
    expect((await result.usage).outputTokens).toBeGreaterThan(0)
  })

  test.for(models)('tools, %s', async (model) => {
    gateway.upstream.answer(callTheTool)
    const { toolCalls, toolResults } = await generateText({ model: provider()(model), prompt: 'Hello.', tools })
    expect(toolCalls).toMatchObject([{ toolName: 'weather', input: { city: 'Oslo' } }])
    expect(toolResults).toMatchObject([{ output: 'It rains in Oslo.' }])
  })

  test.for(models)('streamed tools, %s', async (model) => {
    gateway.upstream.answer(callTheTool)
    const result = streamText({ model: provider()(model), prompt: 'Hello.', tools })
    await result.consumeStream()
    expect(await result.toolCalls).toMatchObject([{ toolName: 'weather', input: { city: 'Oslo' } }])
    expect(await result.finishReason).toBe('tool-calls')
  })

  test.for(['text-embedding-3-small', 'peer-embedding', 'demo-embedding'])('embed, %s', async (model) => {
    const embedding = provider().embeddingModel(model)
    const one = await embed({ model: embedding, value: 'one' })
    const many = await embedMany({ model: embedding, values: ['one', 'two'] })
    expect(one.embedding.length).toBeGreaterThan(2)
    expect(many.embeddings).toHaveLength(2)
    expect(many.embeddings[0]).toEqual(one.embedding)
  })

  test('a refusal says why', async () => {
    const call = generateText({ model: provider()('peer/no-such-model'), prompt: 'Hello.', maxRetries: 0 })
    await expect(call).rejects.toMatchObject({
      statusCode: 404,
      isRetryable: false,
      message: expect.stringContaining('no-such-model'),
    })
  })
})
