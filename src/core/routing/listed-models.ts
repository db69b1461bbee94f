import { type AllowedModels, allowedModelsOf } from '../keys/allowed-models.ts'
import type { Caller } from '../keys/caller.ts'
import { canServe, mayReach, resolveModel, targetsAllowed } from './resolve-model.ts'
import type { AliasEntry, ModelEntry, ProviderEntry, RoutingSnapshot } from './snapshot.ts'

/** OpenAI's model object (API reference of GET /v1/models, read 2026-11-23). */
export interface ListedModel {
  id: string
  object: 'model'
  /** Seconds since the epoch. */
  created: number
  owned_by: string
}

/** Owner of the aliases: the gateway itself. */
const aliasOwner = 'llmgw'

/**
 * Every name that a call with this key could use: its aliases first, then each model as `provider/model`, and as a bare
 * name where that is unambiguous. Names that a provider would merely pass on are not known and not listed.
 */
export function listModels(snapshot: RoutingSnapshot, caller: Caller): ListedModel[] {
  const listed: ListedModel[] = []
  for (const name of usableNames(snapshot, allowedModelsOf(caller))) {
    const model = getModel(snapshot, caller, name)
    if (model) listed.push(model)
  }
  return listed
}

/** @returns undefined when there is no such model for this key; the two reasons are not told apart */
export function getModel(snapshot: RoutingSnapshot, caller: Caller, name: string): ListedModel | undefined {
  const found = findUsable(snapshot, caller, name)
  if (!found) return undefined
  const [created, owned_by] =
    found.kind === 'alias' ? [found.alias.createdS, aliasOwner] : [found.entry.createdS, found.provider.name]
  return { id: name, object: 'model', created, owned_by }
}

/** What a name stands for. */
export type UsableModel =
  | { kind: 'alias'; alias: AliasEntry }
  | { kind: 'model'; provider: ProviderEntry; entry: ModelEntry }

/** @returns undefined when there is no such model for this key */
export function findUsable(snapshot: RoutingSnapshot, caller: Caller, name: string): UsableModel | undefined {
  const resolved = resolveModel(snapshot, name)
  const allowed = allowedModelsOf(caller)
  if (resolved.kind === 'alias') {
    return mayUse(allowed, resolved.alias) ? { kind: 'alias', alias: resolved.alias } : undefined
  }
  if (resolved.kind !== 'target') return undefined
  const entry = resolved.provider.findModel(resolved.model)
  if (!entry || !isServed(entry) || !mayReach(allowed, resolved, resolved.isBare)) return undefined
  return { kind: 'model', provider: resolved.provider, entry }
}

/**
 * The names alone.
 *
 * @param allowed - undefined for what any key could use
 */
export function* usableNames(snapshot: RoutingSnapshot, allowed: AllowedModels | undefined): Generator<string, void> {
  for (const alias of snapshot.aliases.values()) if (mayUse(allowed, alias)) yield alias.name
  for (const provider of snapshot.providers.values()) {
    for (const entry of provider.models.values()) {
      const target = { provider, model: entry.name }
      const name = `${provider.name}/${entry.name}`
      // An alias of the same name has been listed already.
      if (isServed(entry) && mayReach(allowed, target, false) && !snapshot.aliases.has(name)) yield name
    }
  }
  for (const [model, [provider, another]] of snapshot.providersByModel) {
    const entry = provider?.models.get(model)
    if (!provider || another || !entry || !isServed(entry) || !mayReach(allowed, { provider, model }, true)) continue
    // The name may stand for something else: an alias, or a model of the provider that its first part names.
    const resolved = resolveModel(snapshot, model)
    if (resolved.kind === 'target' && resolved.isBare) yield model
  }
}

const isServed = (entry: ModelEntry | undefined): boolean => canServe(entry, 'chat') || canServe(entry, 'embeddings')

const mayUse = (allowed: AllowedModels | undefined, alias: AliasEntry): boolean =>
  targetsAllowed(allowed, alias).some(({ provider, model }) => isServed(provider.findModel(model)))
