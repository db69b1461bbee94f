import type { InferenceRequest, Operation } from '../inference/call.ts'
import { worstCaseNano } from '../pricing/cost.ts'
import type { Price } from '../pricing/price.ts'

/** What bounds the cost of one attempt: a candidate's price, and the longest answer its model gives. */
export interface BoundedTarget {
  /** Undefined for a model of unknown price that may be called nevertheless: nothing can be held for it. */
  price: Price | undefined
  /** What the catalog knows. */
  maxOutputTokens: number | undefined
}

/** The longest answer of a model that no catalog knows; it is asked for at most this much. */
export const outputTokensMaxUnknown = 16_384

/** Bodies up to this size are taken for a token a byte, which no tokenizer exceeds. */
const exactBytesMax = 64 * 1024

/**
 * The most that one attempt at the dearest of these targets can cost, in nano-USD: every byte of the prompt a token, and
 * the whole output cap for every choice. Cheap, since it is asked before every call that counts in a hard budget; the
 * real usage takes its place afterwards.
 */
export function worstCaseOf(
  operation: Operation,
  request: InferenceRequest,
  targets: readonly BoundedTarget[],
): bigint {
  const inputTokens = inputTokensMax(request)
  let dearestNano = 0n
  for (const { price, maxOutputTokens } of targets) {
    if (!price) continue
    const outputTokens = operation === 'chat' ? outputTokensMaxOf(request, maxOutputTokens) * request.choices : 0
    const costNano = worstCaseNano(price, inputTokens, outputTokens)
    if (costNano > dearestNano) dearestNano = costNano
  }
  return dearestNano
}

/** The cap that holds for one choice: the client's, else the model's. */
export function outputTokensMaxOf({ outputTokensMax }: InferenceRequest, maxOutputTokens: number | undefined): number {
  return outputTokensMax ?? maxOutputTokens ?? outputTokensMaxUnknown
}

/**
 * Larger bodies carry images and documents as base64, which costs far fewer tokens than bytes: four times our own
 * estimate, which has all their text in it, and as much again as a small body may have.
 */
function inputTokensMax({ bytes, inputTokensEstimate }: InferenceRequest): number {
  if (bytes.length <= exactBytesMax) return bytes.length
  return Math.min(bytes.length, 4 * inputTokensEstimate + exactBytesMax)
}
