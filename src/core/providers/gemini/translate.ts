import { readChatRequest } from '../../chat/read-request.ts'
import type { UnsupportedParameters } from '../../chat/request.ts'
import { parsedRequest } from '../../inference/call.ts'
import { DecodedAnswer, DecodedStream, passWhole } from '../decoded-answer.ts'
import { readEmbeddingsRequest } from '../embeddings-answer.ts'
import type { AttemptOutput, UpstreamCall } from '../provider.ts'
import type { Translation } from '../translating-provider.ts'
import { decodeGeminiEmbeddings, toBatchEmbedContents, toPredict } from './embeddings.ts'
import { createContentStreamDecoder, decodeContent } from './from-upstream.ts'
import { toGeminiRequest } from './to-upstream.ts'

export interface GoogleService {
  service: 'gemini' | 'vertex'
  /** Before `/models/`. */
  modelsPath: string
  unsupportedParameters: UnsupportedParameters
  /** Replaced wherever it is echoed. */
  credential: string | undefined
}

/** `alt=sse` is asked for; who answers with the list that comes without it is understood, too. */
const streamTypes = ['text/event-stream', 'application/json']

/**
 * One call in Google's protocol, which the Gemini API and Vertex share but for addresses and embeddings.
 *
 * @throws GatewayError for what cannot be said in it
 */
export function translateForGoogle(google: GoogleService, call: UpstreamCall, output: AttemptOutput): Translation {
  const { operation, model, request, outputTokensCap } = call
  const { service, unsupportedParameters, credential } = google
  const path = `${google.modelsPath}/models/${encodeURIComponent(model).replaceAll('%40', '@')}`
  if (operation === 'embeddings') {
    const embeddings = readEmbeddingsRequest(request, 'Gemini')
    const { encodingFormat } = request
    const options = { model, count: embeddings.texts.length, encodingFormat, credential }
    return {
      path: `${path}:${service === 'vertex' ? 'predict' : 'batchEmbedContents'}`,
      body: service === 'vertex' ? toPredict(embeddings) : toBatchEmbedContents(embeddings, model),
      reader: new DecodedAnswer((bytes) => decodeGeminiEmbeddings(bytes, options)),
    }
  }
  const body = toGeminiRequest(readChatRequest(parsedRequest(request)), {
    model,
    service,
    outputTokensMax: outputTokensCap,
    unsupportedParameters,
  })
  const options = { credential }
  return request.stream
    ? {
        path: `${path}:streamGenerateContent?alt=sse`,
        body,
        streamTypes,
        reader: new DecodedStream(output, createContentStreamDecoder(options)),
      }
    : {
        path: `${path}:generateContent`,
        body,
        reader: new DecodedAnswer((bytes) => passWhole(output, decodeContent(bytes, options))),
      }
}
