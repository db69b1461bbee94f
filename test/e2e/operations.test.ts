import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { chat, configFor, environmentFor, testSecret, upstreamKey } from '../support/gateway-calls.ts'
import { makeGatewayHome } from '../support/gateway-home.ts'
import { type GatewayProcess, startGateway } from '../support/gateway-process.ts'
import { respondWithCompletion, startScriptedUpstream } from '../support/scripted-upstream.ts'

// Processes take their time on a busy machine; nothing here waits longer than it must.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 })

/** What clients and providers say, which nobody but them should read: in the log, in metrics, on standard error. */
const prompt = 'my-diagnosis-is-private'
const answer = 'so-is-what-the-model-says'
const strangeModels = Array.from({ length: 30 }, (_, i) => `openai/made-up-by-a-client-${i}`)
const unknownSecret = 'e2e-secret-that-nobody-has-seen'

const opened = new AsyncDisposableStack()
let database: TestDatabase
let gateway: GatewayProcess
beforeAll(async () => {
  const upstream = await startScriptedUpstream()
  opened.defer(() => upstream.close())
  database = await createTestDatabase()
  opened.defer(() => database.drop())
  const home = opened.use(await makeGatewayHome())
  const config = configFor(upstream) as { providers: object[] }
  const providers = config.providers.map((provider) => ({ ...provider, passthroughModels: 'baseUrl' in provider }))
  await home.configure({ ...config, providers, unpricedModels: 'allow' })
  const env = { ...environmentFor(home), DATABASE_URL: database.url, LLMGW_LOG_LEVEL: 'trace' }
  gateway = opened.use(await startGateway({ home, env }))

  upstream.answer((response, request) => respondWithCompletion(response, request, { content: answer }))
  const bodies = await Promise.all([
    ...[true, false].map((stream) => chat(gateway, { prompt, stream })),
    ...strangeModels.map((model) => chat(gateway, { prompt, model })),
    chat(gateway, { prompt, secret: unknownSecret }),
    chat(gateway, { prompt, model: 'demo/no-such-model' }),
  ])
  for (const body of bodies) await body.text()
  upstream.answer((response) => void response.writeHead(500).end(`${prompt} ${upstreamKey}`))
  await (await chat(gateway, { prompt })).text()
  upstream.answer((response) => void response.destroy())
  await (await chat(gateway, { prompt, stream: true })).text()
})
afterAll(() => opened.disposeAsync())

interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

/** Reads the text format of Prometheus, and takes nothing else. */
function parseMetrics(text: string): { samples: Sample[]; types: Map<string, string> } {
  const samples: Sample[] = []
  const types = new Map<string, string>()
  for (const line of text.trimEnd().split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue
    const type = /^# TYPE (\w+) (counter|gauge|histogram|summary)$/.exec(line)
    if (type) types.set(type[1] ?? '', type[2] ?? '')
    else {
      const found =
        /^([a-z_:][\w:]*)(?:\{((?:[a-z_]\w*="(?:[^"\\]|\\.)*",?)*)\})? (-?[\d.]+(?:e[+-]?\d+)?|NaN|[+-]Inf)$/i.exec(
          line,
        )
      if (!found) throw new Error(`Not a line of metrics: ${line}`)
      const labels = [...(found[2] ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, value]) => [key, value])
      samples.push({ name: found[1] ?? '', labels: Object.fromEntries(labels), value: Number(found[3]) })
    }
  }
  return { samples, types }
}

test('/metrics is what Prometheus reads: our series, each with its type, counting what has happened', async () => {
  const response = await fetch(`${gateway.opsUrl}/metrics`)
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const { samples, types } = parseMetrics(await response.text())
  const typeOf = (name: string) => types.get(name) ?? types.get(name.replace(/_(bucket|sum|count)$/, ''))
  expect(samples.filter(({ name }) => !name.startsWith('llmgw_') || !typeOf(name))).toEqual([])
  const sum = (wanted: string, labels: Record<string, string> = {}): number =>
    samples
      .filter(({ name, labels: found }) => name === wanted && Object.entries(labels).every(([k, v]) => found[k] === v))
      .reduce((total, { value }) => total + value, 0)
  const dispatched = 2 + strangeModels.length + 2
  expect(sum('llmgw_dispatched_requests_total')).toBe(dispatched)
  expect(sum('llmgw_requests_total')).toBe(dispatched)
  expect(sum('llmgw_requests_total', { model: 'test-model', finish: 'stop' })).toBe(2)
  expect(sum('llmgw_unpriced_requests_total')).toBe(strangeModels.length)
  expect(sum('llmgw_refused_requests_total', { code: 'model_not_found' })).toBe(1)
  expect(sum('llmgw_request_duration_seconds_count')).toBe(dispatched)
  expect(sum('llmgw_requests_in_flight')).toBe(0)
  expect(sum('llmgw_process_resident_memory_bytes')).toBeGreaterThan(0)
})

test('no label of /metrics can be made up by a client, or tells a secret', async () => {
  const text = await (await fetch(`${gateway.opsUrl}/metrics`)).text()
  const { samples } = parseMetrics(text)
  const models = new Set(samples.flatMap(({ labels }) => labels.model ?? []))
  expect(models).toEqual(new Set(['test-model', 'other']))
  // Those that are configured, asked or not.
  expect(new Set(samples.flatMap(({ labels }) => labels.provider ?? []))).toEqual(new Set(['demo', 'openai']))
  expect(samples.length).toBeLessThan(1_000)
  for (const secret of [prompt, answer, testSecret, upstreamKey, unknownSecret]) expect(text).not.toContain(secret)
})

test('standard output is one JSON object a line, one of them for each settled call, with no word of what was said', async () => {
  expect(await gateway.stop()).toEqual({ code: 0, signal: null })
  expect(gateway.log).toHaveLength(gateway.output.length)
  for (const { level, time } of gateway.log) {
    expect(level).toBeTypeOf('number')
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  }
  const settled = gateway.log.filter(({ msg }) => msg === 'request settled')
  expect(settled).toHaveLength(2 + strangeModels.length + 2)
  expect(new Set(settled.map((line) => line.request_id)).size).toBe(settled.length)
  expect(settled).toContainEqual(
    expect.objectContaining({ key_name: 'tester', model: 'test-model', finish: 'stop', cost_nano_usd: '17000' }),
  )
  const said = gateway.output.join('\n') + gateway.stderr
  const password = new URL(database.url).password
  for (const secret of [prompt, answer, testSecret, upstreamKey, unknownSecret, password]) {
    expect(said).not.toContain(secret)
  }
})
