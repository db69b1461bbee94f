import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, usageOf } from '../support/scripted-upstream.ts'

/** At 1 USD a million in and 4 USD a million out: 1,000 and 4,000 nano-USD a token. */
const usage = usageOf(10, 20)
const costNano = 10 * 1_000 + 20 * 4_000
const worstCaseNano = 200 * 1_000 + 100 * 4_000

const usd = (nano: number): string => (nano / 1e9).toFixed(9)
const secret = (name: string): string => `billing-suite-${name}-0123456789`
const key = (name: string, more: object = {}) => ({ name, secret: secret(name), ...more })
const targets = [{ provider: 'openai', model: 'round-numbers' }]

const file = {
  keys: [
    key('caller', { organization: 'acme', team: 'apps', tags: { app: 'web' }, rateLimits: { requestsPerMinute: 100 } }),
    key('penniless', { budgets: [{ amountUsd: usd(1), period: 'month' }] }),
    key('project', {
      organization: 'lab',
      team: 'research',
      tags: { project: 'atlas' },
      enabled: false,
      budgets: [{ amountUsd: usd(10 * worstCaseNano), period: 'month' }],
    }),
    key('spent', { organization: 'lab', budgets: [{ amountUsd: usd(1), period: 'total' }] }),
  ],
  budgets: [
    { organization: 'lab', team: 'research', amountUsd: usd(1_000 * worstCaseNano), period: 'week' },
    { organization: 'acme', amountUsd: usd(1_000 * worstCaseNano), period: 'day' },
  ],
  aliases: [
    { name: 'atlas', targets, billingKey: 'project' },
    { name: 'stopped', targets, billingKey: 'spent' },
  ],
}

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({ file })
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer((response, request) => respondWithCompletion(response, request, { usage })))

const chat = (name: string, model = 'atlas') =>
  gateway.chat({ model, max_completion_tokens: 100 }, { key: secret(name) })

const spent = async (): Promise<Record<string, string>> => {
  await gateway.allSettled()
  const { rows } = await gateway.pool.query<{ period: string; nano: string }>(
    `select b.period, sum(p.committed_nano)::text as nano
     from budget_periods p join budgets b on b.id = p.budget_id group by b.period`,
  )
  return Object.fromEntries(rows.map(({ period, nano }) => [period, nano]))
}

const owners = async (): Promise<Record<string, { id: string; organization_id: string; team_id: string }>> => {
  const { rows } = await gateway.pool.query('select k.name, k.id, k.organization_id, k.team_id from api_keys k')
  return Object.fromEntries(rows.map(({ name, ...row }) => [name, row]))
}

test('a call is its billing key in every account, and who made it is on record', async () => {
  const before = await spent()
  const response = await chat('caller')
  expect(response.status).toBe(200)
  // The caller's own limits are those that count it.
  expect(response.headers.get('x-ratelimit-limit-requests')).toBe('100')
  const record = await gateway.settledRecord(requestIdOf(response))
  const { caller, project } = await owners()
  expect(record).toMatchObject({
    key_id: project?.id,
    caller_key_id: caller?.id,
    organization_id: project?.organization_id,
    team_id: project?.team_id,
    tags: { project: 'atlas' },
    provider_cost_nano: String(costNano),
    ledger_nano: String(costNano),
  })
  expect(record.budget_period_ids).toHaveLength(2)
  const after = await spent()
  expect(Number(after.month) - Number(before.month ?? 0)).toBe(costNano)
  expect(Number(after.week) - Number(before.week ?? 0)).toBe(costNano)
  expect(after.day).toBe(before.day)
  const { rows } = await gateway.pool.query(
    `select h.key_id, sum(h.requests)::integer as requests from usage_hourly h where h.alias = 'atlas' group by h.key_id`,
  )
  expect(rows).toEqual([{ key_id: project?.id, requests: 1 }])
})

test('without the alias the caller pays, and a key that bills itself is its own caller', async () => {
  const plain = await chat('caller', 'openai/round-numbers')
  const { caller } = await owners()
  expect(await gateway.settledRecord(requestIdOf(plain))).toMatchObject({ key_id: caller?.id, caller_key_id: null })
  const aliases = [...file.aliases, { name: 'own', targets, billingKey: 'caller' }]
  expect(await gateway.reload({ ...file, aliases })).toEqual([])
  const own = await chat('caller', 'own')
  expect(await gateway.settledRecord(requestIdOf(own))).toMatchObject({ key_id: caller?.id, caller_key_id: null })
})

test("the billing key's budgets hold, and the caller's do not", async () => {
  expect((await chat('penniless', 'openai/round-numbers')).status).toBe(429)
  expect((await chat('penniless')).status).toBe(200)
  const refused = await chat('caller', 'stopped')
  expect(refused.status).toBe(429)
  expect(await refused.json()).toMatchObject({
    error: {
      code: 'budget_exceeded',
      message: expect.stringMatching(/^Another key pays for stopped\. The total budget of the key /),
    },
  })
  expect((await chat('caller', 'openai/round-numbers')).status).toBe(200)
})

test('what an administrator changes of the billing key holds within seconds', async () => {
  const status = async (): Promise<number> => (await chat('caller', 'stopped')).status
  expect(await status()).toBe(429)
  await gateway.pool.query(
    `update budgets b set amount_nano = 1000000000 from api_keys k where k.id = b.api_key_id and k.name = 'spent'`,
  )
  await eventually('the larger budget to hold', async () => (await status()) === 200, 10_000)
})

test('a key that nobody has made cannot pay: the file is refused and the one before stays in force', async () => {
  const aliases = [{ name: 'atlas', targets, billingKey: 'nobody' }]
  expect(await gateway.reload({ ...file, aliases })).toEqual([
    { path: 'aliases[atlas].billingKey', message: 'names no key' },
  ])
  expect((await chat('caller')).status).toBe(200)
})
