import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, usageOf } from '../support/scripted-upstream.ts'

/** At 1 USD a million in and 4 USD a million out: 1,000 and 4,000 nano-USD a token. */
const body = { model: 'round-numbers', messages: [{ role: 'user', content: 'Say hello.' }], max_completion_tokens: 100 }
const worstCaseNano = JSON.stringify(body).length * 1_000 + 100 * 4_000
const usage = usageOf(10, 20)
const costNano = 10 * 1_000 + 20 * 4_000

const usd = (nano: number): string => (nano / 1e9).toFixed(9)
const secret = (name: string): string => `scope-suite-${name}-0123456789`
const key = (name: string, more: object) => ({ name, secret: secret(name), ...more })

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      keys: [
        key('search-one', { organization: 'acme', team: 'search' }),
        key('search-two', { organization: 'acme', team: 'search' }),
        key('acme-only', { organization: 'acme' }),
        key('busy-one', { organization: 'busy' }),
        key('busy-two', { organization: 'busy', team: 'any' }),
        key('tagged-here', { organization: 'here', tags: { env: 'trial' } }),
        key('tagged-there', { organization: 'there', tags: { env: 'trial' } }),
        key('tagged-otherwise', { organization: 'there', tags: { env: 'paid' } }),
        key('raised', { organization: 'raised' }),
      ],
      budgets: [
        { organization: 'acme', amountUsd: usd(100 * worstCaseNano), period: 'month' },
        {
          organization: 'acme',
          team: 'search',
          amountUsd: usd(2 * worstCaseNano),
          period: 'week',
          timeZone: 'Europe/Berlin',
        },
        {
          tag: { name: 'env', value: 'trial' },
          amountUsd: usd(worstCaseNano),
          period: 'total',
          alertThresholdsPercent: [1],
        },
        {
          organization: 'raised',
          amountUsd: usd(1),
          period: 'day',
          temporaryIncrease: { amountUsd: usd(worstCaseNano - 1), until: '2999-01-01T00:00:00Z' },
        },
      ],
      rateLimits: [{ organization: 'busy', requestsPerMinute: 3 }],
    },
  })
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage })))

const chat = (name: string) => gateway.chat(body, { key: secret(name) })

const committed = (): Promise<{ period: string; committed: string; leased: string }[]> =>
  eventually('budgets to be settled', async () => {
    await gateway.allSettled()
    const { rows } = await gateway.pool.query<{ period: string; committed: string; leased: string }>(
      `select b.period, p.committed_nano::text as committed, p.leased_nano::text as leased
       from budget_periods p join budgets b on b.id = p.budget_id order by b.period`,
    )
    return rows.every(({ leased }) => leased === '0') && rows
  })

describe('a budget of the file', () => {
  test('of a team holds for its keys together, and what they spend counts for the organization as well', async () => {
    const gate = Promise.withResolvers<void>()
    gateway.upstream.answer(async (response, request) => {
      await gate.promise
      respondWithCompletion(response, request, { usage })
    })
    const running = [chat('search-one'), chat('search-two')]
    await gateway.upstream.seen(gateway.upstream.requests.length + 2)
    for (const name of ['search-one', 'search-two']) {
      const refused = await chat(name)
      expect(refused.status).toBe(429)
      const { error } = (await refused.json()) as { error: { code: string; message: string } }
      expect(error.code).toBe('budget_exceeded')
      expect(error.message).toMatch(/^The weekly budget of the team /)
    }
    const other = chat('acme-only')
    gate.resolve()
    expect((await other).status).toBe(200)
    for (const answer of await Promise.all(running)) expect(answer.status).toBe(200)
    expect(await committed()).toMatchObject([
      { period: 'month', committed: String(3 * costNano) },
      { period: 'week', committed: String(2 * costNano) },
    ])
  })

  test('of a tag holds for the keys that carry it, of whatever organization', async () => {
    expect((await chat('tagged-here')).status).toBe(200)
    const refused = await chat('tagged-there')
    expect(refused.status).toBe(429)
    expect(await refused.text()).toContain("The total budget of one of the key's tags")
    expect((await chat('tagged-otherwise')).status).toBe(200)
  })

  test('has its temporary increase', async () => {
    expect((await chat('raised')).status).toBe(200)
    const refused = await chat('raised')
    expect(refused.status).toBe(429)
    expect(await refused.text()).toContain(`(${Number(usd(worstCaseNano))} USD)`)
  })
})

test('a rate limit of an organization in the file counts all of its keys', async () => {
  const statuses: number[] = []
  for (const name of ['busy-one', 'busy-two', 'busy-one', 'busy-two', 'busy-one'])
    statuses.push((await chat(name)).status)
  expect(statuses).toEqual([200, 200, 200, 429, 429])
  expect(await gateway.metric('llmgw_refused_requests_total', { code: 'rate_limit_exceeded' })).toBe(2)
})

test('what becomes of reservations is counted, and no key is named', async () => {
  const count = (outcome: string) => gateway.metric('llmgw_budget_reservations_total', { outcome })
  const before = { granted: await count('granted'), refused: await count('refused') }
  expect((await chat('acme-only')).status).toBe(200)
  expect((await chat('raised')).status).toBe(429)
  expect({ granted: await count('granted'), refused: await count('refused') }).toEqual({
    granted: before.granted + 1,
    refused: before.refused + 1,
  })
  expect(await count('unverifiable')).toBe(0)
  await gateway.allSettled()
  expect(await gateway.metric('llmgw_budget_alerts_total', { kind: 'threshold' })).toBe(1)
  const text = await (await fetch(`${gateway.opsUrl}/metrics`)).text()
  for (const name of ['acme', 'search', 'tagged']) expect(text).not.toContain(name)
})
