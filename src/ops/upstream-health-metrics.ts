import type { Registry } from 'prom-client'
import type { ProviderReport, TargetReport } from '../core/health/provider-health.ts'
import type { UpstreamHealth } from '../core/health/upstream-health.ts'
import type { ProviderEntry, RoutingSnapshot } from '../core/routing/snapshot.ts'
import { type Labels, registerSampled, type Sample } from './series.ts'

export interface UpstreamHealthSources {
  health: UpstreamHealth
  /** Throws while there is none. */
  snapshot(): RoutingSnapshot
  monotonicMs(): number
}

/** What this replica has learned of its upstreams. Models that no catalog knows have no series: clients choose their names. */
export function registerUpstreamHealthMetrics(registry: Registry, sources: UpstreamHealthSources): void {
  const { health, snapshot, monotonicMs } = sources
  const eachProvider = (read: (report: ProviderReport, entry: ProviderEntry) => Sample[]): Sample[] => {
    let providers: Iterable<ProviderEntry>
    try {
      providers = snapshot().providers.values()
    } catch {
      return [] // no configuration yet, hence no providers
    }
    return Array.from(providers, (entry) => read(health.of(entry.provider).report(monotonicMs()), entry)).flat()
  }
  const gauge = (name: string, help: string, read: () => Sample[]): void =>
    registerSampled(registry, { name, help, type: 'gauge' }, read)
  const targetSamples = (value: (target: TargetReport) => number | undefined): Sample[] =>
    eachProvider(({ targets }, { name: provider, models }) =>
      targets.flatMap((target) => {
        const read = value(target)
        const labels: Labels = { provider, model: target.model }
        return read === undefined || !models.has(target.model) ? [] : [{ labels, value: read }]
      }),
    )
  const ofTargets = (name: string, help: string, value: (target: TargetReport) => number | undefined): void =>
    gauge(name, help, () => targetSamples(value))

  gauge(
    'llmgw_provider_credential_accepted',
    'Whether a provider is asked at all: 0 after it refused its credential.',
    () =>
      eachProvider(({ credential }, { name: provider }) => [
        { labels: { provider }, value: credential === 'accepted' ? 1 : 0 },
      ]),
  )
  gauge('llmgw_provider_attempts_in_flight', 'Upstream attempts under way.', () =>
    eachProvider(({ active }, { name: provider }) => [{ labels: { provider }, value: active }]),
  )
  ofTargets(
    'llmgw_circuit_state',
    '0 closed, 1 half-open (one call at a time), 2 open (not asked).',
    ({ circuit }) => circuitValues[circuit],
  )
  registerSampled(
    registry,
    { name: 'llmgw_circuit_openings_total', help: 'How often the circuit has opened.', type: 'counter' },
    () => targetSamples(({ openedCount }) => openedCount),
  )
  ofTargets('llmgw_target_cooling_down', '1 while a target is left alone, as its 429 asked for.', ({ coolingDown }) =>
    coolingDown ? 1 : 0,
  )
  ofTargets('llmgw_target_failure_ratio', 'Failed attempts of the last 30 s.', ({ calls, failures }) =>
    calls === 0 ? 0 : failures / calls,
  )
  ofTargets('llmgw_target_latency_seconds', 'Time to a whole answer, moving average.', ({ latencyMs }) =>
    latencyMs === undefined ? undefined : latencyMs / 1_000,
  )
}

const circuitValues = { closed: 0, 'half-open': 1, open: 2 } as const
