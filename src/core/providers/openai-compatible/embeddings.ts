import { type AnswerFacts, noFacts } from '../answer-reader.ts'
import { malformedFailure } from '../failures.ts'
import { isRecord, nonEmptyString } from '../json.ts'
import { inStreamFailure } from '../openai/errors.ts'
import { readOpenAiUsage } from '../openai/usage.ts'
import type { ExchangeFailure } from '../provider.ts'
import { extraMembers } from './wire.ts'

export type EmbeddingEncoding = 'float' | 'base64'

export interface EmbeddingOptions {
  /** Named in the answer where the upstream names none. */
  model: string
  /** How many embeddings were asked for; undefined when that is not known. */
  count?: number | undefined
  /** Replaced wherever the provider echoes it in an error. */
  credential?: string | undefined
}

export interface DecodedEmbeddings {
  /** The answer in OpenAI's form; undefined when there is a failure. */
  answer: Buffer | undefined
  failure: ExchangeFailure | undefined
  facts: AnswerFacts
}

/**
 * Checks an embeddings answer and puts its vectors into the encoding the client asked for: OpenAI's own SDKs ask for
 * base64 and decode blindly, so a list of floats would become a quarter as many numbers.
 */
export function decodeEmbeddings(
  bytes: Buffer,
  encodingFormat: EmbeddingEncoding,
  { model, count, credential }: EmbeddingOptions,
): DecodedEmbeddings {
  const facts = noFacts()
  const failed = (failure: ExchangeFailure): DecodedEmbeddings => ({ answer: undefined, failure, facts })
  let parsed: unknown
  try {
    parsed = JSON.parse(bytes.toString('utf8'))
  } catch {
    return failed(malformedFailure(bytes.length === 0 ? 'the body is empty' : 'the body is not JSON'))
  }
  const body = Array.isArray(parsed) ? parsed[0] : parsed
  if (!isRecord(body)) return failed(malformedFailure('it is no object'))
  if (body.error !== undefined && body.error !== null) return failed(inStreamFailure(body.error, credential))

  const reading = readOpenAiUsage(body.usage, body.service_tier)
  if (reading && 'usage' in reading) facts.usage = reading.usage
  else if (reading) facts.implausibleUsage = reading.implausible
  facts.providerResponseId = nonEmptyString(body.id)

  if (!Array.isArray(body.data) || body.data.length === 0)
    return failed(malformedFailure('there are no embeddings in it'))
  if (count !== undefined && body.data.length !== count) {
    return failed(malformedFailure(`it has ${body.data.length} embeddings for ${count} inputs`))
  }
  const data: unknown[] = []
  for (const [at, item] of body.data.entries()) {
    const embedding = isRecord(item) ? converted(item.embedding, encodingFormat) : undefined
    if (embedding === undefined) return failed(malformedFailure('an embedding in it is no vector'))
    data.push({ object: 'embedding', index: typeof item.index === 'number' ? item.index : at, embedding })
  }
  facts.finish = 'stop'
  const { usage } = facts
  const answer = {
    ...extraMembers(body, knownMembers),
    object: 'list',
    data,
    model: nonEmptyString(body.model) ?? model,
    ...(usage && { usage: { prompt_tokens: usage.inputTokens, total_tokens: usage.totalTokens } }),
  }
  return { answer: Buffer.from(JSON.stringify(answer)), failure: undefined, facts }
}

const knownMembers = new Set(['object', 'data', 'model', 'usage', 'error'])

/** Floats as base64 of little-endian 32-bit numbers. */
export function base64FromFloats(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4)
  for (let at = 0; at < vector.length; at++) bytes.writeFloatLE(vector[at] as number, at * 4)
  return bytes.toString('base64')
}

/** @returns undefined when the value is no vector */
function converted(embedding: unknown, wanted: EmbeddingEncoding): number[] | string | undefined {
  if (typeof embedding === 'string') {
    const floats = floatsFromBase64(embedding)
    return floats && wanted === 'base64' ? embedding : floats
  }
  if (!Array.isArray(embedding) || embedding.length === 0) return undefined
  for (const number of embedding) if (typeof number !== 'number') return undefined
  return wanted === 'base64' ? base64FromFloats(embedding) : embedding
}

function floatsFromBase64(text: string): number[] | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === 0 || bytes.length % 4 !== 0) return undefined
  const floats = new Array<number>(bytes.length / 4)
  for (let at = 0; at < floats.length; at++) {
    const number = bytes.readFloatLE(at * 4)
    if (!Number.isFinite(number)) return undefined
    floats[at] = number
  }
  return floats
}

/** @returns how many embeddings a request's `input` asks for: texts, lists of tokens, or one of either */
export function countInputs(input: unknown): number | undefined {
  if (typeof input === 'string') return 1
  if (!Array.isArray(input)) return undefined
  return typeof input[0] === 'number' ? 1 : input.length
}
