import { Gauge, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client'

export type Labels = Readonly<Record<string, string>>

/** One series of a metric as Prometheus reads it; `name` only where it differs from the metric's, as in histograms. */
export interface Sample {
  labels: Readonly<Record<string, string | number>>
  value: number
  name?: string
}

/**
 * Registers a metric whose values are kept elsewhere and read when Prometheus asks. Adding to a number is all that
 * then happens on the path of a request.
 */
export function registerSampled(
  registry: Registry,
  { name, help, type }: { name: string; help: string; type: 'counter' | 'gauge' | 'histogram' | 'summary' },
  read: () => readonly Sample[],
): void {
  // Registries take any object that answers like a metric; a Gauge brings what is left of the form.
  const metric = new Gauge({ name, help, registers: [] })
  metric.get = async () =>
    ({
      name,
      help,
      type,
      aggregator: 'sum',
      values: read().map(({ labels, value, name: metricName }) => ({ labels, value, metricName })),
    }) as unknown as MetricObjectWithValues<MetricValue<string>>
  registry.registerMetric(metric)
}

/** Counts of observations by upper bound. */
export interface Histogram {
  observe(value: number): void
  samples(name: string, labels: Labels): Sample[]
}

export function createHistogram(bounds: readonly number[]): Histogram {
  const counts = new Array<number>(bounds.length + 1).fill(0)
  let sum = 0
  return {
    observe(value) {
      let at = 0
      while (at < bounds.length && value > (bounds[at] as number)) at++
      counts[at] = (counts[at] as number) + 1
      sum += value
    },
    samples(name, labels) {
      let total = 0
      const buckets = counts.map((count, at): Sample => {
        total += count
        return { name: `${name}_bucket`, labels: { ...labels, le: bounds[at] ?? '+Inf' }, value: total }
      })
      return [...buckets, { name: `${name}_sum`, labels, value: sum }, { name: `${name}_count`, labels, value: total }]
    },
  }
}
