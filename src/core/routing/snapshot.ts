import type { Price } from '../pricing/price.ts'
import type { Provider } from '../providers/provider.ts'
import type { AliasSettings } from './declared-configuration.ts'

/** What may be called and what it costs, at one moment: immutable, swapped whole; a call keeps the one it started with. */
export interface RoutingSnapshot {
  /** `config_versions.version` at the time it was built. */
  readonly version: bigint
  /** When a price changes although the configuration does not: milliseconds since the epoch, database time. */
  readonly validUntilMs: number | undefined
  /** Enabled ones, by name. */
  readonly providers: ReadonlyMap<string, ProviderEntry>
  /** Names of providers that are switched off: a call that names one must not end up at another. */
  readonly disabledProviders: ReadonlySet<string>
  readonly aliases: ReadonlyMap<string, AliasEntry>
  /** Bare model names to the enabled providers that serve them. */
  readonly providersByModel: ReadonlyMap<string, readonly ProviderEntry[]>
}

export interface ProviderEntry {
  readonly provider: Provider
  readonly name: string
  /** Passes on model names that the catalog does not know. */
  readonly passthroughModels: boolean
  readonly models: ReadonlyMap<string, ModelEntry>
  /** A model by its name, or by another name that the catalog's rules know for it, such as that of a dated version. */
  findModel(name: string): ModelEntry | undefined
  /** Changes with everything that `provider` was made from; a reload with the same one keeps its connections. */
  readonly fingerprint: string
}

export interface ModelEntry {
  readonly name: string
  readonly mode: string
  readonly contextWindowTokens: number | undefined
  readonly maxOutputTokens: number | undefined
  /** Unknown, not free, when undefined. */
  readonly price: Price | undefined
  readonly createdS: number
}

export interface AliasEntry {
  readonly name: string
  /** Of enabled providers, ordered by priority; among equals the weight decides. May be empty. */
  readonly targets: readonly AliasTarget[]
  readonly settings: AliasSettings
  /** The key that pays for its calls; null is whoever makes them. */
  readonly billingKeyId: string | null
  readonly createdS: number
}

export interface AliasTarget {
  readonly provider: ProviderEntry
  readonly model: string
  readonly weight: number
  /** Lower first: the operator's, and within one of these how near the target's region is. */
  readonly priority: number
}
