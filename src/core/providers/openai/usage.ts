import type { ServiceTier } from '../../usage/usage.ts'
import { isRecord, recordOr } from '../json.ts'
import { count, type UsageReading, usageFrom } from '../token-counts.ts'

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

  if (Number.isNaN(total)) return { implausible: raw }
  return usageFrom(
    {
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
    },
    serviceTierFrom(serviceTier),
    raw,
  )
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

/** OpenAI's names; Groq's `on_demand` and others are what everybody gets. */
function serviceTierFrom(tier: unknown): ServiceTier {
  return tier === 'flex' || tier === 'priority' || tier === 'batch' ? tier : 'default'
}
