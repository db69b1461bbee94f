import { type JsonObject, recordOr, recordsIn } from '../json.ts'

/**
 * `logprobsResult` in OpenAI's form.
 *
 * @returns undefined when there are none
 */
export function openAiLogprobs(result: unknown): { content: JsonObject[] } | undefined {
  const { chosenCandidates, topCandidates } = recordOr(result)
  const chosen = recordsIn(chosenCandidates)
  if (chosen.length === 0) return undefined
  const tops = recordsIn(topCandidates)
  return {
    content: chosen.map((candidate, at) => ({
      ...tokenOf(candidate),
      top_logprobs: recordsIn(tops[at]?.candidates).map(tokenOf),
    })),
  }
}

function tokenOf({ token, logProbability }: JsonObject): JsonObject {
  const text = String(token)
  return { token: text, logprob: logProbability, bytes: [...Buffer.from(text)] }
}
