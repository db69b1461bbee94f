/**
 * What the provider shall do with one call. It travels in the text of the prompt, so that every call says by itself
 * what becomes of it, whichever replica it goes through.
 */
export interface ProviderScript {
  /** Silence before the answer. */
  afterMs?: number
  /** Silence until `releaseGate` opens the gate of this name; the gate stays open. */
  gate?: string
  /** Pieces of a streamed answer, each a word. */
  chunks?: number
  /** Between two of them. */
  everyMs?: number
  /** What the usage says; as many as there are chunks, when absent. */
  outputTokens?: number
  /** `given` unless it says otherwise. */
  usage?: UsageKind
  /** Breaks the connection off: a stream after so many chunks, another answer in its middle. */
  cutAfterChunks?: number
  /** Answers with this status, and an error. */
  status?: number
  /** Never answers. */
  hang?: true
}

export type UsageKind = 'given' | 'none' | 'negative' | 'fractional' | 'huge'

/** Tokens of every prompt, by the provider's count. */
export const promptTokens = 10

/** What a usage that makes no sense looks like. */
export const absurdTokens = { negative: -5, fractional: 2.5, huge: 1e21 } as const

const mark = 'script:'

export const promptOf = (script: ProviderScript): string => `${mark}${JSON.stringify(script)}`

/** @returns the script of the last message, or an empty one */
export function scriptOf(messages: unknown): ProviderScript {
  const content = Array.isArray(messages) ? messages.at(-1)?.content : undefined
  return typeof content === 'string' && content.startsWith(mark) ? JSON.parse(content.slice(mark.length)) : {}
}
