import type { Price } from '../pricing/price.ts'
import type { Provider } from '../providers/provider.ts'

/** What may be called and what it costs, at one moment: immutable, swapped whole; a call keeps the one it started with. */
export interface RoutingSnapshot {
  /** `config_versions.version` at the time it was built. */
  readonly version: bigint
  readonly providers: ReadonlyMap<string, ProviderEntry>
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
  /** Ordered by priority; among equals the weight decides. */
  readonly targets: readonly AliasTarget[]
}

export interface AliasTarget {
  readonly provider: ProviderEntry
  readonly model: string
  readonly weight: number
  readonly priority: number
}
