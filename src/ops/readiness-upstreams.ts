import type { UpstreamStatus } from '../core/health/upstream-status.ts'

/** How `/readyz` tells what is known of upstreams: JSON, named like the log's lines. */
export const readinessUpstreams = (upstreams: readonly UpstreamStatus[]): object[] =>
  upstreams.map(({ provider, credential, attemptsInFlight, modelsInTrouble }) => ({
    provider,
    credential,
    attempts_in_flight: attemptsInFlight,
    models_in_trouble: modelsInTrouble.map(({ model, circuit, coolingDown, attempts, failures, latencyMs }) => ({
      model,
      circuit,
      cooling_down: coolingDown,
      attempts,
      failures,
      latency_ms: latencyMs,
    })),
  }))
