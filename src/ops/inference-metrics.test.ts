import { Registry } from 'prom-client'
import { describe, expect, test } from 'vitest'
import type { UsageEnd } from '../core/usage/usage-record.ts'
import { createInferenceMetrics } from './inference-metrics.ts'

const record = (more: Partial<UsageEnd> = {}): UsageEnd =>
  ({
    operation: 'chat',
    door: 'rest',
    alias: null,
    provider: 'openai',
    model: 'm',
    finish: 'stop',
    error_code: null,
    stream: true,
    tags: {},
    input_tokens: 10,
    output_tokens: 5,
    cache_read_tokens: 4,
    cache_write_tokens: 0,
    reasoning_tokens: 2,
    provider_cost_nano: '1500000000',
    unpriced: false,
    total_ms: 120,
    first_output_ms: 40,
    attempts: [{ provider: 'openai', model: 'm', outcome: 'answered' }],
    ...more,
  }) as UsageEnd

const times = { overheadMs: 0.6, upstreamFirstOutputMs: 30 }

async function seriesOf(registry: Registry): Promise<string[]> {
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

function open(keyTags: string[] = []) {
  const registry = new Registry()
  const metrics = createInferenceMetrics(registry, keyTags)
  return { registry, metrics, lines: (name: string) => linesOf(registry, name) }
}

const linesOf = async (registry: Registry, name: string): Promise<string[]> =>
  (await seriesOf(registry)).filter((line) => line.startsWith(`${name}{`))

test('a call is counted by what it was, used and took', async () => {
  const { metrics, lines } = open()
  metrics.settled(record({ alias: 'smart', door: 'grpc' }), 'm', times)
  expect(await lines('llmgw_requests_total')).toEqual([
    'llmgw_requests_total{operation="chat",door="grpc",alias="smart",provider="openai",model="m",finish="stop",status="ok"} 1',
  ])
  expect(await lines('llmgw_tokens_total')).toEqual(
    [
      ['input', 10],
      ['output', 5],
      ['cache_read', 4],
      ['reasoning', 2],
    ].map(([kind, value]) => `llmgw_tokens_total{alias="smart",provider="openai",model="m",kind="${kind}"} ${value}`),
  )
  expect(await lines('llmgw_cost_usd_total')).toEqual([
    'llmgw_cost_usd_total{alias="smart",provider="openai",model="m"} 1.5',
  ])
  const labels = 'operation="chat",provider="openai"'
  for (const [name, seconds] of [
    ['llmgw_request_duration_seconds', 0.12],
    ['llmgw_gateway_overhead_seconds', 0.0006],
    ['llmgw_time_to_first_output_seconds', 0.04],
    ['llmgw_upstream_first_output_seconds', 0.03],
  ] as const) {
    const [sum] = await lines(`${name}_sum`)
    expect(sum).toMatch(`${name}_sum{${labels}} `)
    expect(Number(sum?.split(' ').at(-1))).toBeCloseTo(seconds, 6)
    expect(await lines(`${name}_count`)).toEqual([`${name}_count{${labels}} 1`])
  }
  expect(await lines('llmgw_gateway_overhead_seconds_bucket')).toContain(
    `llmgw_gateway_overhead_seconds_bucket{${labels},le="0.001"} 1`,
  )
})

test('an attempt after a failure is a retry of the same target, or a fallback to another', async () => {
  const { metrics, lines } = open()
  const failed = { provider: 'openai', model: 'm', outcome: 'status' }
  const attempts = [
    failed,
    failed,
    { provider: 'spare', model: 'm', outcome: 'answered' },
  ] as unknown as UsageEnd['attempts']
  metrics.settled(record({ alias: 'smart', provider: 'spare', attempts }), 'm', times)
  expect(await lines('llmgw_retries_total')).toEqual(['llmgw_retries_total{provider="openai"} 1'])
  expect(await lines('llmgw_fallbacks_total')).toEqual([
    'llmgw_fallbacks_total{alias="smart",from="openai",to="spare"} 1',
  ])
})

test('a call that failed has its code as status', async () => {
  const { metrics, lines } = open()
  metrics.settled(record({ error_code: 'provider_error', finish: 'provider_error' }), 'm', times)
  expect((await lines('llmgw_requests_total'))[0]).toContain('finish="provider_error",status="provider_error"')
})

describe('series are bounded', () => {
  test('whatever is configured: the rest is other, and nothing is lost', async () => {
    const { metrics, registry, lines } = open()
    for (let at = 0; at < 3_000; at++) {
      const provider = `provider-${at % 200}`
      const attempts = [{ provider, model: 'm', outcome: 'answered' }] as unknown as UsageEnd['attempts']
      metrics.settled(record({ alias: `alias-${at}`, provider, attempts }), `model-${at}`, times)
    }
    const sums = async (name: string) =>
      (await lines(name)).reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    expect((await seriesOf(registry)).length).toBeLessThan(5_000)
    expect(await sums('llmgw_requests_total')).toBe(3_000)
    expect(await sums('llmgw_cost_usd_total')).toBeCloseTo(4_500, 6)
    expect(await sums('llmgw_request_duration_seconds_count')).toBe(3_000)
    expect(await lines('llmgw_requests_total')).toContainEqual(
      expect.stringContaining('alias="other",provider="other"'),
    )
  })

  test('whatever tags are given to keys', async () => {
    const { metrics, lines } = open(['cost center'])
    for (let at = 0; at < 60; at++) metrics.settled(record({ tags: { 'cost center': `c-${at}` } }), 'm', times)
    metrics.settled(record(), 'm', times)
    const found = new Set(
      (await lines('llmgw_requests_total')).map((line) => /tag_cost_center="([^"]*)"/.exec(line)?.[1]),
    )
    expect(found.size).toBe(51)
    expect(found).toContain('other')
  })
})
