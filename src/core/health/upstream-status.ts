import type { RoutingSnapshot } from '../routing/snapshot.ts'
import type { UpstreamHealth } from './upstream-health.ts'

/** One provider as this process finds it, for an operator who asks why calls go elsewhere. */
export interface UpstreamStatus {
  provider: string
  credential: 'accepted' | 'refused'
  attemptsInFlight: number
  /** Those that are not asked at present, or of whose attempts most have failed of late; the first twenty. */
  modelsInTrouble: ModelStatus[]
}

export interface ModelStatus {
  model: string
  circuit: 'closed' | 'half-open' | 'open'
  /** Left alone for a while, as its 429 asked for. */
  coolingDown: boolean
  /** Attempts of the last 30 s, and how many of them failed. */
  attempts: number
  failures: number
  /** Of whole answers, the moving average. */
  latencyMs: number | null
}

const modelsMax = 20

/** All providers of the snapshot, in its order. */
export function upstreamStatus(health: UpstreamHealth, snapshot: RoutingSnapshot, nowMs: number): UpstreamStatus[] {
  return Array.from(snapshot.providers.values(), ({ name, provider }) => {
    const { credential, active, targets } = health.of(provider).report(nowMs)
    const troubled = targets.filter(
      ({ circuit, coolingDown, calls, failures }) => circuit !== 'closed' || coolingDown || 2 * failures > calls,
    )
    return {
      provider: name,
      credential,
      attemptsInFlight: active,
      modelsInTrouble: troubled.slice(0, modelsMax).map(({ model, circuit, coolingDown, ...target }) => ({
        model,
        circuit,
        coolingDown,
        attempts: target.calls,
        failures: target.failures,
        latencyMs: target.latencyMs === undefined ? null : Math.round(target.latencyMs),
      })),
    }
  })
}
