import type { AnswerFacts } from '../answer-reader.ts'
import type { Decoded, StreamDecoder } from '../decoded-answer.ts'
import { cutFailure, malformedFailure } from '../failures.ts'
import { isRecord, parsedJson } from '../json.ts'
import { inStreamFailure } from '../openai/errors.ts'
import type { ExchangeFailure } from '../provider.ts'
import { createSseDecoder, type ServerSentEvent } from '../sse.ts'
import { CompletionEvents, type CompletionOptions } from './completion-events.ts'
import { RepeatedChunk } from './repeated-chunk.ts'

/**
 * A tolerant decoder of streams that OpenAI-compatible peers send.
 *
 * Not carried over: what a choice holds beside its message (`native_finish_reason`, `stop_reason`, `token_ids`), a
 * top-level `x_groq`, parts of `content` that hold no text, and members of a tool call that come after its name.
 */
export function createCompletionStreamDecoder(options: CompletionOptions = {}): StreamDecoder {
  const completion = new CompletionEvents(options)
  const repeated = new RepeatedChunk()
  const sse = createSseDecoder()
  let done = false

  const take = (received: readonly ServerSentEvent[]): ExchangeFailure | undefined => {
    for (const { name, data } of received) {
      if (done) return undefined
      const text = data.trim()
      if (text === '') continue
      if (text === '[DONE]') {
        done = true
        return completion.finish()
      }
      const failure = takeChunk(name, text)
      if (failure) return failure
    }
    return undefined
  }
  const takeChunk = (name: string, text: string): ExchangeFailure | undefined => {
    const delta = name === 'error' ? undefined : repeated.read(text)
    if (delta) {
      completion.takeText(delta)
      return undefined
    }
    const chunk = parsedJson(text)
    if (chunk === undefined) return malformedFailure('a chunk is not JSON')
    if (name === 'error' && isRecord(chunk)) return inStreamFailure(chunk.error ?? chunk, options.credential)
    const before = completion.pending.length
    const failure = completion.take(chunk)
    repeated.learn(text, completion.pending.slice(before))
    return failure
  }

  return {
    facts: completion.facts,
    push(bytes) {
      const failure = take(sse.push(bytes)) ?? (sse.refusal ? malformedFailure(sse.refusal) : undefined)
      return { events: completion.taken(), failure }
    },
    end() {
      const last = take(sse.end())
      // The end of the body cut a chunk in two: half of one does not parse.
      let failure = last?.kind === 'malformed' && !done ? cutFailure() : last
      if (!failure && !done) {
        if (completion.hasFinished) failure = completion.finish()
        else failure = completion.hasChoices ? cutFailure() : malformedFailure('the stream is empty')
      }
      done = true
      return { events: completion.taken(), failure }
    },
  }
}

/** Decodes a unary completion into the same events a stream would give, in one burst. */
export function decodeCompletion(bytes: Buffer, options: CompletionOptions = {}): Decoded & { facts: AnswerFacts } {
  const completion = new CompletionEvents(options)
  const failure = bytes.length === 0 ? malformedFailure('the body is empty') : takeCompletion(completion, bytes)
  return { events: failure ? [] : completion.taken(), failure, facts: completion.facts }
}

function takeCompletion(completion: CompletionEvents, bytes: Buffer): ExchangeFailure | undefined {
  const answer = parsedJson(bytes.toString('utf8'))
  return answer === undefined
    ? malformedFailure('the body is not JSON')
    : (completion.take(answer) ?? completion.finish())
}
