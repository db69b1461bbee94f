import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ids, openDeclaring } from './declaring.ts'

let apply: Declaring['apply']
let applied: Declaring['applied']
let rows: Declaring['rows']
let count: Declaring['count']
let close: Declaring['close']
type Declaring = Awaited<ReturnType<typeof openDeclaring>>

beforeEach(async () => {
  ;({ apply, applied, rows, count, close } = await openDeclaring())
})
afterEach(() => close())

const full = `
budgets:
  - { organization: acme, amountUsd: 5000, period: month }
  - { organization: acme, team: search, amountUsd: 500, period: week, timeZone: Europe/Berlin, mode: soft }
  - { tag: { name: env, value: prod }, amountUsd: 100, period: day, alertThresholdsPercent: [90] }
  - { organization: acme, tag: { name: env, value: test }, amountUsd: 10, period: day, temporaryIncrease: { amountUsd: 5, until: 2999-12-24T00:00:00Z } }
rateLimits:
  - { organization: acme, requestsPerMinute: 1000 }
  - { organization: acme, team: search, tokensPerMinute: 200000, maxConcurrent: 20, algorithm: token_bucket, strict: true }
`

const budgets = () =>
  rows<{ id: string }>(
    `select b.id, o.slug as organization, t.slug as team, b.tag_key, b.tag_value, b.amount_nano, b.period, b.time_zone,
       b.mode, b.alert_thresholds_percent as thresholds, b.temporary_increase_nano as increase,
       b.temporary_increase_until as until, b.managed_by
     from budgets b left join organizations o on o.id = b.organization_id left join teams t on t.id = b.team_id
     order by b.amount_nano desc`,
  )
const limits = () =>
  rows<{ id: string }>(
    `select r.id, o.slug as organization, t.slug as team, r.requests_per_minute, r.tokens_per_minute, r.max_concurrent,
       r.algorithm, r.strict, r.managed_by
     from rate_limits r left join organizations o on o.id = r.organization_id left join teams t on t.id = r.team_id
     order by t.slug nulls first`,
  )
const auditOf = (kind: string) =>
  rows<{ action: string; before: object; after: object }>(
    `select action, before, after from audit_events where subject_kind = $1
     order by created_at, action, coalesce(after, before) ->> 'team' nulls first`,
    [kind],
  )
/** What has been spent in a period of the budget of this amount. */
async function spend(amountUsd: number): Promise<void> {
  await rows(
    `insert into budget_periods (id, budget_id, period_start, limit_nano, mode, committed_nano)
     select $1, b.id, now(), b.amount_nano, b.mode, 7 from budgets b where b.amount_nano = $2`,
    [ids(1), amountUsd * 1e9],
  )
}
const committed = () =>
  rows('select b.amount_nano, p.committed_nano from budget_periods p join budgets b on b.id = p.budget_id')

test('budgets and rate limits of organizations, teams and tags stand in the database, and so do their owners', async () => {
  await applied(full)
  const common = { organization: null, team: null, tag_key: null, tag_value: null, thresholds: [50, 80, 100] }
  const plain = { ...common, time_zone: 'UTC', mode: 'hard', increase: '0', until: null, managed_by: 'file' }
  expect(await budgets()).toMatchObject([
    { ...plain, organization: 'acme', amount_nano: '5000000000000', period: 'month' },
    { ...plain, team: 'search', amount_nano: '500000000000', period: 'week', time_zone: 'Europe/Berlin', mode: 'soft' },
    { ...plain, tag_key: 'env', tag_value: 'prod', amount_nano: '100000000000', period: 'day', thresholds: [90] },
    {
      ...plain,
      organization: 'acme',
      tag_key: 'env',
      tag_value: 'test',
      amount_nano: '10000000000',
      increase: '5000000000',
      until: new Date('2999-12-24T00:00:00Z'),
    },
  ])
  expect(await limits()).toMatchObject([
    { organization: 'acme', team: null, requests_per_minute: '1000', tokens_per_minute: null, managed_by: 'file' },
    {
      organization: null,
      team: 'search',
      requests_per_minute: null,
      tokens_per_minute: '200000',
      max_concurrent: 20,
      algorithm: 'token_bucket',
      strict: true,
    },
  ])
  expect(
    await rows(
      `select o.slug as organization, t.slug as team from teams t join organizations o on o.id = t.organization_id`,
    ),
  ).toEqual([{ organization: 'acme', team: 'search' }])
  expect((await auditOf('budget')).map(({ action }) => action)).toEqual(Array(4).fill('budget.create'))
  expect(await auditOf('rate_limit')).toMatchObject([
    { action: 'rate_limit.create', after: { organization: 'acme', team: null, requestsPerMinute: 1000 } },
    { action: 'rate_limit.create', after: { organization: 'acme', team: 'search', strict: true } },
  ])
})

test('another declaration touches only the budgets and limits that differ', async () => {
  await applied(full)
  const stamps = () =>
    rows(`select id, updated_at from budgets union all select id, updated_at from rate_limits order by 1`)
  const version = () => rows('select version from key_policy_version')
  const before = await stamps()
  const policy = await version()
  await applied(`${full}models: [{ provider: demo, name: x }]`)
  expect(await stamps()).toEqual(before)
  expect(await version()).toEqual(policy)
  await applied(full.replace('amountUsd: 500,', 'amountUsd: 501,'))
  const changed = (await stamps()).filter((row, at) => JSON.stringify(row) !== JSON.stringify(before[at]))
  expect(changed).toHaveLength(1)
})

test('a budget whose amount, mode or thresholds change stays the same one, and what was spent stays spent', async () => {
  await applied(full)
  const before = await budgets()
  await spend(5000)
  await applied(full.replace('amountUsd: 5000, period: month', 'amountUsd: 6000, period: month, mode: soft'))
  expect((await budgets()).map(({ id }) => id)).toEqual(before.map(({ id }) => id))
  expect(await committed()).toEqual([{ amount_nano: '6000000000000', committed_nano: '7' }])
  expect((await auditOf('budget')).at(-1)).toMatchObject({
    action: 'budget.update',
    before: { organization: 'acme', amountNano: '5000000000000', mode: 'hard' },
    after: { organization: 'acme', amountNano: '6000000000000', mode: 'soft' },
  })
})

test.each([
  ['period', 'period: month', 'period: quarter'],
  ['time zone', 'period: month', 'period: month, timeZone: Asia/Tokyo'],
])('another %s is another budget, of which nothing is spent', async (_, from, to) => {
  await applied(full)
  await spend(5000)
  const before = (await budgets()).map(({ id }) => id)
  await applied(full.replace(from, to))
  const after = (await budgets()).map(({ id }) => id)
  expect(after.slice(1)).toEqual(before.slice(1))
  expect(after[0]).not.toBe(before[0])
  expect(await committed()).toEqual([])
  expect((await auditOf('budget')).slice(4).map(({ action }) => action)).toEqual(['budget.create', 'budget.remove'])
})

test('what vanishes from the file is removed, and what others have made stays', async () => {
  await applied(full)
  await rows(
    `insert into budgets (id, organization_id, amount_nano, period, mode, managed_by)
     select $1, id, 1, 'month', 'hard', 'admin' from organizations where slug = 'acme'`,
    [ids(1)],
  )
  await rows(
    `insert into rate_limits (id, organization_id, requests_per_minute)
     select $1, id, 1 from organizations where slug = 'default'`,
    [ids(1)],
  )
  await applied('')
  expect(await budgets()).toMatchObject([{ amount_nano: '1', managed_by: 'admin' }])
  expect(await limits()).toMatchObject([{ organization: 'default', managed_by: 'admin' }])
  expect((await auditOf('budget')).slice(4).map(({ action }) => action)).toEqual(Array(4).fill('budget.remove'))
  expect((await auditOf('rate_limit')).slice(2)).toMatchObject([
    { action: 'rate_limit.remove', before: { organization: 'acme' }, after: null },
    { action: 'rate_limit.remove', before: { team: 'search' }, after: null },
  ])
})

test('a rate limit that an administrator has made is not taken over: the file is refused, with its path', async () => {
  await applied('keys: [{ name: a, organization: acme }]')
  await rows(
    `insert into rate_limits (id, organization_id, requests_per_minute)
     select $1, id, 1 from organizations where slug = 'acme'`,
    [ids(1)],
  )
  expect(await apply(full)).toMatchObject({
    ok: false,
    problems: [{ path: 'rateLimits[acme]', message: expect.stringContaining('an administrator manages') }],
  })
  expect(await count('budgets')).toBe(0)
  expect(await limits()).toMatchObject([{ requests_per_minute: '1', managed_by: 'admin' }])
})

test("a key's rate limit is written when it differs, and is the file's", async () => {
  const key = (more: string) => `keys: [{ name: a, secret: first-secret-of-twenty-chars, ${more} }]`
  await applied(key('rateLimits: { requestsPerMinute: 5 }'))
  const stored = () => rows<{ id: string }>('select id, requests_per_minute, managed_by from rate_limits')
  const [first] = await stored()
  await applied(key('tags: { x: y }, rateLimits: { requestsPerMinute: 5 }'))
  expect(await stored()).toEqual([first])
  await applied(key('rateLimits: { requestsPerMinute: 6 }'))
  expect(await stored()).toEqual([{ id: first?.id, requests_per_minute: '6', managed_by: 'file' }])
  await applied(key('tags: { x: y }'))
  expect(await stored()).toEqual([])
})

describe('a temporary increase', () => {
  const budget = (increase = '') => `budgets: [{ organization: acme, amountUsd: 1, period: month${increase} }]`
  const until = (time: string) => `, temporaryIncrease: { amountUsd: 2, until: ${time} }`
  const increases = () =>
    rows(`select temporary_increase_nano::text as nano, temporary_increase_until as until,
      temporary_increase_by as by from budgets`)
  const none = [{ nano: '0', until: null, by: null }]
  const raise = (by: string) =>
    rows(
      `update budgets set temporary_increase_nano = 9, temporary_increase_until = '2998-01-01Z',
      temporary_increase_by = $1`,
      [by],
    )

  test('comes and goes with the file', async () => {
    await applied(budget(until('2999-01-01T00:00:00+01:00')))
    expect(await increases()).toEqual([{ nano: '2000000000', until: new Date('2998-12-31T23:00:00Z'), by: 'file' }])
    await applied(budget())
    expect(await increases()).toEqual(none)
  })

  test('that is over already is none', async () => {
    await applied(budget(until('2020-01-01T00:00:00Z')))
    expect(await increases()).toEqual(none)
  })

  test('that an operator has given stays, unless the file declares one', async () => {
    await applied(budget())
    await raise('operator')
    await applied(budget().replace('amountUsd: 1', 'amountUsd: 3'))
    expect(await increases()).toMatchObject([{ nano: '9', by: 'operator' }])
    await applied(budget(until('2020-01-01T00:00:00Z')))
    expect(await increases()).toMatchObject([{ nano: '9', by: 'operator' }])
    await applied(budget(until('2999-01-01T00:00:00Z')))
    expect(await increases()).toMatchObject([{ nano: '2000000000', by: 'file' }])
  })

  test('is there for budgets of keys, too', async () => {
    const key = (increase = '') =>
      `keys: [{ name: a, secret: first-secret-of-twenty-chars, budgets: [{ amountUsd: 1, period: month${increase} }] }]`
    await applied(key(until('2999-01-01T00:00:00Z')))
    expect(await increases()).toMatchObject([{ nano: '2000000000', by: 'file' }])
    const before = await rows('select id from budgets')
    await applied(key())
    expect(await increases()).toEqual(none)
    await raise('operator')
    await applied(key().replace('amountUsd: 1', 'amountUsd: 3'))
    expect(await increases()).toMatchObject([{ nano: '9', by: 'operator' }])
    expect(await rows('select id from budgets')).toEqual(before)
    expect((await auditOf('api_key')).slice(0, 2)).toMatchObject([
      { after: { budgets: [{ temporaryIncrease: { amountNano: '2000000000', until: '2999-01-01T00:00:00.000Z' } }] } },
      { after: { budgets: [{ temporaryIncrease: null }] } },
    ])
  })
})
