import type { ChatEvent } from '../../chat/event.ts'
import { parsedJson } from '../json.ts'

type TextDelta = Extract<ChatEvent, { type: 'text-delta' }>

const contentMember = '"content":"'
/** What a string of JSON cannot have as it is. */
const needsParsing = /["\\]|[^\u0020-\uffff]/

/**
 * Nearly all chunks of a stream are the one before with another text in it. Such a one says nothing else that is new, so
 * only its text is read: parsing all of it is most of what a chunk costs.
 */
export class RepeatedChunk {
  #index = 0
  #head: string | undefined
  #tail = ''

  /** @param events - all that the chunk came to when it was parsed */
  learn(chunk: string, events: readonly ChatEvent[]): void {
    this.#head = undefined
    const [event, ...others] = events
    if (event?.type !== 'text-delta' || others.length > 0 || event.logprobs !== undefined) return
    const at = chunk.indexOf(contentMember)
    // Twice, and it would have to be known which one was meant.
    if (at === -1 || chunk.indexOf(contentMember, at + 1) !== -1) return
    const start = at + contentMember.length
    const end = closingQuote(chunk, start)
    if (textIn(chunk.slice(start, end)) !== event.text) return
    this.#index = event.index
    this.#head = chunk.slice(0, start)
    this.#tail = chunk.slice(end)
  }

  /** @returns undefined for a chunk that has to be parsed */
  read(chunk: string): TextDelta | undefined {
    const head = this.#head
    if (head === undefined || !chunk.startsWith(head) || !chunk.endsWith(this.#tail)) return undefined
    const end = chunk.length - this.#tail.length
    if (end <= head.length) return undefined
    const text = textIn(chunk.slice(head.length, end))
    return text === undefined ? undefined : { type: 'text-delta', index: this.#index, text }
  }
}

/** @returns where the string that began at `start` ends; the end of the chunk when it does not */
function closingQuote(chunk: string, start: number): number {
  for (let at = start; at < chunk.length; at++) {
    const character = chunk[at]
    if (character === '"') return at
    if (character === '\\') at++
  }
  return chunk.length
}

/** @param inside - of quotes. @returns undefined when that is no string of JSON */
function textIn(inside: string): string | undefined {
  return needsParsing.test(inside) ? (parsedJson(`"${inside}"`) as string | undefined) : inside
}
