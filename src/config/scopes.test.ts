import { expect, test } from 'vitest'
import { loadConfig } from './load-config.ts'
import { formatProblems } from './problem.ts'

const load = (yaml: string, path = '/llmgw.yaml') => loadConfig({ LLMGW_CONFIG: path }, () => yaml)

function declaredBy(yaml: string, path?: string) {
  const result = load(yaml, path)
  if (!result.ok) throw new Error(formatProblems(result.problems))
  return result.config.declared
}

function problemsOf(yaml: string): string[] {
  const result = load(yaml)
  return result.ok ? [] : result.problems.map(({ path, message }) => `${path}: ${message}`)
}

const defaults = {
  timeZone: 'UTC',
  mode: 'hard',
  alertThresholdsPercent: [50, 80, 100],
  organization: undefined,
  team: undefined,
  tag: undefined,
  temporaryIncrease: undefined,
}

test('budgets are for organizations, teams and tags', () => {
  const { budgets } = declaredBy(`
budgets:
  - { organization: acme, amountUsd: 5000, period: month }
  - { organization: acme, team: search, amountUsd: 0.5, period: week, timeZone: Europe/Berlin, mode: soft }
  - { tag: { name: env, value: prod }, amountUsd: '100', period: day }
  - organization: acme
    tag: { name: env, value: test }
    amountUsd: 10
    period: day
    temporaryIncrease: { amountUsd: 5, until: 2026-12-24T00:00:00+01:00 }
`)
  expect(budgets).toEqual([
    { ...defaults, organization: 'acme', amountNano: 5_000_000_000_000n, period: 'month' },
    {
      ...defaults,
      organization: 'acme',
      team: 'search',
      amountNano: 500_000_000n,
      period: 'week',
      timeZone: 'Europe/Berlin',
      mode: 'soft',
    },
    { ...defaults, tag: { name: 'env', value: 'prod' }, amountNano: 100_000_000_000n, period: 'day' },
    {
      ...defaults,
      organization: 'acme',
      tag: { name: 'env', value: 'test' },
      amountNano: 10_000_000_000n,
      period: 'day',
      temporaryIncrease: { amountNano: 5_000_000_000n, untilMs: Date.UTC(2026, 11, 23, 23) },
    },
  ])
})

test('rate limits are for organizations and teams', () => {
  expect(
    declaredBy(
      `
[[rateLimits]]
organization = "acme"
requestsPerMinute = 1000
[[rateLimits]]
organization = "acme"
team = "search"
maxConcurrent = 20
strict = true
`,
      '/llmgw.toml',
    ).rateLimits,
  ).toEqual([
    {
      organization: 'acme',
      team: undefined,
      requestsPerMinute: 1000,
      tokensPerMinute: undefined,
      maxConcurrent: undefined,
      algorithm: 'sliding_window',
      strict: false,
    },
    {
      organization: 'acme',
      team: 'search',
      requestsPerMinute: undefined,
      tokensPerMinute: undefined,
      maxConcurrent: 20,
      algorithm: 'sliding_window',
      strict: true,
    },
  ])
})

test('a TOML time ends an increase', () => {
  const { budgets } = declaredBy(
    `[[budgets]]
organization = "acme"
amountUsd = 1
period = "day"
temporaryIncrease = { amountUsd = 5, until = 2026-12-24T00:00:00Z }`,
    '/llmgw.toml',
  )
  expect(budgets[0]?.temporaryIncrease?.untilMs).toBe(Date.UTC(2026, 11, 24))
})

test('everything that is wrong with owners is told at once, beside what is wrong with fields', () => {
  expect(
    problemsOf(`
budgets:
  - { amountUsd: 1, period: day }
  - { team: search, amountUsd: 1, period: day }
  - { organization: acme, team: search, tag: { name: env, value: prod }, amountUsd: 1, period: day }
  - { organization: acme, amountUsd: 1, period: day }
  - { organization: acme, amountUsd: 2, period: day, timeZone: UTC }
  - { organization: acme, amountUsd: 2, period: day, timeZone: Asia/Tokyo }
  - { organization: acme, team: a, amountUsd: 2, period: day }
  - { tag: { name: env, value: prod }, amountUsd: 2, period: day }
  - { tag: { value: prod, name: env }, amountUsd: 3, period: day }
  - { organization: acme, tag: { name: env, value: prod }, amountUsd: 3, period: day }
  - { organization: acme, amountUsd: -1, period: fortnight, temporaryIncrease: { amountUsd: 1, until: tomorrow } }
  - { tag: { name: env }, amountUsd: 3, period: hour }
  - { key: a, organization: Acme Corp, amountUsd: 3, period: day }
rateLimits:
  - { organization: acme, strict: true }
  - { organization: acme, requestsPerMinute: 1 }
  - { organization: acme, team: a, requestsPerMinute: 0 }
  - { team: b, requestsPerMinute: 1 }
keys:
  - { name: a, budgets: [{ amountUsd: 1, period: day, temporaryIncrease: { until: 2026-12-24T00:00:00Z } }] }
`).sort(),
  ).toEqual(
    [
      'budgets[0].organization: is missing; a budget is for an organization, a team in one, or a tag',
      'budgets[1].organization: is missing; a team belongs to an organization',
      'budgets[2].tag: stands beside a team; a budget is for one of them',
      'budgets[4].period: is the same as in budgets[3]; expected another one',
      'budgets[8].period: is the same as in budgets[7]; expected another one',
      'budgets[10].amountUsd: expected dollars from 0 to 1000000000, with at most 9 decimals',
      'budgets[10].period: expected one of hour, day, week, month, quarter, total',
      'budgets[10].temporaryIncrease.until: expected a time with its zone, such as 2027-01-31T00:00:00Z',
      'budgets[11].tag.value: expected text, found nothing',
      'budgets[12].key: is not a known field; expected organization, team, tag, amountUsd, period, mode, timeZone, alertThresholdsPercent, temporaryIncrease',
      'budgets[12].organization: expected 1 to 63 lower-case letters, digits and dashes',
      'rateLimits[0]: limits nothing; expected requestsPerMinute, tokensPerMinute or maxConcurrent',
      'rateLimits[1].organization: is the same as in rateLimits[0]; expected another one',
      'rateLimits[2].requestsPerMinute: expected at least 1',
      'rateLimits[3].organization: expected text, found nothing',
      'keys[0].budgets[0].temporaryIncrease.amountUsd: expected dollars from 0 to 1000000000, with at most 9 decimals',
    ].sort(),
  )
})

test.each([
  ['no list', 'budgets: { organization: acme }', 'budgets: expected a list, found a mapping'],
  ['an item that is no mapping', 'rateLimits: [fast]', 'rateLimits[0]: expected a mapping, found text'],
])('%s is told as such', (_, yaml, problem) => {
  expect(problemsOf(yaml)).toContain(problem)
})
