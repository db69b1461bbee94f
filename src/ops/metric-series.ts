import { Registry } from 'prom-client'
import { registerSampled, type Sample } from './series.ts'

/** One metric with its samples, as it travels between processes. */
export interface MetricSeries {
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram' | 'summary'
  samples: readonly Sample[]
}

/** What one process reports. */
export interface ProcessSeries {
  /** The value of its `worker` label. */
  worker: string
  series: readonly MetricSeries[]
}

/** Reads a registry. */
export async function collectSeries(registry: Registry): Promise<MetricSeries[]> {
  const metrics = await registry.getMetricsAsJSON()
  return metrics.map(({ name, help, type, values }) => ({
    name,
    help,
    type: String(type) as MetricSeries['type'],
    samples: values.map((value) => {
      const { metricName } = value as { metricName?: string }
      return { labels: labelsOf(value.labels), value: value.value, ...(metricName ? { name: metricName } : {}) }
    }),
  }))
}

/**
 * Makes one report of several: what is counted (counters, histograms) is the sum of all processes, and of those that
 * ended; anything else (gauges; quantiles cannot be added) is about one process, and has its name in the label `worker`.
 *
 * @param ended - what processes that are gone have counted
 */
export function mergeSeries(processes: readonly ProcessSeries[], ended: readonly MetricSeries[] = []): MetricSeries[] {
  const merged = new Map<string, { metric: MetricSeries; samples: Map<string, Sample> }>()
  const samplesOf = (metric: MetricSeries): Map<string, Sample> => {
    const found = merged.get(metric.name)
    if (found) return found.samples
    const samples = new Map<string, Sample>()
    merged.set(metric.name, { metric, samples })
    return samples
  }
  const add = (samples: Map<string, Sample>, sample: Sample): void => {
    const key = keyOf(sample)
    const before = samples.get(key)
    samples.set(key, before ? { ...before, value: before.value + sample.value } : sample)
  }
  for (const { worker, series } of processes) {
    for (const metric of series) {
      const samples = samplesOf(metric)
      for (const sample of metric.samples) {
        add(samples, isSum(metric) ? sample : { ...sample, labels: { worker, ...sample.labels } })
      }
    }
  }
  for (const metric of ended) {
    const samples = samplesOf(metric)
    for (const sample of metric.samples) add(samples, sample)
  }
  return [...merged.values()].map(({ metric, samples }) => ({ ...metric, samples: [...samples.values()] }))
}

/** What stays of processes that are gone, so that no sum ever falls: Prometheus would take that for a restart. */
export function addEnded(
  ended: readonly MetricSeries[],
  series: readonly MetricSeries[] | undefined,
): readonly MetricSeries[] {
  if (!series) return ended
  return mergeSeries([{ worker: '', series: series.filter(isSum) }], ended)
}

/** In the format that Prometheus reads. */
export async function renderSeries(series: readonly MetricSeries[]): Promise<{ contentType: string; text: string }> {
  const registry = new Registry()
  for (const { name, help, type, samples } of series) registerSampled(registry, { name, help, type }, () => samples)
  return { contentType: registry.contentType, text: await registry.metrics() }
}

const isSum = ({ type }: MetricSeries): boolean => type === 'counter' || type === 'histogram'

function keyOf({ name = '', labels }: Sample): string {
  const pairs = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([name, pairs.map(([label, value]) => [label, String(value)])])
}

function labelsOf(labels: Partial<Record<string, string | number>>): Record<string, string | number> {
  const known: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(labels)) if (value !== undefined) known[name] = value
  return known
}
