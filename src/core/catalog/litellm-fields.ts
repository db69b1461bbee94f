import type { UnitKind } from '../usage/usage.ts'

/** What a price field of LiteLLM's catalog prices. */
export interface PriceField {
  kind: UnitKind
  /** How many decimal places turn dollars for the field's unit into nano-dollars for a million of ours. */
  scale: number
  serviceTier: 'default' | 'flex' | 'priority' | 'batch'
  aboveInputTokens: number
  /** Where two fields price the same, the one of the lower rank counts; among equals, the dearer. */
  rank: number
}

const forEachUnit = 9 + 6
/** We count milliseconds. */
const forEachSecond = forEachUnit - 3

type BaseField = { kind: UnitKind; scale: number; rank?: number }

const baseFields: Readonly<Record<string, BaseField>> = {
  input_cost_per_token: { kind: 'input', scale: forEachUnit },
  output_cost_per_token: { kind: 'output', scale: forEachUnit },
  cache_read_input_token_cost: { kind: 'cache_read', scale: forEachUnit },
  input_cost_per_token_cache_hit: { kind: 'cache_read', scale: forEachUnit, rank: 1 },
  cache_creation_input_token_cost: { kind: 'cache_write_5m', scale: forEachUnit },
  // "Above 1hr" is how long the entry lives, no size.
  cache_creation_input_token_cost_above_1hr: { kind: 'cache_write_1h', scale: forEachUnit },
  cache_creation_input_audio_token_cost: { kind: 'cache_write_audio', scale: forEachUnit },
  cache_read_input_audio_token_cost: { kind: 'cache_read_audio', scale: forEachUnit },
  input_cost_per_audio_token: { kind: 'input_audio', scale: forEachUnit },
  output_cost_per_audio_token: { kind: 'output_audio', scale: forEachUnit },
  input_cost_per_image_token: { kind: 'input_image', scale: forEachUnit },
  output_cost_per_image_token: { kind: 'output_image', scale: forEachUnit },
  input_cost_per_video_token: { kind: 'input_video', scale: forEachUnit },
  output_cost_per_video_token: { kind: 'output_video', scale: forEachUnit },
  output_cost_per_reasoning_token: { kind: 'reasoning', scale: forEachUnit },
  input_cost_per_image: { kind: 'input_image_item', scale: forEachUnit },
  output_cost_per_image: { kind: 'output_image_item', scale: forEachUnit },
  input_cost_per_audio_per_second: { kind: 'input_audio_ms', scale: forEachSecond },
  input_cost_per_video_per_second: { kind: 'input_video_ms', scale: forEachSecond },
  output_cost_per_video_per_second: { kind: 'output_video_ms', scale: forEachSecond },
  input_cost_per_character: { kind: 'input_character', scale: forEachUnit },
  output_cost_per_character: { kind: 'output_character', scale: forEachUnit },
  ocr_cost_per_page: { kind: 'input_page', scale: forEachUnit },
  input_cost_per_request: { kind: 'request', scale: forEachUnit },
  // A rerank or a search is one query, and one request.
  input_cost_per_query: { kind: 'request', scale: forEachUnit, rank: 1 },
}

/** Fields whose meaning depends on what the model does. */
const fieldsByMode: Readonly<Record<string, Readonly<Record<string, BaseField>>>> = {
  audio_transcription: {
    input_cost_per_second: { kind: 'input_audio_ms', scale: forEachSecond },
    // A transcript has no seconds of its own: some entries give the charge here, some in both fields.
    output_cost_per_second: { kind: 'input_audio_ms', scale: forEachSecond },
  },
  audio_speech: { output_cost_per_second: { kind: 'output_audio_ms', scale: forEachSecond } },
  video_generation: {
    input_cost_per_second: { kind: 'input_video_ms', scale: forEachSecond },
    output_cost_per_second: { kind: 'output_video_ms', scale: forEachSecond },
  },
  image_generation: {
    // Only DALL·E and a few old ones: there is no image in their prompts, it is the one made that is meant.
    input_cost_per_image: { kind: 'output_image_item', scale: forEachUnit, rank: 1 },
  },
}

const anyModeFields: Readonly<Record<string, BaseField>> = {
  input_cost_per_second: { kind: 'runtime_ms', scale: forEachSecond },
  output_cost_per_second: { kind: 'runtime_ms', scale: forEachSecond, rank: 1 },
}

const serviceTierBySuffix = { flex: 'flex', priority: 'priority', batches: 'batch' } as const

/** `input_cost_per_token_above_272k_tokens_priority`: the unit, then the size, then the service tier. */
const fieldPattern = /^(.+?)(?:_above_(\d{1,7})k_tokens)?(?:_(flex|priority|batches))?$/

/**
 * What a field prices, for a model of a mode.
 *
 * @param pricesImagesMade - whether the model has another price for images it makes, so that an input image is one indeed
 * @returns undefined for fields that price nothing we count
 */
export function priceFieldOf(field: string, mode: string, pricesImagesMade: boolean): PriceField | undefined {
  const [, base = '', sizeK, suffix] = fieldPattern.exec(field) ?? []
  const byMode = mode === 'image_generation' && pricesImagesMade ? undefined : fieldsByMode[mode]
  const found = own(byMode, base) ?? own(baseFields, base) ?? own(anyModeFields, base)
  if (!found) return undefined
  return {
    kind: found.kind,
    scale: found.scale,
    serviceTier: suffix ? serviceTierBySuffix[suffix as keyof typeof serviceTierBySuffix] : 'default',
    aboveInputTokens: sizeK ? Number(sizeK) * 1000 : 0,
    rank: found.rank ?? 0,
  }
}

/** Feeds choose the names, so inherited properties must not answer. */
function own<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record && Object.hasOwn(record, name) ? record[name] : undefined
}

/** Charges that no kind of usage stands for, and why; reports show the sentence. */
export const unpricedFields: readonly { pattern: RegExp; reason: string }[] = [
  { pattern: /_dbu_cost_/, reason: 'Databricks units are not US dollars' },
  { pattern: /_per_pixel$/, reason: 'images are not counted in pixels' },
  {
    pattern: /^regional_processing_uplift_multiplier_/,
    reason: 'the surcharge for regional processing is not applied',
  },
  { pattern: /_interval$/, reason: 'prices by the length of a video are not applied; the base price is' },
  { pattern: /_1080p$/, reason: 'prices by the resolution of a video are not applied; the base price is' },
  { pattern: /^annotation_cost_per_page$/, reason: 'annotated pages are priced as plain pages' },
  { pattern: /^ocr_cost_per_credit$/, reason: 'credits of document readers are not counted' },
  { pattern: /^code_interpreter_cost_per_session$/, reason: 'code interpreter sessions are not counted' },
  { pattern: /^citation_cost_per_token$/, reason: 'citation tokens are not counted apart' },
]

/** Everything else that costs something belongs in the report, too: it may be a field that is new. */
export const mentionsCost = (field: string): boolean => /cost|price|multiplier/.test(field)

/** Feature flags by the names we use; flags that are not here lose their `supports_`. */
export const featureNames: Readonly<Record<string, string>> = {
  supports_function_calling: 'tools',
  supports_parallel_function_calling: 'parallel_tools',
  supports_response_schema: 'json_schema',
}

/** Lists and numbers that are kept beside the flags. */
export const keptFields: Readonly<Record<string, string>> = {
  supported_endpoints: 'endpoints',
  supported_regions: 'regions',
  prompt_cache_min_tokens: 'prompt_cache_min_tokens',
  output_vector_size: 'output_vector_size',
}
