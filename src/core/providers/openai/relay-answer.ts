import type { Operation } from '../../inference/call.ts'
import { type AnswerFacts, type AnswerReader, finishReasonFrom, noFacts } from '../answer-reader.ts'
import { malformedFailure } from '../failures.ts'
import type { ExchangeFailure } from '../provider.ts'
import { inStreamFailure } from './errors.ts'
import { outputBytesOf } from './relay-stream.ts'
import { readOpenAiUsage } from './usage.ts'

/** An answer of more than this is refused: the gateway must hold all of it to know that it is whole. */
const answerBytesMax = 32 * 1024 * 1024

/**
 * Holds a unary answer until it is known to be one, then passes on the very bytes. Status 200 with an empty, cut or
 * foreign body is a failure, never an answer.
 */
export class RelayAnswer implements AnswerReader {
  readonly facts: AnswerFacts = noFacts()
  readonly keepsUp = true
  readonly #operation: Operation
  #chunks: Buffer[] = []
  #bytes = 0

  readonly #credential: string | undefined

  /** @param credential - replaced wherever the provider echoes it in an error */
  constructor(operation: Operation, credential?: string) {
    this.#operation = operation
    this.#credential = credential
  }

  push(chunk: Buffer): ExchangeFailure | undefined {
    this.#bytes += chunk.length
    if (this.#bytes > answerBytesMax) return malformedFailure('more than 32 MiB')
    this.#chunks.push(chunk)
    return undefined
  }

  finish(): { failure: ExchangeFailure | undefined; tail: Buffer | undefined } {
    const tail = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks)
    let answer: unknown
    try {
      answer = JSON.parse(tail.toString('utf8'))
    } catch {
      return {
        failure: malformedFailure(tail.length === 0 ? 'an empty body' : 'a body that is not JSON'),
        tail: undefined,
      }
    }
    const failure = this.#look(answer)
    return { failure, tail: failure ? undefined : tail }
  }

  #look(answer: unknown): ExchangeFailure | undefined {
    if (typeof answer !== 'object' || answer === null) return malformedFailure('a body that is not an object')
    const { id, error, choices, data, usage, service_tier } = answer as Record<string, unknown>
    if (error !== undefined && error !== null) return inStreamFailure(error, this.#credential)
    const { facts } = this
    if (typeof id === 'string' && id !== '') facts.providerResponseId = id
    if (this.#operation === 'chat') {
      if (!Array.isArray(choices) || choices.length === 0) return malformedFailure('a body without choices')
      for (const choice of choices as { message?: unknown; finish_reason?: unknown }[]) {
        if (typeof choice?.message !== 'object') return malformedFailure('a choice without a message')
        facts.outputBytes += outputBytesOf(choice.message)
      }
      facts.finish = finishReasonFrom(choices[0].finish_reason)
    } else if (!Array.isArray(data)) {
      return malformedFailure('a body without embeddings')
    } else {
      facts.finish = 'stop'
    }
    const reading = readOpenAiUsage(usage, service_tier)
    if (reading && 'usage' in reading) facts.usage = reading.usage
    else if (reading) facts.implausibleUsage = reading.implausible
    return undefined
  }
}
