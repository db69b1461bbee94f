import { GatewayError } from '../errors.ts'
import type { InferenceRequest } from '../inference/call.ts'
import { parsedRequest } from '../inference/call.ts'
import type { Usage } from '../usage/usage.ts'
import { base64FromFloats } from './openai-compatible/embeddings.ts'

/** An embeddings request as translators read it. */
export interface EmbeddingsRequest {
  /** At least one. */
  texts: readonly string[]
  dimensions: number | undefined
}

/**
 * @param upstream - as in "Gemini takes texts only"
 * @throws GatewayError invalid_body or unsupported_parameter
 */
export function readEmbeddingsRequest(request: InferenceRequest, upstream: string): EmbeddingsRequest {
  const { input, dimensions } = parsedRequest(request)
  const texts = Array.isArray(input) ? input : [input]
  if (texts.length === 0) throw invalid('input', 'must have a text')
  for (const text of texts) {
    if (typeof text === 'string') continue
    const message = `"input" must be text or a list of texts: ${upstream} takes no tokens.`
    throw new GatewayError('unsupported_parameter', message, { param: 'input' })
  }
  const isCount =
    dimensions === undefined || dimensions === null || (Number.isSafeInteger(dimensions) && Number(dimensions) > 0)
  if (!isCount) throw invalid('dimensions', 'must be a whole number from 1')
  return { texts, dimensions: dimensions === null ? undefined : (dimensions as number | undefined) }
}

const invalid = (param: string, expectation: string): GatewayError =>
  new GatewayError('invalid_body', `"${param}" ${expectation}.`, { param })

/** A list of numbers, or undefined when it is none. */
export function vectorOf(value: unknown): number[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined
  return value.every((number) => typeof number === 'number') ? value : undefined
}

/** Vectors as an answer in OpenAI's form, in the encoding that the client asked for. */
export function embeddingsAnswer(
  vectors: readonly number[][],
  model: string,
  encodingFormat: 'float' | 'base64',
  usage: Usage | undefined,
): Buffer {
  const data = vectors.map((vector, index) => ({
    object: 'embedding',
    index,
    embedding: encodingFormat === 'base64' ? base64FromFloats(vector) : vector,
  }))
  const counted = usage && { usage: { prompt_tokens: usage.inputTokens, total_tokens: usage.totalTokens } }
  return Buffer.from(JSON.stringify({ object: 'list', data, model, ...counted }))
}
