import type { FinishReason } from '../chat/event.ts'
import type { Usage } from '../usage/usage.ts'
import type { ExchangeFailure } from './provider.ts'

/** What an answer turned out to be, as far as it has come. */
export interface AnswerFacts {
  usage: Usage | undefined
  implausibleUsage: unknown
  /** See `ExchangeResult`. */
  oddFinish?: string | undefined
  finish: FinishReason | undefined
  /** UTF-8 bytes of text, reasoning and tool arguments received. */
  outputBytes: number
  providerResponseId: string | undefined
}

/**
 * Takes the body of a successful response as it comes, and passes on what the caller may have.
 * `push` and `finish` return a failure as soon as the answer is known to be none; no further call follows.
 */
export interface AnswerReader {
  readonly facts: AnswerFacts
  /** Whether the reader of the answer keeps up; false asks the upstream to pause. */
  readonly keepsUp: boolean
  push(chunk: Buffer): ExchangeFailure | undefined
  /** The body ended properly. */
  finish(): { failure: ExchangeFailure | undefined; tail: Buffer | undefined }
}

export const noFacts = (): AnswerFacts => ({
  usage: undefined,
  implausibleUsage: undefined,
  finish: undefined,
  outputBytes: 0,
  providerResponseId: undefined,
})

export function finishReasonFrom(reason: unknown): FinishReason {
  switch (reason) {
    case 'length':
    case 'content_filter':
      return reason
    case 'tool_calls':
    case 'function_call':
      return 'tool_calls'
    default:
      return 'stop'
  }
}
