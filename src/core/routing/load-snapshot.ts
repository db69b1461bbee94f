import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { catalogOfProviderType } from '../catalog/catalog-id.ts'
import type { Credentials } from '../providers/credentials.ts'
import type { Provider } from '../providers/provider.ts'
import type { StoredAlias, StoredProvider, StoredRouting } from './snapshot.store.ts'
import type { AliasEntry, AliasTarget, ModelEntry, ProviderEntry, RoutingSnapshot } from './snapshot.ts'

export interface LoadSnapshotDeps {
  /** The models and prices to build with; read after the stored routing. */
  prices(): Promise<PriceLookup>
  /** Opens what the provider's secrets are sealed in, by field. Throws, with a message fit to show, when it cannot. */
  credentials(provider: StoredProvider): Credentials | Promise<Credentials>
  /** Where this replica stands; undefined when nobody has said. */
  region?: string | undefined
  /** Throws, with a message fit to show, when a setting or a credential is missing or wrong. */
  createProvider(provider: StoredProvider, credentials: Credentials): Provider | Promise<Provider>
}

export interface PriceLookup {
  /** When the next price takes effect, in milliseconds since the epoch; undefined when none is known to. */
  readonly nextChangeMs: number | undefined
  /** What the operator declared for this provider and what its catalog holds; where both name a model, the former. */
  modelsOf(provider: { id: string; catalog: string }): Iterable<ModelEntry>
  /** The model that a name stands for in a catalog, by that very name or by a rule. */
  findModel(catalog: string, name: string): ModelEntry | undefined
}

export type LoadedSnapshot =
  | {
      ok: true
      snapshot: RoutingSnapshot
      /** What is stored now, and why it is not what was loaded; undefined when it is. */
      insteadOf?: { version: bigint; problems: SnapshotProblem[] }
    }
  | { ok: false; version: bigint; problems: SnapshotProblem[] }

export interface SnapshotProblem {
  /** Such as `aliases.smart`. */
  path: string
  /** Fit to show to an operator; no secrets. */
  message: string
  /** It was declared outside the database, in the file or the environment. */
  isDeclared: boolean
}

/**
 * Builds a snapshot from what is stored, and checks it as a whole: it is good, or it is not used at all.
 *
 * Providers made from the same things as in the previous snapshot are taken over with their connections. Those that
 * were made in vain are closed here; closing those that are no longer used is up to whoever swaps the snapshots.
 *
 * @param leavesOut - what is no good is left out, and the snapshot is good
 * @throws whatever the database throws: that says nothing about the configuration
 */
export async function loadRoutingSnapshot(
  deps: LoadSnapshotDeps,
  stored: StoredRouting,
  previous: RoutingSnapshot | undefined,
  { leavesOut = false }: { leavesOut?: boolean } = {},
): Promise<LoadedSnapshot> {
  const prices = await deps.prices()
  const problems: SnapshotProblem[] = []
  const providersById = new Map<string, ProviderEntry>()
  for (const provider of stored.providers) {
    if (!provider.enabled) continue
    try {
      // In turn, for creating a provider may load its adapter, and there are few of them.
      providersById.set(provider.id, await providerEntryOf(deps, prices, provider, previous))
    } catch (error) {
      problems.push({
        path: `providers.${provider.name}`,
        message: messageOf(error),
        isDeclared: provider.managedBy !== 'admin',
      })
    }
  }
  const aliases = new Map<string, AliasEntry>()
  for (const alias of stored.aliases)
    aliases.set(alias.name, aliasEntryOf(alias, stored, providersById, deps.region, problems))
  if (problems.length > 0 && !leavesOut) {
    await closeAll(unusedProviders(providersById.values(), previous?.providers.values() ?? []))
    return { ok: false, version: stored.version, problems }
  }
  const providers = new Map([...providersById.values()].map((entry) => [entry.name, entry]))
  return {
    ok: true,
    snapshot: {
      version: stored.version,
      validUntilMs: prices.nextChangeMs,
      providers,
      disabledProviders: new Set(stored.providers.filter(({ enabled }) => !enabled).map(({ name }) => name)),
      aliases,
      providersByModel: providersByModel(providers.values()),
    },
  }
}

/** Those of `from` that `kept` does not use. */
export function unusedProviders(from: Iterable<ProviderEntry>, kept: Iterable<ProviderEntry>): Provider[] {
  const used = new Set(Array.from(kept, ({ provider }) => provider))
  return Array.from(from, ({ provider }) => provider).filter((provider) => !used.has(provider))
}

/** Closing is the last thing that happens to a provider; when it fails there is nobody left whom that could concern. */
export async function closeAll(providers: readonly Provider[]): Promise<void> {
  await Promise.allSettled(providers.map((provider) => provider.close()))
}

async function providerEntryOf(
  { credentials, createProvider }: LoadSnapshotDeps,
  prices: PriceLookup,
  stored: StoredProvider,
  previous: RoutingSnapshot | undefined,
): Promise<ProviderEntry> {
  // A slash would make "provider/model" ambiguous.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(stored.name)) {
    throw new RangeError('The name of a provider has letters, digits, ".", "_" and "-" only.')
  }
  const secrets = await credentials(stored)
  const fingerprint = fingerprintOf(stored, secrets)
  const before = previous?.providers.get(stored.name)
  const models = new Map<string, ModelEntry>()
  const catalog = catalogOf(stored)
  for (const model of prices.modelsOf({ id: stored.id, catalog })) models.set(model.name, model)
  return {
    provider: before?.fingerprint === fingerprint ? before.provider : await createProvider(stored, secrets),
    name: stored.name,
    passthroughModels: stored.passthroughModels,
    models,
    findModel: createModelFinder(models, (name) => prices.findModel(catalog, name)),
    fingerprint,
  }
}

function aliasEntryOf(
  { name, managedBy, targets, settings, billingKeyId, createdS }: StoredAlias,
  { providers }: StoredRouting,
  providersById: ReadonlyMap<string, ProviderEntry>,
  region: string | undefined,
  problems: SnapshotProblem[],
): AliasEntry {
  const usable: AliasTarget[] = []
  for (const target of targets) {
    const { providerId, model, weight } = target
    const provider = providersById.get(providerId)
    const storedProvider = providers.find(({ id }) => id === providerId)
    // Switching a provider off must work at once, so its targets are passed over rather than found fault with.
    if (!provider) {
      if (!storedProvider) {
        const message = 'A target names a provider that does not exist.'
        problems.push({ path: `aliases.${name}`, message, isDeclared: managedBy !== 'admin' })
      }
      continue
    }
    if (!provider.findModel(model) && !provider.passthroughModels) {
      problems.push({
        path: `aliases.${name}`,
        message: `The provider ${provider.name} does not know the model "${model}". Declare the model, or let the provider pass on unknown ones (passthroughModels).`,
        isDeclared: managedBy !== 'admin' && storedProvider?.managedBy !== 'admin',
      })
      continue
    }
    usable.push({ provider, model, weight, priority: nearestFirst(target, region) })
  }
  return { name, targets: usable.sort((a, b) => a.priority - b.priority), settings, billingKeyId, createdS }
}

/** @returns the priority, with room between two of them for what is here, anywhere and elsewhere */
function nearestFirst(
  { priority, region }: { priority: number; region: string | null },
  here: string | undefined,
): number {
  if (here === undefined) return priority
  return 3 * priority + (region === here ? 0 : region === null ? 1 : 2)
}

/** Rules are tried one after the other, which is too slow for every call; clients choose the names, hence the bound. */
function createModelFinder(
  models: ReadonlyMap<string, ModelEntry>,
  findByRule: (name: string) => ModelEntry | undefined,
): (name: string) => ModelEntry | undefined {
  const found = new LRUCache<string, { entry: ModelEntry | undefined }>({ max: namesByRuleMax })
  return (name) => {
    const exact = models.get(name)
    if (exact || name.length > nameLengthMax) return exact
    let result = found.get(name)
    if (!result) {
      result = { entry: findByRule(name) }
      found.set(name, result)
    }
    return result.entry
  }
}

const namesByRuleMax = 1_000
const nameLengthMax = 200

function providersByModel(providers: Iterable<ProviderEntry>): Map<string, ProviderEntry[]> {
  const serving = new Map<string, ProviderEntry[]>()
  for (const provider of providers) {
    for (const name of provider.models.keys()) {
      const others = serving.get(name)
      if (others) others.push(provider)
      else serving.set(name, [provider])
    }
  }
  return serving
}

/**
 * The price list that describes a provider's models. Compatible servers have the one of their preset; what nobody
 * publishes prices for has only what the operator declared, for which the provider's own name stands.
 */
export function catalogOf({ name, type, settings }: StoredProvider): string {
  const { preset } = settings
  return catalogOfProviderType(type) ?? (typeof preset === 'string' && preset !== '' ? preset : name)
}

/** A digest, since it is kept for as long as the snapshot and must not be another copy of the secrets. */
function fingerprintOf({ id, type, baseUrl, settings }: StoredProvider, credentials: Credentials): string {
  const sorted = Object.entries(credentials).sort(([a], [b]) => (a < b ? -1 : 1))
  return hash('sha256', JSON.stringify([id, type, baseUrl, settings, sorted]), 'base64url')
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : 'It cannot be set up.')
