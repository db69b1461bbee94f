import { Counter, Histogram, type Registry } from 'prom-client'
import type { InferenceMetrics } from './inference-metrics.ts'

/**
 * The pipeline's metrics for Prometheus. Label values come from configured names only: a model that no catalog knows
 * is `other`, so that clients cannot make series.
 */
export function createInferenceMetrics(registry: Registry): InferenceMetrics {
  const registers = [registry]
  const refused = new Counter({
    name: 'llmgw_refused_requests_total',
    help: 'Requests turned away before anything was dispatched, by error code.',
    labelNames: ['operation', 'code'],
    registers,
  })
  const settled = new Counter({
    name: 'llmgw_requests_total',
    help: 'Dispatched requests, by how they finished.',
    labelNames: ['operation', 'provider', 'model', 'finish'],
    registers,
  })
  const dispatched = new Counter({
    name: 'llmgw_dispatched_requests_total',
    help: 'Requests admitted; those not yet in llmgw_requests_total are under way.',
    registers,
  })
  const tokens = new Counter({
    name: 'llmgw_tokens_total',
    help: 'Tokens by kind; input holds cached ones, output holds reasoning.',
    labelNames: ['provider', 'model', 'kind'],
    registers,
  })
  const cost = new Counter({
    name: 'llmgw_cost_usd_total',
    help: 'Provider cost in US dollars, for rates only; exact sums are in the ledger.',
    labelNames: ['provider', 'model'],
    registers,
  })
  const unpriced = new Counter({
    name: 'llmgw_unpriced_requests_total',
    help: 'Requests with a part whose price is unknown; their cost is too low.',
    labelNames: ['provider', 'model'],
    registers,
  })
  const attempts = new Counter({
    name: 'llmgw_upstream_attempts_total',
    help: 'Upstream attempts, by outcome.',
    labelNames: ['provider', 'outcome'],
    registers,
  })
  const duration = new Histogram({
    name: 'llmgw_request_duration_seconds',
    help: 'From the arrival of a request to its settlement.',
    labelNames: ['operation', 'provider'],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
    registers,
  })
  const firstOutput = new Histogram({
    name: 'llmgw_time_to_first_output_seconds',
    help: 'From the arrival of a streamed request to its first output.',
    labelNames: ['provider'],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  })

  return {
    refused: (operation, code) => refused.inc({ operation, code }),
    dispatched: () => dispatched.inc(),
    settled(record, model) {
      const provider = record.provider ?? 'none'
      settled.inc({ operation: record.operation, provider, model, finish: record.finish ?? 'none' })
      duration.observe({ operation: record.operation, provider }, (record.total_ms ?? 0) / 1_000)
      if (record.stream && record.first_output_ms !== null) {
        firstOutput.observe({ provider }, record.first_output_ms / 1_000)
      }
      if (record.input_tokens > 0) tokens.inc({ provider, model, kind: 'input' }, record.input_tokens)
      if (record.output_tokens > 0) tokens.inc({ provider, model, kind: 'output' }, record.output_tokens)
      if (record.provider_cost_nano !== '0') cost.inc({ provider, model }, Number(record.provider_cost_nano) / 1e9)
      if (record.unpriced) unpriced.inc({ provider, model })
      for (const attempt of record.attempts) attempts.inc({ provider: attempt.provider, outcome: attempt.outcome })
    },
  }
}
