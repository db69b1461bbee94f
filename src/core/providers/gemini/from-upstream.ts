import type { AnswerFacts } from '../answer-reader.ts'
import type { Decoded, StreamDecoder } from '../decoded-answer.ts'
import { cutFailure, malformedFailure } from '../failures.ts'
import { parsedJson } from '../json.ts'
import type { ExchangeFailure } from '../provider.ts'
import { createSseDecoder } from '../sse.ts'
import { ContentEvents, type ContentOptions } from './content-events.ts'
import { createJsonArrayDecoder } from './json-array.ts'

/** What takes a streamed body apart into the texts of its chunks. */
interface Chunks {
  refusal(): string | undefined
  push(bytes: Buffer): string[]
  /** The body ended: what it may have left over. */
  end(): string[]
}

/** Decodes a streamed answer: server-sent events, or the list in pieces that comes without `alt=sse`. */
export function createContentStreamDecoder(options: ContentOptions): StreamDecoder {
  const content = new ContentEvents(options)
  let chunks: Chunks | undefined

  const take = (texts: readonly string[]): ExchangeFailure | undefined => {
    for (const text of texts) {
      const chunk = parsedJson(text)
      const failure = chunk === undefined ? malformedFailure('a chunk is not JSON') : content.take(chunk)
      if (failure) return failure
    }
    return undefined
  }

  return {
    facts: content.facts,
    push(bytes) {
      chunks ??= chunksOf(bytes)
      if (!chunks) return { events: [], failure: undefined }
      const failure = take(chunks.push(bytes))
      const refusal = chunks.refusal()
      return {
        events: content.taken(),
        failure: failure ?? (refusal === undefined ? undefined : malformedFailure(refusal)),
      }
    },
    end() {
      const last = take(chunks?.end() ?? [])
      // The end of the body cut a chunk in two: half of one does not parse.
      let failure = last?.kind === 'malformed' ? cutFailure() : last
      if (!failure) failure = content.hasFinished ? content.finish() : cutFailure()
      return { events: content.taken(), failure }
    },
  }
}

/** @returns undefined while nothing but white space has come, which means nothing in either form */
function chunksOf(bytes: Buffer): Chunks | undefined {
  const first = /\S/.exec(bytes.toString('latin1', 0, 64))?.[0]
  if (first === undefined) return undefined
  return first === '[' || first === '{' ? listChunks() : sseChunks()
}

function listChunks(): Chunks {
  const list = createJsonArrayDecoder()
  return { refusal: () => list.refusal, push: (bytes) => list.push(bytes), end: () => [] }
}

function sseChunks(): Chunks {
  const sse = createSseDecoder()
  const texts = (events: readonly { data: string }[]): string[] =>
    events.map(({ data }) => data).filter((data) => data.trim() !== '')
  return { refusal: () => sse.refusal, push: (bytes) => texts(sse.push(bytes)), end: () => texts(sse.end()) }
}

/** Decodes an answer that came whole into the same events a stream would give, in one burst. */
export function decodeContent(bytes: Buffer, options: ContentOptions): Decoded & { facts: AnswerFacts } {
  const content = new ContentEvents(options)
  const parsed = parsedJson(bytes.toString('utf8'))
  const failure =
    parsed === undefined
      ? malformedFailure(bytes.length === 0 ? 'the body is empty' : 'the body is not JSON')
      : (content.take(parsed) ?? content.finish())
  return { events: failure ? [] : content.taken(), failure, facts: content.facts }
}
