import type { Log } from '../log.ts'
import type { Provider } from '../providers/provider.ts'
import { type HealthChange, ProviderHealth } from './provider-health.ts'

/** What this replica has learned of its upstreams. Each replica learns for itself: it may be the one with the trouble. */
export interface UpstreamHealth {
  of(provider: Provider): ProviderHealth
  /** All of it: somebody has put things right and says so. */
  forget(): void
}

export interface UpstreamHealthDeps {
  log: Log
  random?: () => number
}

export function createUpstreamHealth({ log, random = Math.random }: UpstreamHealthDeps): UpstreamHealth {
  // By the adapter and not by its name: another credential makes another adapter, about which nothing is known yet.
  let known = new WeakMap<Provider, ProviderHealth>()
  return {
    of(provider) {
      let health = known.get(provider)
      if (!health) {
        health = new ProviderHealth((change) => report(log, provider.name, change), random)
        known.set(provider, health)
      }
      return health
    },
    forget() {
      known = new WeakMap()
    },
  }
}

function report(log: Log, provider: string, change: HealthChange): void {
  const model = change.model
  switch (change.kind) {
    case 'credential-refused':
      log.error(
        { provider, model },
        model === undefined
          ? 'A provider refused its credential; nothing is asked of it for a minute.'
          : 'A provider refused a model to its credential; it is not asked for that model for a minute.',
      )
      break
    case 'circuit-opened':
      log.warn({ provider, model }, 'A model of a provider fails too often; calls go elsewhere for a while.')
      break
    case 'circuit-closed':
      log.info({ provider, model }, 'A model of a provider answers again.')
      break
  }
}
