import { noFacts } from '../answer-reader.ts'
import type { WholeAnswer } from '../decoded-answer.ts'
import { type EmbeddingsRequest, embeddingsAnswer, vectorOf } from '../embeddings-answer.ts'
import { malformedFailure } from '../failures.ts'
import { isRecord, type JsonObject, parsedJson, recordOr } from '../json.ts'
import { count, usageFrom } from '../token-counts.ts'

export type EmbeddingFamily = 'cohere' | 'titan'

/** Bedrock has no form of its own for embeddings: each family is asked in its own. */
export const embeddingFamilyOf = (model: string): EmbeddingFamily => (/cohere/.test(model) ? 'cohere' : 'titan')

/**
 * The bodies to invoke the model with: Cohere's takes all texts at once, Titan's one at a time.
 *
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
 * https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed.html
 */
export function toInvocations({ texts, dimensions }: EmbeddingsRequest, model: string): JsonObject[] {
  if (embeddingFamilyOf(model) === 'cohere') {
    // OpenAI does not say what the vectors are for; documents and queries are not told apart by its clients.
    return [{ texts, input_type: 'search_document', ...(dimensions !== undefined && { output_dimension: dimensions }) }]
  }
  return texts.map((inputText) => ({ inputText, ...(dimensions !== undefined && { dimensions }) }))
}

export interface Invocation {
  body: Uint8Array
  /** What Bedrock counted, in a header; Cohere's body does not say. */
  inputTokens: number | undefined
}

export interface InvocationOptions {
  model: string
  /** How many were asked for. */
  count: number
  encodingFormat: 'float' | 'base64'
}

/** The answers of all invocations, in OpenAI's form. */
export function decodeInvocations(invocations: readonly Invocation[], options: InvocationOptions): WholeAnswer {
  const facts = noFacts()
  const failed = (what: string): WholeAnswer => ({ failure: malformedFailure(what), facts, tail: undefined })
  const vectors: number[][] = []
  let tokens = 0
  for (const { body, inputTokens } of invocations) {
    const answer = parsedJson(Buffer.from(body).toString('utf8'))
    if (!isRecord(answer)) return failed('it is no object')
    for (const embedding of embeddingsIn(answer)) {
      const vector = vectorOf(embedding)
      if (!vector) return failed('an embedding in it is no vector')
      vectors.push(vector)
    }
    tokens += count(answer.inputTextTokenCount ?? inputTokens)
  }
  if (vectors.length !== options.count) return failed(`it has ${vectors.length} embeddings for ${options.count} inputs`)
  const reading = tokens === 0 ? undefined : usageFrom({ input: tokens, output: 0 }, 'default', tokens)
  if (reading && 'usage' in reading) facts.usage = reading.usage
  else if (reading) facts.implausibleUsage = reading.implausible
  facts.finish = 'stop'
  const { model, encodingFormat } = options
  return { failure: undefined, facts, tail: embeddingsAnswer(vectors, model, encodingFormat, facts.usage) }
}

/** Cohere's are in a list, or by their type where types were asked for; Titan's is the only one. */
function embeddingsIn({ embedding, embeddings }: JsonObject): readonly unknown[] {
  if (embedding !== undefined) return [embedding]
  const list = Array.isArray(embeddings) ? embeddings : recordOr(embeddings).float
  return Array.isArray(list) ? list : []
}
