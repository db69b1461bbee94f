import type { ServiceTier, UnitKind, Units, Usage } from '../usage/usage.ts'

export type UsageReading = { usage: Usage } | { implausible: unknown }

/** Sums, with their parts inside them; NaN stands for a count that is none. */
export interface TokenCounts {
  /** All prompt tokens, those read from a cache or written into one included. */
  input: number
  cached?: number
  written?: number
  /** The part of `written` that is kept for an hour, which has its own price. */
  writtenForAnHour?: number
  inputAudio?: number
  inputImage?: number
  inputVideo?: number
  /** All completion tokens, reasoning included. */
  output: number
  reasoning?: number
  outputAudio?: number
  outputImage?: number
  searches?: number
}

/**
 * Counts as disjoint billable units.
 *
 * @param raw - what the provider sent, to be kept when the counts make no sense
 * @returns `implausible` when a count is not a non-negative safe integer, or a part exceeds its sum
 */
export function usageFrom(counts: TokenCounts, serviceTier: ServiceTier, raw: unknown): UsageReading {
  const units = disjointUnits(counts)
  const { input, output } = counts
  if (!units || !Number.isSafeInteger(input + output)) return { implausible: raw }
  return { usage: { units, inputTokens: input, outputTokens: output, totalTokens: input + output, serviceTier } }
}

/** @returns undefined when a part exceeds its sum or anything is NaN */
function disjointUnits({
  input,
  cached = 0,
  written = 0,
  writtenForAnHour = 0,
  inputAudio = 0,
  inputImage: pictures = 0,
  inputVideo: film = 0,
  output,
  reasoning = 0,
  outputAudio = 0,
  outputImage = 0,
  searches = 0,
}: TokenCounts): Units | undefined {
  // Cached tokens hold the cached part of the audio: what exceeds the sum can only have been counted twice.
  const cachedAudio = Math.min(cached, inputAudio, Math.max(0, cached + written + inputAudio - input))
  const named = cached + written + inputAudio - cachedAudio
  // Pictures are in the cached part, too, and nobody says how many; the cached part is the one with its own price.
  const unnamed = input - named
  const inputImage = Math.min(pictures, Math.max(0, unnamed))
  const inputVideo = Math.min(film, Math.max(0, unnamed - inputImage))
  const rest = unnamed - inputImage - inputVideo
  const outputRest = output - reasoning - outputAudio - outputImage
  const writtenBriefly = written - writtenForAnHour
  const whole = pictures <= input && film <= input && searches >= 0
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
  set('output_image', outputImage)
  set('search', searches)
  return units
}

/** @returns 0 when absent, NaN when it is no count */
export function count(value: unknown): number {
  if (value === undefined || value === null) return 0
  return typeof value === 'number' && value >= 0 && Number.isSafeInteger(value) ? value : Number.NaN
}
