import type { ServiceTier, UnitKind, Units, Usage } from '../../usage/usage.ts'

export type UsageReading = { usage: Usage } | { implausible: unknown }

/**
 * Takes the usage object of OpenAI, or of a peer that speaks its protocol, apart into disjoint units.
 *
 * Peers differ in what their sums hold, so where the sums decide, the sums are asked: xAI leaves reasoning out of
 * `completion_tokens`, some proxies leave cached tokens out of `prompt_tokens`, and both show in `total_tokens`.
 *
 * @param serviceTier - the answer's `service_tier`
 * @returns undefined when nothing was reported: no object, or one whose counts are all absent or zero;
 *   `implausible` with the object itself when a count is not a non-negative safe integer, or a part exceeds its sum
 */
export function readOpenAiUsage(raw: unknown, serviceTier?: unknown): UsageReading | undefined {
  if (!isRecord(raw)) return undefined
  const inputDetails = recordOr(raw.prompt_tokens_details ?? raw.input_tokens_details)
  const outputDetails = recordOr(raw.completion_tokens_details ?? raw.output_tokens_details)
  const total = count(raw.total_tokens)

  const cached = count(
    inputDetails.cached_tokens ?? raw.prompt_cache_hit_tokens ?? raw.cached_tokens ?? raw.cache_read_input_tokens,
  )
  const written = count(
    inputDetails.cache_write_tokens ??
      inputDetails.cache_creation_input_tokens ??
      inputDetails.cache_creation_tokens ??
      raw.cache_creation_input_tokens,
  )
  let output = count(raw.completion_tokens ?? raw.output_tokens)
  let input = count(raw.prompt_tokens ?? raw.input_tokens ?? Math.max(0, total - output))
  let reasoning = count(outputDetails.reasoning_tokens ?? raw.reasoning_tokens)

  const unaccounted = total - input - output
  const cacheIsOutside = unaccounted === cached + written && unaccounted !== reasoning
  if (cached + written > 0 && (cacheIsOutside || isAnthropicForm(raw))) {
    input += cached + written
  } else if (unaccounted > 0) {
    // xAI's reasoning, or thinking that Google's OpenAI-compatible endpoint names nowhere but in the total.
    output += unaccounted
    if (reasoning === 0 && hasOutputCount(raw)) reasoning = unaccounted
  } else if (reasoning > output && outputDetails.reasoning_tokens === undefined) {
    // Perplexity counts reasoning beside the completion, and leaves it out of the total, too.
    output += reasoning
  }
  if (total + input + output === 0) return undefined

  const units = disjointUnits({
    input,
    cached,
    written,
    writtenForAnHour: count(recordOr(raw.cache_creation ?? inputDetails.cache_creation).ephemeral_1h_input_tokens),
    inputAudio: count(inputDetails.audio_tokens),
    inputImage: count(inputDetails.image_tokens),
    inputVideo: count(inputDetails.video_tokens),
    output,
    reasoning,
    outputAudio: count(outputDetails.audio_tokens),
    outputImage: count(outputDetails.image_tokens),
    searches: count(raw.num_search_queries),
  })
  if (!units || !Number.isSafeInteger(input + output) || Number.isNaN(total)) return { implausible: raw }
  return {
    usage: {
      units,
      inputTokens: input,
      outputTokens: output,
      totalTokens: input + output,
      serviceTier: serviceTierFrom(serviceTier),
    },
  }
}

/** Sums and their parts as reported; NaN stands for a count that is none. */
interface Counts {
  input: number
  cached: number
  written: number
  writtenForAnHour: number
  inputAudio: number
  inputImage: number
  inputVideo: number
  output: number
  reasoning: number
  outputAudio: number
  outputImage: number
  searches: number
}

/** @returns undefined when a part exceeds its sum or anything is NaN */
function disjointUnits(counts: Counts): Units | undefined {
  const { input, cached, written, writtenForAnHour, inputAudio, output, reasoning, outputAudio, searches } = counts
  // Cached tokens hold the cached part of the audio: what exceeds the sum can only have been counted twice.
  const cachedAudio = Math.min(cached, inputAudio, Math.max(0, cached + written + inputAudio - input))
  const named = cached + written + inputAudio - cachedAudio
  // Pictures are in the cached part, too, and nobody says how many; the cached part is the one with its own price.
  const unnamed = input - named
  const inputImage = Math.min(counts.inputImage, Math.max(0, unnamed))
  const inputVideo = Math.min(counts.inputVideo, Math.max(0, unnamed - inputImage))
  const rest = unnamed - inputImage - inputVideo
  const outputRest = output - reasoning - outputAudio - counts.outputImage
  const writtenBriefly = written - writtenForAnHour
  const whole = counts.inputImage <= input && counts.inputVideo <= input && searches >= 0
  if (!(rest >= 0 && outputRest >= 0 && writtenBriefly >= 0 && whole)) return undefined

  const units: Units = {}
  const set = (kind: UnitKind, amount: number): void => {
    if (amount > 0) units[kind] = amount
  }
  set('input', rest)
  set('cache_read', cached - cachedAudio)
  set('cache_write_5m', writtenBriefly)
  set('cache_write_1h', writtenForAnHour)
  set('input_audio', inputAudio - cachedAudio)
  set('cache_read_audio', cachedAudio)
  set('input_image', inputImage)
  set('input_video', inputVideo)
  set('output', outputRest)
  set('reasoning', reasoning)
  set('output_audio', outputAudio)
  set('output_image', counts.outputImage)
  set('search', searches)
  return units
}

/** Anthropic's own members, whose `input_tokens` hold neither what was read from the cache nor what was written. */
function isAnthropicForm(raw: Record<string, unknown>): boolean {
  return (
    raw.prompt_tokens === undefined &&
    raw.input_tokens_details === undefined &&
    (raw.cache_read_input_tokens !== undefined || raw.cache_creation_input_tokens !== undefined)
  )
}

const hasOutputCount = (raw: Record<string, unknown>): boolean => (raw.completion_tokens ?? raw.output_tokens) != null

/** @returns 0 when absent, NaN when it is no count */
function count(value: unknown): number {
  if (value === undefined || value === null) return 0
  return typeof value === 'number' && value >= 0 && Number.isSafeInteger(value) ? value : Number.NaN
}

/** OpenAI's names; Groq's `on_demand` and others are what everybody gets. */
function serviceTierFrom(tier: unknown): ServiceTier {
  return tier === 'flex' || tier === 'priority' || tier === 'batch' ? tier : 'default'
}

const nothing: Readonly<Record<string, unknown>> = {}

const recordOr = (value: unknown): Readonly<Record<string, unknown>> => (isRecord(value) ? value : nothing)

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
