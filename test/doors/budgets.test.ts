import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, usageOf } from '../support/scripted-upstream.ts'

/** At 1 USD a million in and 4 USD a million out: 1,000 and 4,000 nano-USD a token. */
const body = { model: 'round-numbers', messages: [{ role: 'user', content: 'Say hello.' }], max_completion_tokens: 100 }
const worstCaseNano = JSON.stringify(body).length * 1_000 + 100 * 4_000
const usage = usageOf(10, 20)
const costNano = 10 * 1_000 + 20 * 4_000

const usd = (nano: number): string => (nano / 1e9).toFixed(9)
const key = (name: string): string => `budget-suite-${name}-0123456789`
const budgetOf = (nano: number, more: object = {}): object[] => [{ amountUsd: usd(nano), period: 'month', ...more }]

const keys = {
  five: budgetOf(5 * worstCaseNano),
  two: [
    { amountUsd: usd(10 * worstCaseNano), period: 'month' },
    { amountUsd: usd(2 * worstCaseNano), period: 'day' },
  ],
  soft: budgetOf(costNano + 1, { mode: 'soft' }),
  thresholds: budgetOf(4 * worstCaseNano, { alertThresholdsPercent: [1, 40] }),
  overrun: budgetOf(3 * worstCaseNano),
  fallback: budgetOf(100 * worstCaseNano),
  uncapped: budgetOf(100_000_000),
  tiny: budgetOf(1),
}

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      models: [{ provider: 'openai', name: 'costs-nothing', inputUsdPerMillion: 0, outputUsdPerMillion: 0 }],
      keys: Object.entries(keys).map(([name, budgets]) => ({ name, secret: key(name), budgets })),
    },
  })
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage })))

const chat = (name: string, more: object = {}) => gateway.chat({ ...body, ...more }, { key: key(name) })

interface Period {
  period: string
  committed: string
  leased: string
  limit: string
  entries: string
}

async function periods(name: string): Promise<Period[]> {
  const { rows } = await gateway.pool.query<Period>(
    `select b.period, p.committed_nano::text as committed, p.leased_nano::text as leased, p.limit_nano::text as "limit",
       (select coalesce(sum(amount_nano), 0)::text from ledger_entries where budget_period_id = p.id) as entries
     from budget_periods p join budgets b on b.id = p.budget_id join api_keys k on k.id = b.api_key_id
     where k.name = $1 order by b.period`,
    [name],
  )
  return rows
}

/** Once nothing is held any more. */
const settled = (name: string): Promise<Period[]> =>
  eventually(`the budgets of ${name} to be settled`, async () => {
    await gateway.allSettled()
    const found = await periods(name)
    return found.every(({ leased }) => leased === '0') && found
  })

describe('a hard budget', () => {
  test('of five worst cases lets exactly five of fifty calls at once through, and is charged what they cost', async () => {
    const before = gateway.upstream.requests.length
    const gate = Promise.withResolvers<void>()
    const answers: Response[] = []
    gateway.upstream.answer(async (response, request) => {
      await gate.promise
      respondWithCompletion(response, request, { usage })
    })
    const calls = Array.from({ length: 50 }, async () => answers.push(await chat('five')))
    await eventually('all that do not fit to be refused', () => answers.length === 45, 10_000)
    gate.resolve()
    await Promise.all(calls)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(5)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(45)
    expect(gateway.upstream.requests.length - before).toBe(5)
    expect(await settled('five')).toEqual([
      {
        period: 'month',
        committed: String(5 * costNano),
        leased: '0',
        limit: String(5 * worstCaseNano),
        entries: String(5 * costNano),
      },
    ])
  })

  test('says whose it is, how much it is and when it begins anew, and that trying again does not help', async () => {
    const refused = await chat('tiny')
    expect(refused.status).toBe(429)
    expect(refused.headers.get('x-should-retry')).toBe('false')
    expect(refused.headers.get('retry-after')).toBeNull()
    const { error } = (await refused.json()) as { error: { type: string; code: string; message: string } }
    expect(error).toMatchObject({ type: 'insufficient_quota', code: 'budget_exceeded' })
    expect(error.message).toMatch(
      /^The monthly budget of the key \(0\.000000001 USD\) .* begins at \d{4}-\d\d-01T00:00:00/,
    )
  })

  test('that is used up does not stop what costs nothing', async () => {
    const answer = await chat('tiny', { model: 'costs-nothing' })
    expect(answer.status).toBe(200)
    expect(await gateway.settledRecord(requestIdOf(answer))).toMatchObject({
      provider_cost_nano: '0',
      reserved_nano: '0',
    })
  })

  test('is one of several: a call that one of them cannot take holds nothing of the others', async () => {
    const first = await chat('two')
    expect(first.status).toBe(200)
    const second = await chat('two')
    expect(second.status).toBe(200)
    expect((await chat('two', { max_completion_tokens: 200 })).status).toBe(429)
    const record = await gateway.settledRecord(requestIdOf(second))
    expect(record).toMatchObject({
      reserved_nano: String(worstCaseNano),
      ledger_nano: String(costNano),
      overrun_nano: '0',
    })
    expect(record.budget_period_ids).toHaveLength(2)
    const committed = String(2 * costNano)
    expect(await settled('two')).toMatchObject([
      { period: 'day', committed, entries: committed },
      { period: 'month', committed, entries: committed },
    ])
  })

  test('makes the upstream keep to a cap where the client has named none', async () => {
    const answer = await chat('uncapped', { max_completion_tokens: undefined })
    expect(answer.status).toBe(200)
    expect(gateway.upstream.requests.at(-1)?.json).toMatchObject({ max_completion_tokens: 16_384 })
    expect((await chat('uncapped')).status).toBe(200)
    expect(gateway.upstream.requests.at(-1)?.json).toMatchObject({ max_completion_tokens: 100 })
    expect((await gateway.chat({ model: 'round-numbers' })).status).toBe(200)
    expect(gateway.upstream.requests.at(-1)?.json).not.toHaveProperty('max_completion_tokens')
  })

  test('is overrun by what the provider reports beyond the worst case: charged, alerted, and the next call is refused', async () => {
    const huge = usageOf(10, 10 * worstCaseNano)
    gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage: huge }))
    const answer = await chat('overrun')
    expect(answer.status).toBe(200)
    const cost = 10_000 + 10 * worstCaseNano * 4_000
    const record = await gateway.settledRecord(requestIdOf(answer))
    expect(record).toMatchObject({ provider_cost_nano: String(cost), overrun_nano: String(cost - worstCaseNano) })
    expect(await settled('overrun')).toMatchObject([{ committed: String(cost), entries: String(cost) }])
    expect((await chat('overrun')).status).toBe(429)
    const { rows } = await gateway.pool.query(`select difference_nano::text from budget_alerts where kind = 'overrun'`)
    expect(rows).toEqual([{ difference_nano: String(cost - worstCaseNano) }])
    expect(
      gateway.logLines.filter(({ message }) => message === 'A call cost more than the most that was held for it.'),
    ).toHaveLength(1)
  })
})

test('a call that falls back after one that may have been billed holds for both, and both are charged', async () => {
  let spareCalled = false
  gateway.upstream.answer((response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('{"id":"cut"')
    setTimeout(() => response.destroy(), 10)
  })
  gateway.spare.answer((response, request) => {
    spareCalled = true
    respondWithCompletion(response, request, { usage })
  })
  const answer = await chat('fallback', { model: 'smart' })
  expect(answer.status).toBe(200)
  expect(spareCalled).toBe(true)
  const record = await gateway.settledRecord(requestIdOf(answer))
  expect(record.attempts).toHaveLength(2)
  expect(BigInt(record.reserved_nano)).toBeGreaterThan(BigInt(worstCaseNano))
  expect(await settled('fallback')).toMatchObject([{ committed: record.provider_cost_nano }])
})

test('a soft budget refuses once it is spent, and not before', async () => {
  expect((await chat('soft')).status).toBe(200)
  await gateway.allSettled()
  expect((await chat('soft')).status).toBe(200)
  await gateway.allSettled()
  const refused = await chat('soft')
  expect(refused.status).toBe(429)
  expect(await settled('soft')).toMatchObject([{ committed: String(2 * costNano), entries: String(2 * costNano) }])
})

test('thresholds raise one alert each in a period', async () => {
  const alerts = async () =>
    (
      await gateway.pool.query(
        `select a.threshold_percent as percent, a.committed_nano::text as committed
         from budget_alerts a join budget_periods p on p.id = a.budget_period_id join budgets b on b.id = p.budget_id
         join api_keys k on k.id = b.api_key_id where k.name = 'thresholds' order by 1`,
      )
    ).rows
  expect((await chat('thresholds')).status).toBe(200)
  await settled('thresholds')
  expect(await alerts()).toEqual([{ percent: 1, committed: String(costNano) }])
  const calls = Math.ceil((0.4 * 4 * worstCaseNano) / costNano)
  for (let call = 1; call < calls + 1; call++) expect((await chat('thresholds')).status).toBe(200)
  await settled('thresholds')
  expect(await alerts()).toMatchObject([{ percent: 1 }, { percent: 40 }])
})
