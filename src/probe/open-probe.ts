import type { Pool } from 'pg'
import type { Config } from '../config/load-config.ts'
import { loadPriceBook } from '../core/pricing/price-book.ts'
import { createProvider } from '../core/providers/registry.ts'
import type { DeclaredProvider } from '../core/routing/declared-configuration.ts'
import { catalogOf } from '../core/routing/load-snapshot.ts'
import { readStoredRouting, type StoredProvider, type StoredRouting } from '../core/routing/snapshot.store.ts'
import { credentialsOf } from '../core/secrets/credentials-of.ts'
import type { Keyring } from '../core/secrets/keyring.ts'
import { openWayOut } from '../outbound.ts'
import type { ProbeTarget } from './provider-probe.ts'

export interface ProbeDeps {
  config: Config
  pool: Pool
  keyring: Keyring
  nowMs: number
}

/**
 * Makes a provider as a gateway would that starts now: what is declared as it is declared, others as they are stored.
 *
 * @param model - the upstream's name; without it, one that an alias or the file names, else the cheapest of the catalog
 * @throws Error, with a message fit to show
 */
export async function openProbe(deps: ProbeDeps, name: string, model: string | undefined): Promise<ProbeTarget> {
  const { config, pool, keyring } = deps
  const routing = await readStoredRouting(pool)
  const row = routing.providers.find((provider) => provider.name === name)
  const declared = config.declared.providers.find((provider) => provider.name === name)
  const stored = declared && row?.managedBy !== 'admin' ? asStored(declared, row?.id) : row
  if (!stored) throw new Error(`There is no provider ${name}.`)
  const credentials = credentialsOf(stored, { declared: config.declared, keyring })
  const models = await modelsOf(deps, stored)
  const chosen = model ?? chooseModel(stored, routing, config, models)
  if (chosen === undefined) throw new Error(`No model of ${name} is known. Name one.`)
  const provider = await createProvider(stored, credentials, { client: openWayOut(config.settings) })
  const operation = models.find((entry) => entry.name === chosen)?.mode === 'embedding' ? 'embeddings' : 'chat'
  return { provider, model: chosen, operation }
}

interface KnownModel {
  name: string
  mode: string
  /** Per token, to compare by; undefined when nobody knows. */
  costNano: number | undefined
}

async function modelsOf({ pool, nowMs }: ProbeDeps, stored: StoredProvider): Promise<KnownModel[]> {
  const prices = await loadPriceBook(pool, nowMs)
  const models = prices.modelsOf({ id: stored.id, catalog: catalogOf(stored) })
  return Array.from(models, ({ name, mode, price }) => {
    const rates = price?.tables[0]?.rates
    const costNano = rates && Number(rates.input ?? 0) + Number(rates.output ?? 0)
    return { name, mode, costNano }
  })
}

function chooseModel(
  stored: StoredProvider,
  routing: StoredRouting,
  { declared }: Config,
  models: readonly KnownModel[],
): string | undefined {
  const aliased =
    declared.aliases.flatMap(({ targets }) => targets).find(({ provider }) => provider === stored.name) ??
    routing.aliases.flatMap(({ targets }) => targets).find(({ providerId }) => providerId === stored.id)
  if (aliased) return aliased.model
  const own = declared.models.find(({ provider }) => provider === stored.name)
  if (own) return own.name
  const cost = ({ costNano }: KnownModel): number => costNano || Number.POSITIVE_INFINITY
  return models.filter(({ mode }) => mode === 'chat').sort((a, b) => cost(a) - cost(b))[0]?.name
}

function asStored(declared: DeclaredProvider, id = '00000000-0000-0000-0000-000000000000'): StoredProvider {
  const { name, managedBy, enabled, passthroughModels, type, baseUrl, settings, timeouts } = declared
  return {
    id,
    name,
    managedBy,
    enabled,
    passthroughModels,
    type,
    baseUrl,
    settings: { ...settings, timeouts },
    credentials: [],
  }
}
