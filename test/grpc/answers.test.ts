import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { detailsOf, GrpcClient, textOf } from '../support/grpc.ts'

const limitedKey = 'answers-suite-limited-0123456789'
const poorKey = 'answers-suite-poor-0123456789'

let gateway: TestGateway
let client: GrpcClient

beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      keys: [
        { name: 'limited', secret: limitedKey, rateLimits: { requestsPerMinute: 2 } },
        { name: 'poor', secret: poorKey, budgets: [{ amountUsd: '0.000000001', period: 'day' }] },
      ],
    },
  })
  client = new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, gateway.keySecret)
})

afterAll(async () => {
  client?.close()
  await gateway?.close()
})

describe('Complete', () => {
  test('answers as a whole, with what it came to', async () => {
    const { code, messages, head } = await client.complete({ model: 'demo/demo-chat' })
    expect(code).toBe(0)
    expect(messages[0]).toMatchObject({
      model: 'demo-chat',
      choices: [
        {
          index: 0,
          message: { role: 'ROLE_ASSISTANT', content: [{ text: expect.stringContaining('Say hello.') }] },
          finishReason: 'FINISH_REASON_STOP',
        },
      ],
      summary: { provider: 'demo', model: 'demo-chat', attempts: 1, usageSource: 'USAGE_SOURCE_PROVIDER' },
    })
    const id = messages[0]?.summary?.requestId ?? ''
    expect(head.get('x-request-id')).toEqual([id])
    const record = await gateway.settledRecord(id)
    expect(record).toMatchObject({ state: 'settled', stream: false, records: 1 })
    expect(messages[0]?.summary?.usage).toMatchObject({
      inputTokens: record.input_tokens,
      outputTokens: record.output_tokens,
    })
  })
})

describe('Stream', () => {
  test('answers with typed events, in order, and ends with what it came to', async () => {
    const { code, messages } = await client.stream({ model: 'demo/demo-chat' }).outcome
    expect(code).toBe(0)
    const events = messages.map(({ event }) => event).filter((event, at, all) => event !== all[at - 1])
    expect(events).toEqual(['start', 'role', 'text', 'choiceEnd', 'usage', 'end'])
    expect(textOf(messages)).toContain('Say hello.')
    const record = await gateway.settledRecord(messages[0]?.start?.requestId ?? '')
    expect(record).toMatchObject({ state: 'settled', stream: true, records: 1 })
    expect(messages.at(-1)?.end?.summary?.cost?.nanoUsd).toBe(record.charged_nano)
  })
})

describe('ModelService', () => {
  test('lists page by page what the key may use, each name once', async () => {
    const names: string[] = []
    let pageToken = ''
    do {
      const request = { pageSize: 20, pageToken }
      const { code, messages } = await client.unary<ModelsPage>('ModelService/ListModels', request)
      expect(code).toBe(0)
      names.push(...(messages[0]?.models ?? []).map(({ name }) => name))
      pageToken = messages[0]?.nextPageToken ?? ''
    } while (pageToken !== '')
    const listed = (await (await gateway.request('GET', '/v1/models')).json()) as { data: { id: string }[] }
    expect(names).toEqual(listed.data.map(({ id }) => id).sort())
  })

  test('knows what a model costs, and that others do not exist', async () => {
    const found = await client.unary('ModelService/GetModel', { name: 'openai/round-numbers' })
    expect(found.messages[0]).toMatchObject({
      model: {
        name: 'openai/round-numbers',
        provider: 'openai',
        price: {
          rateTables: [
            {
              serviceTier: 'SERVICE_TIER_DEFAULT',
              rates: expect.arrayContaining([
                { unitKind: 'UNIT_KIND_INPUT', perMillionUnits: { nanoUsd: '1000000000' } },
                { unitKind: 'UNIT_KIND_OUTPUT', perMillionUnits: { nanoUsd: '4000000000' } },
              ]),
            },
          ],
        },
      },
    })
    const missing = await client.unary('ModelService/GetModel', { name: 'nobody/has-this' })
    expect([missing.code, detailsOf(missing).ErrorInfo]).toEqual([5, { reason: 'model_not_found', domain: 'llmgw' }])
  })

  test('refuses a page token that it has not given', async () => {
    const refused = await client.unary('ModelService/ListModels', { pageToken: '!' })
    expect([refused.code, detailsOf(refused).BadRequest?.field]).toEqual([3, 'page_token'])
  })
})

interface ModelsPage {
  models: { name: string }[]
  nextPageToken: string
}

describe('without a key that counts', () => {
  test.each(['ChatService/Complete', 'EmbeddingService/Embed', 'ModelService/ListModels', 'ModelService/GetModel'])(
    '%s answers nobody',
    async (path) => {
      for (const key of [null, 'sk-no-such-key']) {
        const refused = await client.unary(path, {}, { key })
        expect([refused.code, detailsOf(refused).ErrorInfo?.reason]).toEqual([16, 'invalid_api_key'])
      }
    },
  )

  test('Stream answers nobody', async () => {
    const refused = await client.stream({}, { key: null }).outcome
    expect([refused.code, detailsOf(refused).ErrorInfo?.reason]).toEqual([16, 'invalid_api_key'])
  })
})

describe('limits', () => {
  test('are told with every answer, and with a refusal when to come back', async () => {
    const options = { key: limitedKey }
    const whole = await client.complete({ model: 'demo/demo-chat' }, options)
    const streamed = await client.stream({ model: 'demo/demo-chat' }, options).outcome
    const refused = await client.complete({ model: 'demo/demo-chat' }, options)
    const left = [whole, streamed, refused].map(({ trailer }) => trailer.get('x-ratelimit-remaining-requests')[0])
    expect(left).toEqual(['1', '0', '0'])
    expect([whole.code, streamed.code, refused.code]).toEqual([0, 0, 8])
    const { RetryInfo, QuotaFailure } = detailsOf(refused)
    expect(RetryInfo?.retryDelayMs).toBeGreaterThan(0)
    expect(QuotaFailure).toBeUndefined()
    expect(Number(refused.trailer.get('grpc-retry-pushback-ms')[0])).toBeGreaterThan(0)
  })

  test('of money are a failure of a quota, and coming back is no use', async () => {
    const refused = await client.complete({ model: 'round-numbers' }, { key: poorKey })
    expect(refused.code).toBe(8)
    expect(detailsOf(refused)).toEqual({
      ErrorInfo: { reason: 'budget_exceeded', domain: 'llmgw' },
      QuotaFailure: { subject: 'budget', description: refused.message },
      RequestInfo: { requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    })
    expect(refused.trailer.get('grpc-retry-pushback-ms')).toEqual(['-1'])
  })
})
