import type { ChatEvent } from '../../core/chat/event.ts'
import type { InferenceRequest } from '../../core/inference/call.ts'
import { secondsOf } from '../answer-identity.ts'
import { createChunkEncoder } from './chunk-encoder.ts'
import { createCompletionCollector } from './completion-collector.ts'

/** Writes canonical events in OpenAI's wire format. */
export interface ChatEncoder {
  /** @returns what to send now; undefined when there is nothing yet */
  encode(event: ChatEvent): Buffer | undefined
  /** The answer is whole. @returns the last bytes: `[DONE]`, or all of a unary answer */
  end(): Buffer
}

export interface ChatEncoderOptions {
  /** UUIDv7: names the answer, and says when it was made, where the upstream does not. */
  requestId: string
  request: Pick<InferenceRequest, 'model' | 'stream' | 'includeUsage'>
}

/** What every chunk of an answer repeats, where the upstream does not say. */
export interface AnswerIdentity {
  id: string
  model: string
  createdS: number
}

export function createChatEncoder({ requestId, request }: ChatEncoderOptions): ChatEncoder {
  const identity = { id: `chatcmpl-${requestId}`, model: request.model, createdS: secondsOf(requestId) }
  return request.stream ? createChunkEncoder(identity, request.includeUsage) : createCompletionCollector(identity)
}
