import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openTestGateway, requestIdOf, type SettledRecord, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, usageOf } from '../support/scripted-upstream.ts'

const keys = {
  block: 'may-not-use-unpriced-0123456789',
  estimate: 'pays-an-estimate-0123456789',
  allow: 'may-use-unpriced-0123456789',
}

/** The catalog knows no price for it, and the provider is asked for it nevertheless. */
const unpricedModel = 'openai/model-of-tomorrow'

function openGateway(unpricedModels?: string): Promise<TestGateway> {
  return openTestGateway({
    file: {
      ...(unpricedModels !== undefined && { unpricedModels }),
      unpricedEstimate: { inputUsdPerMillion: 10, outputUsdPerMillion: 20 },
      models: [
        {
          provider: 'openai',
          name: 'with-everything',
          inputUsdPerMillion: 1.25,
          outputUsdPerMillion: 10,
          cacheReadUsdPerMillion: 0.125,
          reasoningUsdPerMillion: 12.5,
          perRequestUsd: 0.001,
          tiers: [{ aboveInputTokens: 1_000, inputUsdPerMillion: 2.5, outputUsdPerMillion: 15 }],
        },
        { provider: 'openai', name: 'without-a-price' },
      ],
      keys: Object.entries(keys).map(([policy, secret]) => ({ name: policy, secret, unpricedModels: policy })),
    },
  })
}

interface StoredTable {
  serviceTier: string
  aboveInputTokens: number
  rates: Record<string, string>
}

/** What a record's units cost at the price version it names: by a calculation that is not the gateway's. */
async function recomputedNano({ pool }: TestGateway, record: SettledRecord): Promise<string> {
  const { rows } = await pool.query<{ rates: { tables: StoredTable[] } }>(
    'select rates from model_prices where id = $1',
    [record.price_version],
  )
  const tables = (rows[0]?.rates.tables ?? []).filter(({ serviceTier }) => serviceTier === 'default')
  const reached = tables.filter(({ aboveInputTokens }) => aboveInputTokens < Number(record.input_tokens) + 1)
  const inOrder = reached.sort((a, b) => b.aboveInputTokens - a.aboveInputTokens)
  const rateOf = (kind: string): bigint | undefined => {
    const rate = inOrder.map(({ rates }) => rates[kind]).find((each) => each !== undefined)
    return rate === undefined ? undefined : BigInt(rate)
  }
  let sum = 0n
  for (const [kind, count] of Object.entries(record.units)) {
    const standIn = kind === 'reasoning' ? 'output' : 'input'
    sum += BigInt(count) * (rateOf(kind) ?? (kind === 'request' ? 0n : (rateOf(standIn) as bigint)))
  }
  return String((sum + 999_999n) / 1_000_000n)
}

describe('cost', () => {
  let gateway: TestGateway
  beforeAll(async () => {
    gateway = await openGateway()
  })
  afterAll(() => gateway.close())
  beforeEach(() => gateway.upstream.answer(respondWithCompletion))

  const small = {
    ...usageOf(701, 333),
    prompt_tokens_details: { cached_tokens: 300 },
    completion_tokens_details: { reasoning_tokens: 111 },
  }

  test.for([
    ['a model of the catalog', 'gpt-4o-mini', usageOf(1_234, 567)],
    ['a model of the catalog, with cached and reasoning tokens', 'gpt-4o-mini', small],
    ['a declared model', 'with-everything', small],
    ['a declared model, by the tier of a large prompt', 'with-everything', { ...small, ...usageOf(1_001, 333) }],
    ['an alias', 'smart', usageOf(7, 1)],
  ] as const)('of %s is the stored units times the stored price', async ([, model, usage]) => {
    gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage }))
    const record = await gateway.settledRecord(requestIdOf(await gateway.chat({ model, stream: true })))
    expect(record).toMatchObject({ unpriced: false, usage_source: 'provider' })
    expect(BigInt(record.provider_cost_nano)).toBeGreaterThan(0n)
    expect(record.provider_cost_nano).toBe(await recomputedNano(gateway, record))
    expect(record.charged_nano).toBe(record.provider_cost_nano)
    expect(record.ledger_nano).toBe(record.provider_cost_nano)
    expect(record.attempts).toMatchObject([
      { cost_nano: record.provider_cost_nano, price_version: record.price_version },
    ])
  })

  test('is exact to the nano-dollar, rounded up once', async () => {
    gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage: small }))
    const record = await gateway.settledRecord(requestIdOf(await gateway.chat({ model: 'with-everything' })))
    // 401 at 1.25, 300 at 0.125, 222 at 10, 111 at 12.5 dollars a million, and a tenth of a cent for the request
    expect(record.provider_cost_nano).toBe(String(501_250 + 37_500 + 2_220_000 + 1_387_500 + 1_000_000))
  })

  test('of counted usage is computed the same way', async () => {
    gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage: null }))
    const record = await gateway.settledRecord(requestIdOf(await gateway.chat({ model: 'round-numbers' })))
    expect(record.usage_source).toBe('counted')
    expect(BigInt(record.provider_cost_nano)).toBeGreaterThan(0n)
    expect(record.provider_cost_nano).toBe(await recomputedNano(gateway, record))
  })
})

describe.for([
  ['not set', undefined, 'allow'],
  ['block', 'block', 'block'],
  ['estimate', 'estimate', 'estimate'],
] as const)('models of unknown price, the policy for all keys being %s', ([, policy, effective]) => {
  let gateway: TestGateway
  beforeAll(async () => {
    gateway = await openGateway(policy)
  })
  afterAll(() => gateway.close())

  test.for([
    ['a key without a policy of its own', undefined, effective],
    ['a key that blocks them', keys.block, 'block'],
    ['a key that estimates them', keys.estimate, 'estimate'],
    ['a key that allows them', keys.allow, 'allow'],
  ] as const)('%s', async ([, key, expected]) => {
    const requestsBefore = gateway.upstream.requests.length
    const metricBefore = await gateway.metric('llmgw_unpriced_requests_total')
    const response = await gateway.chat({ model: unpricedModel }, key === undefined ? {} : { key })
    if (expected === 'block') {
      expect(response.status).toBe(403)
      expect(await response.json()).toMatchObject({ error: { code: 'model_not_allowed', param: 'model' } })
      expect(gateway.upstream.requests.length).toBe(requestsBefore)
      return
    }
    expect(response.status).toBe(200)
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      unpriced: true,
      price_version: null,
      input_tokens: '11',
      output_tokens: '3',
      // 11 at 10 and 3 at 20 dollars a million
      provider_cost_nano: expected === 'estimate' ? '170000' : '0',
    })
    expect(await gateway.metric('llmgw_unpriced_requests_total')).toBe(metricBefore + 1)
  })

  test('a declared model without a price is one of them', async () => {
    const response = await gateway.chat({ model: 'without-a-price' }, { key: keys.block })
    expect(response.status).toBe(403)
  })

  test('a model that is declared to cost nothing is none of them', async () => {
    const response = await gateway.chat({ model: 'demo-chat' }, { key: keys.block })
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      unpriced: false,
      provider_cost_nano: '0',
    })
  })
})
