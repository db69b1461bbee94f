import { parsedRequest } from '../../inference/call.ts'
import type { AnswerReader } from '../answer-reader.ts'
import { DecodedAnswer, DecodedStream, passWhole } from '../decoded-answer.ts'
import type { AttemptOutput, UpstreamCall } from '../provider.ts'
import { countInputs, decodeEmbeddings } from './embeddings.ts'
import { createCompletionStreamDecoder, decodeCompletion } from './from-upstream.ts'

/**
 * How answers of peers that do not speak OpenAI's protocol cleanly are read: into canonical events, which the door
 * then writes as they should be.
 *
 * @param credential - replaced wherever the provider echoes it in an error
 */
export function createDecodingReader(
  call: Pick<UpstreamCall, 'operation' | 'model' | 'request'>,
  output: AttemptOutput,
  credential: string | undefined,
): AnswerReader {
  const { operation, model, request } = call
  if (operation === 'chat' && request.stream) {
    return new DecodedStream(output, createCompletionStreamDecoder({ credential }))
  }
  if (operation === 'chat') {
    return new DecodedAnswer((bytes) => passWhole(output, decodeCompletion(bytes, { credential })))
  }
  // Before anything is sent: a large body has not been parsed yet, and may turn out to be no JSON.
  const count = countInputs(parsedRequest(request).input)
  return new DecodedAnswer((bytes) => {
    const { answer, failure, facts } = decodeEmbeddings(bytes, request.encodingFormat, { model, count, credential })
    return { failure, facts, tail: answer }
  })
}
