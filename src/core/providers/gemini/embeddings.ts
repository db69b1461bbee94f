import { noFacts } from '../answer-reader.ts'
import type { WholeAnswer } from '../decoded-answer.ts'
import { type EmbeddingsRequest, embeddingsAnswer, vectorOf } from '../embeddings-answer.ts'
import { malformedFailure } from '../failures.ts'
import { isRecord, type JsonObject, parsedJson, recordOr, recordsIn } from '../json.ts'
import { count, usageFrom } from '../token-counts.ts'
import { geminiStreamFailure } from './errors.ts'

export interface EmbeddingsOptions {
  model: string
  /** How many were asked for. */
  count: number
  encodingFormat: 'float' | 'base64'
  /** Replaced wherever it is echoed in an error. */
  credential: string | undefined
}

/** `batchEmbedContents` of the Gemini API: https://ai.google.dev/api/embeddings */
export function toBatchEmbedContents({ texts, dimensions }: EmbeddingsRequest, model: string): JsonObject {
  return {
    requests: texts.map((text) => ({
      model: `models/${model}`,
      content: { parts: [{ text }] },
      ...(dimensions !== undefined && { outputDimensionality: dimensions }),
    })),
  }
}

/** `predict` of Vertex: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api */
export function toPredict({ texts, dimensions }: EmbeddingsRequest): JsonObject {
  return {
    instances: texts.map((content) => ({ content })),
    ...(dimensions !== undefined && { parameters: { outputDimensionality: dimensions } }),
  }
}

/** The answer of either, in OpenAI's form. */
export function decodeGeminiEmbeddings(bytes: Buffer, options: EmbeddingsOptions): WholeAnswer {
  const facts = noFacts()
  const failed = (what: string): WholeAnswer => ({ failure: malformedFailure(what), facts, tail: undefined })
  const body = parsedJson(bytes.toString('utf8'))
  if (!isRecord(body)) return failed(bytes.length === 0 ? 'the body is empty' : 'it is no object')
  if (isRecord(body.error))
    return { failure: geminiStreamFailure(body.error, options.credential), facts, tail: undefined }

  const predictions = recordsIn(body.predictions).map(({ embeddings }) => recordOr(embeddings))
  const embeddings = predictions.length > 0 ? predictions : recordsIn(body.embeddings)
  const vectors = embeddings.map(({ values }) => vectorOf(values))
  if (vectors.length !== options.count) {
    return failed(`it has ${vectors.length} embeddings for ${options.count} inputs`)
  }
  if (!vectors.every((vector) => vector !== undefined)) return failed('an embedding in it is no vector')

  const tokens =
    predictions.length > 0
      ? predictions.reduce((sum, { statistics }) => sum + count(recordOr(statistics).token_count), 0)
      : count(recordOr(body.usageMetadata).promptTokenCount)
  const reading =
    tokens === 0 ? undefined : usageFrom({ input: tokens, output: 0 }, 'default', body.usageMetadata ?? tokens)
  if (reading && 'usage' in reading) facts.usage = reading.usage
  else if (reading) facts.implausibleUsage = reading.implausible
  facts.finish = 'stop'
  return {
    failure: undefined,
    facts,
    tail: embeddingsAnswer(vectors, options.model, options.encodingFormat, facts.usage),
  }
}
