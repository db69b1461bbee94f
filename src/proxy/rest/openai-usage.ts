import type { ExtraMembers } from '../../core/chat/event.ts'
import type { Usage } from '../../core/usage/usage.ts'

/** `usage` of an OpenAI answer. Details that are unknown are left out: they are not zero. */
export interface OpenAiUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number; cache_write_tokens?: number; audio_tokens?: number }
  completion_tokens_details?: { reasoning_tokens?: number; audio_tokens?: number }
}

/**
 * What a client is shown.
 *
 * @param reported - the provider's own object, where it has OpenAI's form. It goes on as it is, with what it lacks
 *   filled in: a client of xAI expects xAI's sums, which leave reasoning out, and one of OpenRouter its `cost`
 */
export function toOpenAiUsage(usage: Usage, reported?: ExtraMembers): OpenAiUsage {
  const ours = fromUnits(usage)
  if (!reported) return ours
  const shown: OpenAiUsage = { ...ours, ...reported }
  for (const name of ['prompt_tokens', 'completion_tokens', 'total_tokens'] as const)
    shown[name] = shown[name] || ours[name]
  shown.prompt_tokens_details = { ...ours.prompt_tokens_details, ...shown.prompt_tokens_details }
  if (ours.completion_tokens_details) {
    shown.completion_tokens_details = { ...ours.completion_tokens_details, ...shown.completion_tokens_details }
  }
  return shown
}

function fromUnits({ units, inputTokens, outputTokens, totalTokens }: Usage): OpenAiUsage {
  const written = (units.cache_write_5m ?? 0) + (units.cache_write_1h ?? 0) + (units.cache_write_audio ?? 0)
  const inputAudio = (units.input_audio ?? 0) + (units.cache_read_audio ?? 0) + (units.cache_write_audio ?? 0)
  const { reasoning, output_audio: outputAudio } = units
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: totalTokens,
    prompt_tokens_details: {
      cached_tokens: (units.cache_read ?? 0) + (units.cache_read_audio ?? 0),
      ...(written > 0 && { cache_write_tokens: written }),
      ...(inputAudio > 0 && { audio_tokens: inputAudio }),
    },
    ...((reasoning !== undefined || outputAudio !== undefined) && {
      completion_tokens_details: {
        ...(reasoning !== undefined && { reasoning_tokens: reasoning }),
        ...(outputAudio !== undefined && { audio_tokens: outputAudio }),
      },
    }),
  }
}
