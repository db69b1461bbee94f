import type { InferenceRequest } from '../inference/call.ts'

/**
 * What a request takes of a limit on tokens before it has run: its prompt, and as much answer as the client allows. An
 * answer without a bound counts when it is known; nobody is refused for what a model could say at most.
 */
export function tokensEstimate({
  inputTokensEstimate,
  outputTokensMax,
  choices,
}: Pick<InferenceRequest, 'inputTokensEstimate' | 'outputTokensMax' | 'choices'>): number {
  return Math.min(inputTokensEstimate + (outputTokensMax ?? 0) * choices, Number.MAX_SAFE_INTEGER)
}
