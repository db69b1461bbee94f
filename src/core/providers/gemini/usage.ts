import { type JsonObject, recordsIn } from '../json.ts'
import { count, type UsageReading, usageFrom } from '../token-counts.ts'

/**
 * Google's counts. The cached part is inside the prompt, thoughts are beside the candidates, unless the total says that
 * they are inside.
 *
 * https://ai.google.dev/api/generate-content#UsageMetadata
 *
 * @param raw - `usageMetadata`, as it came last
 * @returns undefined when nothing was counted
 */
export function readGeminiUsage(raw: JsonObject): UsageReading | undefined {
  const prompt = count(raw.promptTokenCount)
  const candidates = count(raw.candidatesTokenCount)
  const thoughts = count(raw.thoughtsTokenCount)
  const total = count(raw.totalTokenCount)
  const input = prompt + count(raw.toolUsePromptTokenCount)
  const thoughtsAreInside = thoughts > 0 && candidates >= thoughts && input + candidates === total
  const output = thoughtsAreInside ? candidates : candidates + thoughts
  if (input + output === 0) return undefined
  return usageFrom(
    {
      input,
      cached: count(raw.cachedContentTokenCount),
      inputAudio: tokensOf(raw.promptTokensDetails, 'AUDIO'),
      inputImage: tokensOf(raw.promptTokensDetails, 'IMAGE'),
      inputVideo: tokensOf(raw.promptTokensDetails, 'VIDEO'),
      output,
      reasoning: thoughts,
      outputAudio: tokensOf(raw.candidatesTokensDetails, 'AUDIO'),
      outputImage: tokensOf(raw.candidatesTokensDetails, 'IMAGE'),
    },
    'default',
    raw,
  )
}

function tokensOf(details: unknown, modality: string): number {
  let tokens = 0
  for (const detail of recordsIn(details)) if (detail.modality === modality) tokens += count(detail.tokenCount)
  return tokens
}
