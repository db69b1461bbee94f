import { execFile } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { parser } from '@prometheus-io/lezer-promql'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { createTestDatabase } from '../support/database.ts'
import { eventually } from '../support/eventually.ts'
import { chat, configFor, environmentFor } from '../support/gateway-calls.ts'
import { makeGatewayHome } from '../support/gateway-home.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { promtool } from '../support/promtool.ts'
import { needsRedisServer, startRedisServer } from '../support/redis-server.ts'
import { respondWithCompletion, respondWithJson, startScriptedUpstream } from '../support/scripted-upstream.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 180_000 })

const root = join(import.meta.dirname, '../..')
const rulesFile = join(root, 'deploy/prometheus/alerts.yml')

interface Query {
  where: string
  expr: string
  /** Labels that its text names, besides those in the expression. */
  named: string[]
}

interface Rule {
  alert: string
  expr: string
  annotations: Record<string, string>
}

interface Dashboard {
  uid: string
  title: string
  panels: { title: string; targets: { expr: string; legendFormat: string }[] }[]
}

const rules = (parse(readFileSync(rulesFile, 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
)
const dashboards = globSync('deploy/grafana/*.json', { cwd: root })
  .sort()
  .map((file) => ({ file: basename(file), ...(JSON.parse(readFileSync(join(root, file), 'utf8')) as Dashboard) }))

const queries: Query[] = [
  ...rules.map(({ alert, expr, annotations }) => ({
    where: alert,
    expr,
    named: [
      ...Object.values(annotations)
        .join(' ')
        .matchAll(/\$labels\.(\w+)/g),
    ].map(([, label]) => label as string),
  })),
  ...dashboards.flatMap(({ file, panels }) =>
    panels.flatMap(({ title, targets }) =>
      targets.map(({ expr, legendFormat }) => ({
        where: `${file}: ${title}`,
        expr: expr.replaceAll('$__rate_interval', '5m'),
        named: [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label as string),
      })),
    ),
  ),
]

/** What Prometheus adds to every series of a target. */
const ofTarget = ['instance', 'job']
/** What Prometheus makes itself. */
const builtIn = new Map([['up', new Set<string>()]])

/** The labels of each series that a gateway with everything in it has. */
let labelsByMetric: Map<string, Set<string>>

needsRedisServer()

beforeAll(async () => {
  await using opened = new AsyncDisposableStack()
  const database = await createTestDatabase()
  opened.defer(() => database.drop())
  const redis = opened.use(await startRedisServer())
  const upstream = await startScriptedUpstream()
  opened.defer(() => upstream.close())
  const home = opened.use(await makeGatewayHome())
  const base = configFor(upstream) as { providers: { baseUrl?: string }[]; models: object[]; keys: object[] }
  const [openai, demo] = base.providers
  await home.configure({
    ...base,
    providers: [{ ...openai, passthroughModels: true }, { ...openai, name: 'spare' }, demo],
    models: [...base.models, { provider: 'spare', name: 'spare-model', inputUsdPerMillion: 1, outputUsdPerMillion: 2 }],
    aliases: [
      {
        name: 'smart',
        targets: [
          { provider: 'openai', model: 'test-model', priority: 0 },
          { provider: 'spare', model: 'spare-model', priority: 1 },
        ],
      },
    ],
    keys: [{ ...base.keys[0], tags: { team: 'checkout' }, rateLimits: { requestsPerMinute: 10_000 } }],
    metrics: { keyTags: ['team'] },
  })
  const env = { ...environmentFor(home), DATABASE_URL: database.url, REDIS_URL: redis.url, LLMGW_WORKERS: '2' }
  const gateway = opened.use(await startGateway({ home, env }))
  const ask = async (options: Parameters<typeof chat>[1]): Promise<void> => {
    await (await chat(gateway, { ...options, headers: { connection: 'close', ...options?.headers } })).text()
  }
  const usage = {
    prompt_tokens: 9,
    completion_tokens: 5,
    total_tokens: 14,
    prompt_tokens_details: { cached_tokens: 3 },
    completion_tokens_details: { reasoning_tokens: 2 },
  }
  upstream.answer((response, request) => respondWithCompletion(response, request, { usage }))
  await ask({ stream: true })
  await ask({ headers: { 'idempotency-key': 'dashboards' } })
  await ask({ model: 'openai/of-unknown-price' })
  await ask({ model: 'demo/none' })
  upstream.answer((response, request) => {
    if (request.json.model === 'spare-model') respondWithCompletion(response, request)
    else respondWithJson(response, 503, { error: { message: 'not now' } })
  })
  await ask({ model: 'smart' })
  await ask({})
  labelsByMetric = await eventually(
    'all series',
    async () => {
      const found = await labelsOf(gateway)
      return isWhole(found) && found
    },
    30_000,
  )
})

/** What comes with the first such event, or a moment after the start. */
const isWhole = (found: Map<string, Set<string>>): boolean =>
  ['llmgw_fallbacks_total', 'llmgw_retries_total'].every((name) => found.get(name)?.size) &&
  found.has('llmgw_redis_eviction_policy_ok')

async function labelsOf({ opsUrl }: GatewayProcess): Promise<Map<string, Set<string>>> {
  const found = new Map(builtIn)
  for (const line of (await (await fetch(`${opsUrl}/metrics`)).text()).split('\n')) {
    const [, type] = /^# TYPE (\S+)/.exec(line) ?? []
    if (type && !found.has(type)) found.set(type, new Set())
    const [, name, labels = ''] = /^([a-z_]\w*)(?:\{(.*)\})? /.exec(line) ?? []
    if (!name) continue
    const known = found.get(name) ?? new Set<string>()
    for (const [, label] of labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) known.add(label as string)
    found.set(name, known)
  }
  return found
}

interface Selector {
  metric: string
  labels: string[]
}

/** @throws Error for what is no PromQL */
function read(expr: string): { selectors: Selector[]; grouped: string[] } {
  const selectors: Selector[] = []
  const grouped: string[] = []
  parser.parse(expr).iterate({
    enter({ type, name, from, to, node }) {
      const text = expr.slice(from, to)
      if (type.isError) throw new Error(`no PromQL at ${from}: ${expr.slice(from, from + 30)}`)
      if (name === 'Identifier' && node.parent?.name === 'VectorSelector') selectors.push({ metric: text, labels: [] })
      if (name !== 'LabelName') return
      if (node.parent?.name === 'GroupingLabels') grouped.push(text)
      else selectors.at(-1)?.labels.push(text)
    },
  })
  return { selectors, grouped }
}

describe('queries', () => {
  test('there are dashboards and alerts, each with a name of its own', () => {
    expect(dashboards.map(({ file }) => file)).toEqual([
      'cost.json',
      'money-safety.json',
      'overview.json',
      'providers.json',
    ])
    expect(new Set(dashboards.map(({ uid }) => uid)).size).toBe(dashboards.length)
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
    expect(queries.length).toBeGreaterThan(80)
  })

  test.for(queries)('$where', ({ expr, named }) => {
    const { selectors, grouped } = read(expr)
    expect(selectors.length).toBeGreaterThan(0)
    const all = new Set(ofTarget)
    for (const { metric, labels } of selectors) {
      const known = labelsByMetric.get(metric)
      expect(known, metric).toBeDefined()
      for (const label of known ?? []) all.add(label)
      for (const label of labels) expect([...(known ?? []), ...ofTarget], metric).toContain(label)
    }
    for (const label of [...grouped, ...named]) expect([...all]).toContain(label)
  })

  test('what does not exist is found', () => {
    expect(labelsByMetric.has('llmgw_made_up_total')).toBe(false)
    expect(labelsByMetric.get('llmgw_requests_total')).toEqual(
      new Set(['operation', 'door', 'alias', 'provider', 'model', 'finish', 'status', 'tag_team']),
    )
    expect(() => read('sum(rate(x[5m])')).toThrow(/no PromQL/)
    expect(read('sum by (a) (rate(m{b="c"}[5m]))')).toEqual({
      selectors: [{ metric: 'm', labels: ['b'] }],
      grouped: ['a'],
    })
  })
})

test('Prometheus takes the rules', async ({ skip }) => {
  const checker = await promtool()
  if (!checker) return skip('there is no promtool, and none can be had')
  const { stdout } = await promisify(execFile)(checker, ['check', 'rules', rulesFile])
  expect(stdout).toContain(`SUCCESS: ${rules.length} rules found`)
})
