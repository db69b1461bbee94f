import { findProvider, type ModelInfo } from '@pydantic/genai-prices'
import { capabilitiesOf } from './capabilities.ts'
import { type GenaiProvider, genaiProviders } from './catalog-id.ts'
import type { CatalogModel, CatalogReading, DatedPrice, Omission } from './catalog-model.ts'
import { datedPricesOf } from './genai-rates.ts'
import { createNameResolver, exactNamesOf, matchesName, type NameResolver, type NameRule } from './model-name-rules.ts'

/**
 * The prices bundled with @pydantic/genai-prices, in our words, completed by `capabilities.ts`. Each exact name of a
 * model becomes a model of its own; the names it gives only as patterns are in `bundledNameResolver`.
 *
 * Models that speak or listen, but of which only text rates are known, come without a price: with one, their audio
 * tokens, eight to sixteen times as dear, would be charged as text, and silently.
 */
export function readBundledPrices(nowMs: number): CatalogReading {
  const models = new Map<string, CatalogModel>()
  const skipped: Omission[] = []
  const notes: Omission[] = []
  for (const { provider, info } of bundledModels()) {
    const key = `${provider.id}/${info.id}`
    const noted = new Set<string>()
    const note = (reason: string): void => {
      if (noted.has(reason)) return
      noted.add(reason)
      notes.push({ key, reason })
    }
    let prices = datedPricesOf(info.prices, nowMs, note)
    if (prices.length === 0) note('no price that we can apply: its cost is unknown')
    if (isAudioPricedAsText(info.id, prices)) {
      prices = []
      note('audio model of which only text rates are known: its cost is unknown')
    }
    for (const name of namesOf(info)) {
      const id = `${provider.catalog}/${name}`
      if (models.has(id)) skipped.push({ key: `${key} as ${name}`, reason: 'an earlier model has the same name' })
      else models.set(id, modelOf(provider.catalog, name, info, prices))
    }
  }
  addFallbackModels(models)
  return { models: [...models.values()], skipped, notes }
}

/** Names the bundled data knows by pattern: `claude-opus-4-5@20251101`, `ft:gpt-4o-2024-…`, deployments by region. */
export function bundledNameResolver(): NameResolver {
  const rules: NameRule[] = []
  for (const { provider, info } of bundledModels()) {
    rules.push({ catalog: provider.catalog, name: namesOf(info)[0] as string, match: info.match })
  }
  for (const [catalog, fallback] of fallbackCatalogs()) {
    rules.push(...rules.filter((rule) => rule.catalog === fallback).map((rule) => ({ ...rule, catalog })))
  }
  return createNameResolver(rules)
}

function* bundledModels(): Generator<{ provider: GenaiProvider; info: ModelInfo }, void> {
  for (const provider of genaiProviders) {
    for (const info of findProvider({ providerId: provider.id })?.models ?? []) {
      if (!provider.only || info.id.startsWith(provider.only)) yield { provider, info }
    }
  }
}

/** Its id first, where that is a name at all: AWS's ids that begin with `regional.` stand for several. */
function namesOf({ id, match }: ModelInfo): [string, ...string[]] {
  const regional = /^regional\.(.+)$/.exec(id)?.[1]
  const first = regional ? ([regional, `us.${regional}`].find((name) => matchesName(match, name)) ?? id) : id
  return [first, ...exactNamesOf(match).filter((name) => name !== first)]
}

function modelOf(catalog: string, name: string, info: ModelInfo, prices: readonly DatedPrice[]): CatalogModel {
  const known = capabilitiesOf(name) ?? capabilitiesOf(info.id)
  const mode = modeOf(name, prices)
  return {
    catalog,
    name,
    displayName: info.name,
    mode,
    contextWindowTokens: info.context_window ?? known?.contextWindowTokens,
    maxOutputTokens: known?.maxOutputTokens,
    inputModalities: known?.inputModalities ?? [mode === 'audio_transcription' ? 'audio' : 'text'],
    outputModalities: known?.outputModalities ?? [outputModalityByMode[mode] ?? 'text'],
    features: known?.features ?? {},
    deprecationDate: undefined,
    prices,
  }
}

const outputModalityByMode: Readonly<Record<string, string>> = {
  audio_speech: 'audio',
  embedding: 'embedding',
  image_generation: 'image',
}

/** The library does not say what a model is for. Names do, and what it is priced by. */
function modeOf(name: string, prices: readonly DatedPrice[]): string {
  if (/embed|^voyage-|^text-similarity/i.test(name)) return 'embedding'
  if (/moderation/i.test(name)) return 'moderation'
  if (/rerank/i.test(name)) return 'rerank'
  if (/(^|[-/])tts([-.]|$)/i.test(name)) return 'audio_speech'
  if (/realtime|-live-|native-audio|grok-voice|nova-(2-)?sonic/i.test(name)) return 'realtime'
  if (/transcribe|whisper/i.test(name)) return 'audio_transcription'
  if (/(^|\/)gpt-image-/i.test(name)) return 'image_generation'
  const kinds = new Set(prices.flatMap(({ tables }) => tables.flatMap(({ rates }) => Object.keys(rates))))
  if (kinds.has('input_audio_ms') && !kinds.has('output')) return 'audio_transcription'
  return kinds.has('input_page') && !kinds.has('output') ? 'ocr' : 'chat'
}

function isAudioPricedAsText(id: string, prices: readonly DatedPrice[]): boolean {
  if (!/audio|voxtral|realtime|sonic|whisper|transcribe/i.test(id)) return false
  return prices.some(({ tables }) => {
    const kinds = new Set(tables.flatMap(({ rates }) => Object.keys(rates)))
    const hearsOrSpeaks = ['input_audio', 'output_audio', 'input_audio_ms', 'output_audio_ms'].some((kind) =>
      kinds.has(kind),
    )
    return !hearsOrSpeaks && kinds.has('input')
  })
}

/**
 * Whose price list counts for what a cloud's own does not hold: Azure sells OpenAI's models at OpenAI's global prices,
 * Vertex AI sells Anthropic's at Anthropic's. Further makers that the library refers to are left out: their prices on
 * a cloud are often not their own.
 */
function fallbackCatalogs(): [catalog: string, fallback: string][] {
  return genaiProviders.flatMap(({ id, catalog, only }) => {
    const first = findProvider({ providerId: id })?.fallback_model_providers?.[0]
    const fallback = genaiProviders.find((other) => other.id === first)
    return fallback && only === undefined ? [[catalog, fallback.catalog]] : []
  })
}

function addFallbackModels(models: Map<string, CatalogModel>): void {
  for (const [catalog, fallback] of fallbackCatalogs()) {
    for (const model of [...models.values()]) {
      const id = `${catalog}/${model.name}`
      if (model.catalog === fallback && !models.has(id)) models.set(id, { ...model, catalog })
    }
  }
}
