import type { Actor } from '../keys/keys.ts'
import type { ProviderType } from '../providers/provider.ts'
import type { Refused } from '../refusal.ts'
import type { Secret } from '../secret.ts'
import type { AliasSettings, DeclaredModel, DeclaredProvider } from './declared-configuration.ts'
import { createAlias, deleteAlias, updateAlias } from './managed-aliases.store.ts'
import {
  declareModel,
  type ModelDraft,
  type StoredRateTables,
  setPrice,
  withdrawModel,
} from './managed-models.store.ts'
import { createProvider, type ManagedProvidersDeps, updateProvider } from './managed-providers.store.ts'
import type { ChangeRouting, RoutingOutcome } from './routing-change.store.ts'

/** What administrators make of routing: providers, what they are called with, models, prices and aliases. */
export interface ManagedRouting {
  /** @returns the id of the row, as all of these */
  createProvider(draft: ProviderDraft, actor: Actor): Promise<RoutingOutcome<string>>
  updateProvider(id: string, patch: ProviderPatch, actor: Actor): Promise<RoutingOutcome<string>>
  createAlias(draft: AliasDraft, actor: Actor): Promise<RoutingOutcome<string>>
  updateAlias(id: string, patch: AliasPatch, actor: Actor): Promise<RoutingOutcome<string>>
  deleteAlias(id: string, actor: Actor): Promise<RoutingOutcome<string>>
  /** Makes a model of one provider, or changes the one of this name. */
  declareModel(draft: ModelDraft, actor: Actor): Promise<RoutingOutcome<string>>
  /** The provider serves it no more, unless its catalog has it. What it cost stays known. */
  withdrawModel(id: string, actor: Actor): Promise<RoutingOutcome<string>>
  /** A price of our own from now on, before every other; undefined ends it. */
  setPrice(modelId: string, tables: StoredRateTables | undefined, actor: Actor): Promise<RoutingOutcome<string>>
}

/** Everything that a type of provider may have said of it; which of it belongs to the type is the reader's to know. */
export interface ProviderDraft {
  name: string
  type: ProviderType
  /** Undefined leaves it to the type. */
  baseUrl: string | undefined
  enabled: boolean
  passthroughModels: boolean
  timeouts: Partial<DeclaredProvider['timeouts']>
  settings: Readonly<Record<string, unknown>>
  credentials: Readonly<Record<string, Secret>>
}

/** What is undefined stays. */
export interface ProviderPatch {
  baseUrl?: string | undefined
  enabled?: boolean | undefined
  passthroughModels?: boolean | undefined
  timeouts?: Partial<DeclaredProvider['timeouts']> | undefined
  /** All of them anew. */
  settings?: Readonly<Record<string, unknown>> | undefined
  /** By field; null takes one away. */
  credentials: Readonly<Record<string, Secret | null>>
}

/** Reads a draft as the configuration file is read; `models` are what it serves that no catalog has. */
export type ReadProvider = (draft: ProviderDraft) =>
  | {
      ok: true
      provider: Pick<DeclaredProvider, 'type' | 'baseUrl' | 'settings' | 'credentials' | 'timeouts'>
      models: readonly OwnModel[]
    }
  | Refused

/** What a provider serves that no catalog has. */
export type OwnModel = Omit<DeclaredModel, 'provider'>

export interface AliasDraft {
  name: string
  description: string | undefined
  targets: readonly ManagedTarget[]
  settings: AliasSettings
  billingKeyId: string | undefined
}

export interface ManagedTarget {
  providerId: string
  model: string
  weight: number
  priority: number
  region: string | undefined
}

/** What is undefined stays; null is none. */
export interface AliasPatch {
  description?: string | null | undefined
  enabled?: boolean | undefined
  targets?: readonly ManagedTarget[] | undefined
  settings?: AliasSettings | undefined
  billingKeyId?: string | null | undefined
}

/** @returns what is wrong with an alias, as the configuration file would be told; undefined when nothing is */
export type CheckAlias = (
  alias: Pick<AliasDraft, 'name' | 'description' | 'targets' | 'settings'>,
) => Refused | undefined

export interface ManagedRoutingDeps extends ManagedProvidersDeps {
  change: ChangeRouting
  checkAlias: CheckAlias
}

export function createManagedRouting({ change, checkAlias, ...deps }: ManagedRoutingDeps): ManagedRouting {
  return {
    createProvider: (draft, actor) => change(actor, (open) => createProvider(open, deps, draft)),
    updateProvider: (id, patch, actor) => change(actor, (open) => updateProvider(open, deps, id, patch)),
    createAlias: (draft, actor) => change(actor, (open) => createAlias(open, checkAlias, draft)),
    updateAlias: (id, patch, actor) => change(actor, (open) => updateAlias(open, checkAlias, id, patch)),
    deleteAlias: (id, actor) => change(actor, (open) => deleteAlias(open, id)),
    declareModel: (draft, actor) => change(actor, (open) => declareModel(open, draft)),
    withdrawModel: (id, actor) => change(actor, (open) => withdrawModel(open, id)),
    setPrice: (modelId, tables, actor) => change(actor, (open) => setPrice(open, modelId, tables)),
  }
}
