import type { ChatEvent } from '../../chat/event.ts'
import { parsedRequest } from '../../inference/call.ts'
import type { AnswerFacts, AnswerReader } from '../openai/answer-reader.ts'
import { noFacts } from '../openai/answer-reader.ts'
import { malformedFailure } from '../openai/errors.ts'
import type { AttemptOutput, ExchangeFailure, UpstreamCall } from '../provider.ts'
import { countInputs, decodeEmbeddings } from './embeddings.ts'
import {
  type CompletionStreamDecoder,
  createCompletionStreamDecoder,
  type Decoded,
  decodeCompletion,
} from './from-upstream.ts'

/** An answer of more than this is refused: the gateway must hold all of it to know that it is whole. */
const answerBytesMax = 32 * 1024 * 1024

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
    return new DecodedAnswer((bytes) => {
      const { events, failure, facts } = decodeCompletion(bytes, { credential })
      for (const event of events) output.event(event)
      return { failure, facts, tail: undefined }
    })
  }
  // Before anything is sent: a large body has not been parsed yet, and may turn out to be no JSON.
  const count = countInputs(parsedRequest(request).input)
  return new DecodedAnswer((bytes) => {
    const { answer, failure, facts } = decodeEmbeddings(bytes, request.encodingFormat, { model, count, credential })
    return { failure, facts, tail: answer }
  })
}

class DecodedStream implements AnswerReader {
  keepsUp = true
  readonly #output: AttemptOutput
  readonly #decoder: CompletionStreamDecoder

  constructor(output: AttemptOutput, decoder: CompletionStreamDecoder) {
    this.#output = output
    this.#decoder = decoder
  }

  get facts(): AnswerFacts {
    return this.#decoder.facts
  }

  push(chunk: Buffer): ExchangeFailure | undefined {
    const { events, failure } = this.#decoder.push(chunk)
    this.#pass(events)
    return failure
  }

  finish(): { failure: ExchangeFailure | undefined; tail: undefined } {
    const { events, failure }: Decoded = this.#decoder.end()
    this.#pass(events)
    return { failure, tail: undefined }
  }

  #pass(events: readonly ChatEvent[]): void {
    // A chunk without events must not ask for a pause: no write would ever be there to end it.
    this.keepsUp = true
    for (const event of events) this.keepsUp = this.#output.event(event)
  }
}

interface WholeAnswer {
  failure: ExchangeFailure | undefined
  facts: AnswerFacts
  tail: Buffer | undefined
}

class DecodedAnswer implements AnswerReader {
  facts: AnswerFacts = noFacts()
  readonly keepsUp = true
  readonly #decode: (bytes: Buffer) => WholeAnswer
  readonly #chunks: Buffer[] = []
  #bytes = 0

  constructor(decode: (bytes: Buffer) => WholeAnswer) {
    this.#decode = decode
  }

  push(chunk: Buffer): ExchangeFailure | undefined {
    this.#bytes += chunk.length
    if (this.#bytes > answerBytesMax) return malformedFailure('it has more than 32 MiB')
    this.#chunks.push(chunk)
    return undefined
  }

  finish(): { failure: ExchangeFailure | undefined; tail: Buffer | undefined } {
    const { failure, facts, tail } = this.#decode(Buffer.concat(this.#chunks, this.#bytes))
    this.facts = facts
    return { failure, tail }
  }
}
