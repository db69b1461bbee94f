import type { Registry } from 'prom-client'
import type { InferenceMetrics } from '../core/inference/inference-metrics.ts'
import { createHistogram, type Histogram, type Labels, registerSampled, type Sample } from './series.ts'

const durationBounds = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
const firstOutputBounds = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** What is counted of all settled requests that share their labels: one look-up per request finds it. */
interface Settled {
  labels: { operation: string; provider: string; model: string; finish: string }
  requests: number
  inputTokens: number
  outputTokens: number
  costUsd: number
  unpriced: number
  durationSeconds: Histogram
  firstOutputSeconds: Histogram
}

/**
 * The pipeline's metrics for Prometheus. Label values come from configured names only: a model that no catalog knows
 * is `other`, so that clients cannot make series.
 */
export function createInferenceMetrics(registry: Registry): InferenceMetrics {
  const settled = new Map<string, Settled>()
  /** The series that was counted last: most requests are like the one before. */
  let recent: Settled | undefined
  const refused = new Map<string, { labels: Labels; value: number }>()
  const replayed = new Map<string, { labels: Labels; value: number }>()
  const degraded = new Map<string, { labels: Labels; value: number }>()
  const attempts = new Map<string, { labels: Labels; value: number }>()
  let dispatched = 0

  const counter = (name: string, help: string, read: () => readonly Sample[]): void =>
    registerSampled(registry, { name, help, type: 'counter' }, read)
  const eachSettled = (read: (series: Settled) => readonly Sample[]): Sample[] => [...settled.values()].flatMap(read)
  const amountOf =
    (amount: (series: Settled) => number) =>
    (series: Settled): Sample[] =>
      amount(series) === 0 ? [] : [{ labels: series.labels, value: amount(series) }]

  counter('llmgw_dispatched_requests_total', 'Requests admitted; those not yet settled are under way.', () => [
    { labels: {}, value: dispatched },
  ])
  counter('llmgw_refused_requests_total', 'Requests turned away before anything was dispatched.', () => [
    ...refused.values(),
  ])
  counter('llmgw_replayed_requests_total', 'Requests answered from an earlier one with their idempotency key.', () => [
    ...replayed.values(),
  ])
  counter(
    'llmgw_degraded_requests_total',
    'Requests whose rate limits this replica counted alone, for its share.',
    () => [...degraded.values()],
  )
  counter('llmgw_upstream_attempts_total', 'Upstream attempts, by outcome.', () => [...attempts.values()])
  counter('llmgw_requests_total', 'Dispatched requests, by how they finished.', () =>
    eachSettled(amountOf(({ requests }) => requests)),
  )
  counter('llmgw_tokens_total', 'Tokens; input holds cached ones, output holds reasoning.', () =>
    eachSettled(({ labels, inputTokens, outputTokens }) => [
      { labels: { ...labels, kind: 'input' }, value: inputTokens },
      { labels: { ...labels, kind: 'output' }, value: outputTokens },
    ]),
  )
  counter('llmgw_cost_usd_total', 'Provider cost, for rates only; exact sums are in the ledger.', () =>
    eachSettled(amountOf(({ costUsd }) => costUsd)),
  )
  counter('llmgw_unpriced_requests_total', 'Requests with a part of unknown price; their cost is too low.', () =>
    eachSettled(amountOf(({ unpriced }) => unpriced)),
  )
  const histogram = (name: string, help: string, of: (series: Settled) => Histogram): void =>
    registerSampled(registry, { name, help, type: 'histogram' }, () =>
      eachSettled((series) => of(series).samples(name, series.labels)),
    )
  histogram(
    'llmgw_request_duration_seconds',
    'From the arrival of a request to its settlement.',
    ({ durationSeconds }) => durationSeconds,
  )
  histogram(
    'llmgw_time_to_first_output_seconds',
    'From the arrival of a streamed request to its first output.',
    ({ firstOutputSeconds }) => firstOutputSeconds,
  )

  const seriesOf = (operation: string, provider: string, model: string, finish: string): Settled => {
    if (recent) {
      const { labels } = recent
      const isRecent = labels.operation === operation && labels.provider === provider
      if (isRecent && labels.model === model && labels.finish === finish) return recent
    }
    const key = `${operation} ${provider} ${finish} ${model}`
    recent = settled.get(key)
    if (recent) return recent
    recent = {
      labels: { operation, provider, model, finish },
      requests: 0,
      inputTokens: 0,
      outputTokens: 0,
      costUsd: 0,
      unpriced: 0,
      durationSeconds: createHistogram(durationBounds),
      firstOutputSeconds: createHistogram(firstOutputBounds),
    }
    settled.set(key, recent)
    return recent
  }

  return {
    refused: (operation, code) => add(refused, `${operation} ${code}`, () => ({ operation, code })),
    replayed: (operation) => add(replayed, operation, () => ({ operation })),
    dispatched() {
      dispatched++
    },
    degraded: (operation) => add(degraded, operation, () => ({ operation })),
    settled(record, model) {
      const series = seriesOf(record.operation, record.provider ?? 'none', model, record.finish ?? 'none')
      series.requests++
      series.inputTokens += record.input_tokens
      series.outputTokens += record.output_tokens
      series.costUsd += Number(record.provider_cost_nano) / 1e9
      if (record.unpriced) series.unpriced++
      series.durationSeconds.observe((record.total_ms ?? 0) / 1_000)
      if (record.stream && record.first_output_ms !== null) {
        series.firstOutputSeconds.observe(record.first_output_ms / 1_000)
      }
      for (const { provider: tried, outcome } of record.attempts) {
        add(attempts, `${tried} ${outcome}`, () => ({ provider: tried, outcome }))
      }
    },
  }
}

function add(series: Map<string, { labels: Labels; value: number }>, key: string, labels: () => Labels): void {
  const found = series.get(key)
  if (found) found.value++
  else series.set(key, { labels: labels(), value: 1 })
}
