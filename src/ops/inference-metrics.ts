import type { Registry } from 'prom-client'
import type { Operation } from '../core/inference/call.ts'
import type { InferenceMetrics } from '../core/inference/inference-metrics.ts'
import { BoundedSeries } from './bounded-series.ts'
import { createHistogram, type Histogram, type Labels, registerSampled, type Sample } from './series.ts'

const durationBounds = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
const firstOutputBounds = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
const overheadBounds = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1]

/** Label sets of each kind; what comes beyond counts for `other`. Together they make less than 5,000 series. */
const requestSetsMax = 750
const usageSetsMax = 250
const timeSetsMax = 30
const otherSetsMax = 200
const operations = ['chat', 'embeddings'] as const satisfies Operation[]
/** Values of a tag that are told apart. */
const tagValuesMax = 50

interface Usage {
  labels: Labels
  inputTokens: number
  outputTokens: number
  cacheReadTokens: number
  cacheWriteTokens: number
  reasoningTokens: number
  costUsd: number
  unpriced: number
}

interface Times {
  labels: Labels
  duration: Histogram
  overhead: Histogram
  firstOutput: Histogram
  upstreamFirstOutput: Histogram
}

interface Count {
  labels: Labels
  value: number
}

const countOf = (labels: Labels): Count => ({ labels, value: 0 })

/**
 * The pipeline's metrics for Prometheus. Label values come from configured names only: a model that no catalog knows
 * is `other`, so that clients cannot make series.
 *
 * @param keyTags - names of tags of keys that become labels, as `tag_<name>`
 */
export function createInferenceMetrics(registry: Registry, keyTags: readonly string[] = []): InferenceMetrics {
  const requests = new BoundedSeries(requestSetsMax, countOf)
  const usage = new BoundedSeries(usageSetsMax, usageOf)
  const times = new BoundedSeries(timeSetsMax, timesOf)
  const refused = new BoundedSeries(otherSetsMax, countOf)
  const replayed = new BoundedSeries(otherSetsMax, countOf)
  const degraded = new BoundedSeries(otherSetsMax, countOf)
  const attempts = new BoundedSeries(otherSetsMax, countOf)
  const retries = new BoundedSeries(otherSetsMax, countOf)
  const fallbacks = new BoundedSeries(otherSetsMax, countOf)
  const tagLabels = keyTags.map((tag) => ({ tag, label: `tag_${tag.replace(/[^A-Za-z0-9_]/g, '_')}` }))
  const tagValues = new Map(keyTags.map((tag) => [tag, new Set<string>()]))
  let dispatched = 0
  // There from the start, so that the first one is an increase.
  for (const series of [replayed, degraded]) for (const operation of operations) series.of({ operation })

  const counter = (name: string, help: string, read: () => readonly Sample[]): void =>
    registerSampled(registry, { name, help, type: 'counter' }, read)
  const counts = (name: string, help: string, series: BoundedSeries<Count>): void =>
    counter(name, help, () => series.all())
  const usageCounter = (name: string, help: string, amount: (of: Usage) => number): void =>
    counter(name, help, () =>
      usage.all().flatMap((of) => (amount(of) === 0 ? [] : [{ labels: of.labels, value: amount(of) }])),
    )
  const histogram = (name: string, help: string, of: (series: Times) => Histogram): void =>
    registerSampled(registry, { name, help, type: 'histogram' }, () =>
      times.all().flatMap((series) => of(series).samples(name, series.labels)),
    )

  counter('llmgw_dispatched_requests_total', 'Requests admitted; those not yet settled are under way.', () => [
    { labels: {}, value: dispatched },
  ])
  counts('llmgw_refused_requests_total', 'Requests turned away before anything was dispatched.', refused)
  counts('llmgw_replayed_requests_total', 'Requests answered from an earlier one with their idempotency key.', replayed)
  counts(
    'llmgw_degraded_requests_total',
    'Requests whose rate limits this replica counted alone, for its share.',
    degraded,
  )
  counts('llmgw_upstream_attempts_total', 'Upstream attempts, by outcome.', attempts)
  counts('llmgw_retries_total', 'Attempts at the target that has just failed.', retries)
  counts('llmgw_fallbacks_total', 'Attempts at another target than the one that has just failed.', fallbacks)
  counts('llmgw_requests_total', 'Dispatched requests, by how they finished.', requests)
  counter('llmgw_tokens_total', 'Tokens, by kind; input holds cached ones, output holds reasoning.', () =>
    usage.all().flatMap((of) => tokenSamples(of)),
  )
  usageCounter(
    'llmgw_cost_usd_total',
    'Provider cost, for rates only; exact sums are in the ledger.',
    ({ costUsd }) => costUsd,
  )
  usageCounter(
    'llmgw_unpriced_requests_total',
    'Requests with a part of unknown price; their cost is too low.',
    ({ unpriced }) => unpriced,
  )
  histogram('llmgw_request_duration_seconds', 'From the arrival of a request to its settlement.', (of) => of.duration)
  histogram(
    'llmgw_gateway_overhead_seconds',
    'What a request took beyond its upstream attempts; waiting for a slow reader is in it.',
    (of) => of.overhead,
  )
  histogram(
    'llmgw_time_to_first_output_seconds',
    'From the arrival of a streamed request to its first output.',
    (of) => of.firstOutput,
  )
  histogram(
    'llmgw_upstream_first_output_seconds',
    'From the begin of the attempt that answered to its first output; of whole answers, to their end.',
    (of) => of.upstreamFirstOutput,
  )

  /** Named by an administrator, who may name many. */
  const tagsOf = (tags: Readonly<Record<string, string>>): Record<string, string> => {
    const labels: Record<string, string> = {}
    for (const { tag, label } of tagLabels) {
      const value = tags[tag] ?? 'none'
      const known = tagValues.get(tag) as Set<string>
      if (known.size < tagValuesMax) known.add(value)
      labels[label] = known.has(value) ? value : 'other'
    }
    return labels
  }

  const add = (series: BoundedSeries<Count>, labels: Labels): void => {
    series.of(labels).value++
  }

  return {
    refused: (operation, code) => add(refused, { operation, code }),
    replayed: (operation) => add(replayed, { operation }),
    dispatched() {
      dispatched++
    },
    degraded: (operation) => add(degraded, { operation }),
    settled(record, model, { overheadMs, upstreamFirstOutputMs }) {
      const { operation, door, finish, error_code: code } = record
      const alias = record.alias ?? 'none'
      const provider = record.provider ?? 'none'
      const tags = tagLabels.length > 0 ? tagsOf(record.tags) : undefined
      const status = code ?? 'ok'
      add(requests, { operation, door, alias, provider, model, finish: finish ?? 'none', status, ...tags })
      const used = usage.of({ alias, provider, model, ...tags })
      used.inputTokens += record.input_tokens
      used.outputTokens += record.output_tokens
      used.cacheReadTokens += record.cache_read_tokens
      used.cacheWriteTokens += record.cache_write_tokens
      used.reasoningTokens += record.reasoning_tokens
      used.costUsd += Number(record.provider_cost_nano) / 1e9
      if (record.unpriced) used.unpriced++
      const took = times.of({ operation, provider })
      took.duration.observe((record.total_ms ?? 0) / 1_000)
      took.overhead.observe(overheadMs / 1_000)
      if (upstreamFirstOutputMs !== undefined) took.upstreamFirstOutput.observe(upstreamFirstOutputMs / 1_000)
      if (record.stream && record.first_output_ms !== null) took.firstOutput.observe(record.first_output_ms / 1_000)
      let before: (typeof record.attempts)[number] | undefined
      for (const attempt of record.attempts) {
        add(attempts, { provider: attempt.provider, outcome: attempt.outcome })
        const isSame = attempt.provider === before?.provider && attempt.model === before.model
        if (before && isSame) add(retries, { provider: attempt.provider })
        else if (before) add(fallbacks, { alias, from: before.provider, to: attempt.provider })
        before = attempt
      }
    },
  }
}

const usageOf = (labels: Labels): Usage => ({
  labels,
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
  costUsd: 0,
  unpriced: 0,
})

const timesOf = (labels: Labels): Times => ({
  labels,
  duration: createHistogram(durationBounds),
  overhead: createHistogram(overheadBounds),
  firstOutput: createHistogram(firstOutputBounds),
  upstreamFirstOutput: createHistogram(firstOutputBounds),
})

/** Input and output always; the parts of them where there are any. */
function tokenSamples(of: Usage): Sample[] {
  const { labels, inputTokens: input, outputTokens: output } = of
  const parts = { cache_read: of.cacheReadTokens, cache_write: of.cacheWriteTokens, reasoning: of.reasoningTokens }
  return Object.entries({ input, output, ...parts }).flatMap(([kind, value]) =>
    value > 0 || kind === 'input' || kind === 'output' ? [{ labels: { ...labels, kind }, value }] : [],
  )
}
