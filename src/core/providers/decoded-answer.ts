import type { ChatEvent } from '../chat/event.ts'
import { type AnswerFacts, type AnswerReader, noFacts } from './answer-reader.ts'
import { malformedFailure } from './failures.ts'
import type { AttemptOutput, ExchangeFailure } from './provider.ts'

/** Takes the bytes of a stream as they come, cut anywhere, and makes events of them. */
export interface StreamDecoder {
  readonly facts: AnswerFacts
  push(bytes: Buffer): Decoded
  /** The body ended; the decoder says whether the answer had. */
  end(): Decoded
}

export interface Decoded {
  events: ChatEvent[]
  /** The answer is none, or is none any more; events that came before are still in `events`. Nothing follows. */
  failure: ExchangeFailure | undefined
}

/** Reads a streamed answer that is not passed on as it comes: into canonical events. */
export class DecodedStream implements AnswerReader {
  keepsUp = true
  readonly #output: AttemptOutput
  readonly #decoder: StreamDecoder

  constructor(output: AttemptOutput, decoder: StreamDecoder) {
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
    const { events, failure } = this.#decoder.end()
    this.#pass(events)
    return { failure, tail: undefined }
  }

  #pass(events: readonly ChatEvent[]): void {
    // A chunk without events must not ask for a pause: no write would ever be there to end it.
    this.keepsUp = true
    for (const event of events) this.keepsUp = this.#output.event(event)
  }
}

export interface WholeAnswer {
  failure: ExchangeFailure | undefined
  facts: AnswerFacts
  /** All of an answer that goes on as bytes, such as embeddings. */
  tail: Buffer | undefined
}

/** An answer of more than this is refused: the gateway must hold all of it to know that it is whole. */
const answerBytesMax = 32 * 1024 * 1024

/** Reads an answer that comes whole. */
export class DecodedAnswer implements AnswerReader {
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

/** Passes on the events of a chat answer that came whole. */
export function passWhole(
  output: AttemptOutput,
  { events, failure, facts }: Decoded & { facts: AnswerFacts },
): WholeAnswer {
  for (const event of events) output.event(event)
  return { failure, facts, tail: undefined }
}
