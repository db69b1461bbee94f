import type { UsageEnd } from '../../core/usage/usage-record.ts'
import type { EmbedResponse } from '../../generated/proto/thinkpixel/llmgw/v1/EmbedResponse.ts'
import { callSummary } from './call-summary.ts'

interface OpenAiEmbeddings {
  model?: string
  data: { index?: number; embedding: string | number[] }[]
}

/**
 * @param answer - in OpenAI's form
 * @param requestedModel - as the client named it, where the upstream does not say
 * @throws SyntaxError or TypeError for an answer that is none
 */
export function embedResponse(answer: Buffer, record: UsageEnd, requestedModel: string): EmbedResponse {
  const { model, data }: OpenAiEmbeddings = JSON.parse(answer.toString('utf8'))
  const inOrder = [...data].sort((a, b) => (a.index ?? 0) - (b.index ?? 0))
  return {
    model: model ?? requestedModel,
    embeddings: inOrder.map(({ embedding }) => ({ values: valuesOf(embedding) })),
    summary: callSummary(record),
  }
}

/** A peer may answer with numbers although base64 was asked for. */
function valuesOf(embedding: string | number[]): number[] {
  if (typeof embedding !== 'string') return embedding
  const bytes = Buffer.from(embedding, 'base64')
  const values = new Array<number>(bytes.length >> 2)
  for (let at = 0; at < values.length; at++) values[at] = bytes.readFloatLE(at * 4)
  return values
}
