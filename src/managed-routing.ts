import type { AdminPlaneDeps } from './administration.ts'
import { createManagedReaders } from './config/managed-routing.ts'
import type { IdSource } from './core/ids.ts'
import { loadPriceBook, type PriceBookOptions } from './core/pricing/price-book.ts'
import { createProvider } from './core/providers/registry.ts'
import { closeAll, loadRoutingSnapshot, unusedProviders } from './core/routing/load-snapshot.ts'
import { createManagedRouting, type ManagedRouting } from './core/routing/managed-routing.ts'
import { createRoutingChanges } from './core/routing/routing-change.store.ts'
import { readStoredRouting } from './core/routing/snapshot.store.ts'
import { credentialsOf } from './core/secrets/credentials-of.ts'
import { createAddressGuard } from './core/upstream/address-guard.ts'
import type { UpstreamClient } from './core/upstream/upstream-client.ts'
import { openProbe } from './probe/open-probe.ts'
import { probeProvider } from './probe/provider-probe.ts'

export interface ManagedRoutingDeps extends Pick<AdminPlaneDeps, 'config' | 'pools' | 'clock' | 'keyring' | 'events'> {
  ids: IdSource
  client: UpstreamClient
}

/** Less than an operation of the admin API may take. */
const probeTimeoutMs = 8_000

/** What administrators change of routing, and trying a provider out: over the same parts as serving, in this process. */
export function openManagedRouting({ config, pools, clock, keyring, events, ids, client }: ManagedRoutingDeps): {
  routes: ManagedRouting
  testProvider(name: string, model: string | undefined): Promise<{ ok: boolean; lines: readonly string[] }>
} {
  const { settings } = config()
  let resolveName: PriceBookOptions['resolveName']
  const change = createRoutingChanges({
    pool: pools.admin,
    clock,
    newId: ids,
    changed: () => events.publish({ type: 'configuration-changed' }),
    async problemsOf(database) {
      resolveName ??= (await import('./core/catalog/genai-prices.ts')).bundledNameResolver()
      const options = { resolveName }
      const loaded = await loadRoutingSnapshot(
        {
          prices: () => loadPriceBook(database, clock.nowMs(), options),
          credentials: (provider) => credentialsOf(provider, { declared: config().declared, keyring }),
          createProvider: (provider, credentials) => createProvider(provider, credentials, { client }),
        },
        await readStoredRouting(database),
        undefined,
      )
      if (!loaded.ok) return loaded.problems
      await closeAll(unusedProviders(loaded.snapshot.providers.values(), []))
      return []
    },
  })
  return {
    routes: createManagedRouting({
      change,
      keyring,
      ...createManagedReaders(createAddressGuard(settings.privateUpstreams)),
    }),
    async testProvider(name, model) {
      try {
        const target = await openProbe(
          { config: config(), pool: pools.admin, keyring, nowMs: clock.nowMs() },
          name,
          model,
        )
        return await probeProvider(target, () => ids(clock.nowMs()), probeTimeoutMs).finally(() =>
          target.provider.close(),
        )
      } catch (error) {
        return { ok: false, lines: [(error as Error).message] } // fit to show
      }
    },
  }
}
