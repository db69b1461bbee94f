import type { Operation } from '../inference/call.ts'
import type { AllowedModels } from '../keys/allowed-models.ts'
import type { AliasEntry, ModelEntry, ProviderEntry, RoutingSnapshot } from './snapshot.ts'

/** What a model name stands for, whoever asks. */
export type ResolvedModel =
  | { kind: 'alias'; alias: AliasEntry }
  | { kind: 'target'; provider: ProviderEntry; model: string; isBare: boolean }
  | { kind: 'ambiguous'; model: string; providers: readonly ProviderEntry[] }
  | { kind: 'disabled'; providerName: string }
  | { kind: 'unknown' }

/**
 * Reads a model name: an alias, else `provider/model`, else a bare name that exactly one provider serves (by that very
 * name, else by a rule of its catalog), else a name that the only provider with `passthroughModels` is to be asked for.
 *
 * A name that begins with the name of a provider and a slash is for that provider alone. Otherwise a call for
 * `openai/gpt-oss-120b` could end up at whoever else has a model of that very name.
 */
export function resolveModel(snapshot: RoutingSnapshot, name: string): ResolvedModel {
  const alias = snapshot.aliases.get(name)
  if (alias) return { kind: 'alias', alias }
  const slash = name.indexOf('/')
  if (slash > 0) {
    const providerName = name.slice(0, slash)
    const provider = snapshot.providers.get(providerName)
    if (provider) {
      const model = name.slice(slash + 1)
      return serves(provider, model) ? { kind: 'target', provider, model, isBare: false } : { kind: 'unknown' }
    }
    if (snapshot.disabledProviders.has(providerName)) return { kind: 'disabled', providerName }
  }
  const serving = snapshot.providersByModel.get(name)
  if (serving) return atOnlyOne(name, serving)
  if (name === '') return { kind: 'unknown' }
  const byRule = providersThat(snapshot, (provider) => provider.findModel(name) !== undefined)
  return atOnlyOne(name, byRule.length > 0 ? byRule : providersThat(snapshot, (provider) => provider.passthroughModels))
}

export interface Target {
  readonly provider: ProviderEntry
  readonly model: string
}

/** As `allowed-models.ts` defines it for a target that was not reached through an alias whose name is allowed. */
export function mayReach(allowed: AllowedModels | undefined, { provider, model }: Target, isBare: boolean): boolean {
  if (allowed === undefined) return true
  return (isBare && allowed.allowsBareName(model)) || allowed.allowsName(`${provider.name}/${model}`)
}

/** What a key may use of an alias: all of it when the alias is allowed by name, else what is allowed target by target. */
export function targetsAllowed<T extends Target>(
  allowed: AllowedModels | undefined,
  { name, targets }: { name: string; targets: readonly T[] },
): readonly T[] {
  if (allowed === undefined || allowed.allowsName(name)) return targets
  return targets.filter((target) => mayReach(allowed, target, false))
}

/**
 * Whether a model can be asked for this at all. Only what the catalog is sure about refuses a call: many catalogs list
 * embedding models without saying so.
 */
export function canServe(entry: ModelEntry | undefined, operation: Operation): boolean {
  if (entry === undefined) return true
  return !otherModes.has(entry.mode) && !(operation === 'chat' && entry.mode === 'embedding')
}

/** Modes of the catalogs (litellm's vocabulary, read 2026-11-23) that neither chat completions nor embeddings serve. */
const otherModes: ReadonlySet<string> = new Set([
  'audio_speech',
  'audio_transcription',
  'image_edit',
  'image_generation',
  'moderation',
  'ocr',
  'realtime',
  'rerank',
  'search',
  'vector_store',
  'video_generation',
])

function serves(provider: ProviderEntry, model: string): boolean {
  return model !== '' && (provider.passthroughModels || provider.findModel(model) !== undefined)
}

function atOnlyOne(model: string, providers: readonly ProviderEntry[]): ResolvedModel {
  const [provider, another] = providers
  if (!provider) return { kind: 'unknown' }
  return another ? { kind: 'ambiguous', model, providers } : { kind: 'target', provider, model, isBare: true }
}

function providersThat(snapshot: RoutingSnapshot, matches: (provider: ProviderEntry) => boolean): ProviderEntry[] {
  const found: ProviderEntry[] = []
  for (const provider of snapshot.providers.values()) if (matches(provider)) found.push(provider)
  return found
}
