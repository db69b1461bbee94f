import type { AnswerFacts } from '../answer-reader.ts'
import type { Decoded, StreamDecoder } from '../decoded-answer.ts'
import { cutFailure, malformedFailure } from '../failures.ts'
import { parsedJson } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'
import { createSseDecoder, type ServerSentEvent } from '../sse.ts'
import { MessageEvents, type MessageOptions } from './message-events.ts'

/** Decodes the events of a streamed message; one that ends without having said so was cut. */
export function createMessageStreamDecoder(options: MessageOptions): StreamDecoder {
  const message = new MessageEvents(options)
  const sse = createSseDecoder()

  const take = (received: readonly ServerSentEvent[]): ExchangeFailure | undefined => {
    for (const { data } of received) {
      if (message.isWhole) return undefined
      const event = parsedJson(data)
      if (event === undefined) return malformedFailure('an event is not JSON')
      const failure = message.take(event) ?? (message.isWhole ? message.finish() : undefined)
      if (failure) return failure
    }
    return undefined
  }

  return {
    facts: message.facts,
    push(bytes) {
      const failure = take(sse.push(bytes)) ?? (sse.refusal ? malformedFailure(sse.refusal) : undefined)
      return { events: message.taken(), failure }
    },
    end() {
      const last = take(sse.end())
      // The end of the body cut an event in two: half of one does not parse.
      let failure = last?.kind === 'malformed' ? cutFailure() : last
      // Only the farewell is missing.
      if (!failure && !message.isWhole) failure = message.hasStopReason ? message.finish() : cutFailure()
      return { events: message.taken(), failure }
    },
  }
}

/** Decodes a message that came whole into the same events a stream would give, in one burst. */
export function decodeMessage(bytes: Buffer, options: MessageOptions): Decoded & { facts: AnswerFacts } {
  const message = new MessageEvents(options)
  const parsed = parsedJson(bytes.toString('utf8'))
  const failure =
    parsed === undefined
      ? malformedFailure(bytes.length === 0 ? 'the body is empty' : 'the body is not JSON')
      : (message.takeWhole(parsed) ?? message.finish())
  return { events: failure ? [] : message.taken(), failure, facts: message.facts }
}
