import { Counter, Gauge, Histogram, Registry, Summary } from 'prom-client'
import { expect, test } from 'vitest'
import { addEnded, collectSeries, type MetricSeries, mergeSeries, renderSeries } from './metric-series.ts'

/** A process that has counted so much. */
async function processWith(amount: number, model: string): Promise<MetricSeries[]> {
  const registry = new Registry()
  const registers = [registry]
  new Counter({ name: 'calls_total', help: 'Calls.', labelNames: ['model'], registers }).inc({ model }, amount)
  new Gauge({ name: 'in_flight', help: 'Under way.', registers }).set(amount)
  new Gauge({ name: 'lag', help: 'Not known yet.', registers }).set(Number.NaN)
  new Histogram({ name: 'seconds', help: 'Time.', buckets: [1, 10], registers }).observe(amount)
  new Summary({ name: 'size', help: 'Bytes.', percentiles: [0.5], registers }).observe(amount)
  return collectSeries(registry)
}

const linesOf = async (series: readonly MetricSeries[]): Promise<string[]> => {
  const { text } = await renderSeries(series)
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('# HELP'))
}

test('what a registry says is what comes out of its series', async () => {
  const registry = new Registry()
  new Counter({ name: 'calls_total', help: 'Calls, "quoted".', labelNames: ['model'], registers: [registry] }).inc(
    { model: 'a"b\\c' },
    3,
  )
  new Histogram({ name: 'seconds', help: 'Time.', buckets: [1, 10], registers: [registry] }).observe(5)
  const { contentType, text } = await renderSeries(await collectSeries(registry))
  expect(contentType).toBe(registry.contentType)
  expect(text).toBe(await registry.metrics())
})

test('counters and histograms are sums over all processes; a gauge says of which one it is', async () => {
  const merged = mergeSeries([
    { worker: 'worker-1', series: await processWith(2, 'a') },
    { worker: 'worker-2', series: await processWith(5, 'a') },
    { worker: 'worker-3', series: await processWith(40, 'b') },
  ])
  const lines = await linesOf(merged)
  expect(lines).toEqual(expect.arrayContaining(['calls_total{model="a"} 7', 'calls_total{model="b"} 40']))
  expect(lines.filter((line) => line.startsWith('in_flight{')).sort()).toEqual([
    'in_flight{worker="worker-1"} 2',
    'in_flight{worker="worker-2"} 5',
    'in_flight{worker="worker-3"} 40',
  ])
  expect(lines).toContain('lag{worker="worker-1"} Nan')
  expect(lines.filter((line) => line.startsWith('seconds_'))).toEqual([
    'seconds_bucket{le="1"} 0',
    'seconds_bucket{le="10"} 2',
    'seconds_bucket{le="+Inf"} 3',
    'seconds_sum 47',
    'seconds_count 3',
  ])
  expect(lines).toContain('size{worker="worker-2",quantile="0.5"} 5')
  expect(lines.filter((line) => line.startsWith('# TYPE'))).toEqual([
    '# TYPE calls_total counter',
    '# TYPE in_flight gauge',
    '# TYPE lag gauge',
    '# TYPE seconds histogram',
    '# TYPE size summary',
  ])
})

test('what a process has counted stays when it is gone, and its gauges go with it', async () => {
  let ended: readonly MetricSeries[] = []
  ended = addEnded(ended, await processWith(2, 'a'))
  ended = addEnded(ended, undefined) // nobody ever asked that one
  ended = addEnded(ended, await processWith(3, 'a'))
  expect(ended.map(({ type }) => type)).toEqual(['counter', 'histogram'])
  const lines = await linesOf(mergeSeries([{ worker: 'worker-1', series: await processWith(10, 'a') }], ended))
  expect(lines).toContain('calls_total{model="a"} 15')
  expect(lines).toContain('seconds_count 3')
  expect(lines.filter((line) => line.startsWith('in_flight{'))).toEqual(['in_flight{worker="worker-1"} 10'])
})

test('a gauge that says itself which worker it is about keeps its word', () => {
  const samples = [{ labels: { worker: 'worker-1' }, value: 1 }]
  const series: MetricSeries[] = [{ name: 'ready', help: 'Ready.', type: 'gauge', samples }]
  expect(mergeSeries([{ worker: 'primary', series }])).toEqual(series)
})
