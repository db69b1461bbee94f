import type { ChatEvent, FinishReason } from '../chat/event.ts'
import type { GatewayError } from '../errors.ts'
import type { Call, InferenceRequest, Operation } from '../inference/call.ts'
import type { Cancellation } from '../inference/cancellation.ts'
import type { Usage } from '../usage/usage.ts'

export const providerTypes = [
  'openai',
  'azure-openai',
  'openai-compatible',
  'anthropic',
  'bedrock',
  'vertex',
  'gemini',
  'demo',
] as const
export type ProviderType = (typeof providerTypes)[number]

/**
 * The port to an upstream. An adapter translates and only translates: it makes one attempt, reports what came, and
 * never retries. What went wrong is a value in the result; `exchange` rejects with a GatewayError for what it refuses
 * before anything is sent, and otherwise only on a bug.
 */
export interface Provider {
  readonly name: string
  readonly type: ProviderType
  /** The longest a whole call may take here. */
  readonly totalTimeoutMs: number
  exchange(call: UpstreamCall, output: AttemptOutput): Promise<ExchangeResult>
  close(): Promise<void>
}

export interface ProviderTimeouts {
  /** Until the response headers. */
  firstByteMs: number
  /** Between two chunks. */
  idleMs: number
  /** For the whole call. */
  totalMs: number
}

export interface UpstreamCall {
  requestId: string
  operation: Operation
  /** The upstream's name of the model. */
  model: string
  request: InferenceRequest
  /** As the call has it: `events` where the door could do nothing with OpenAI's own bytes. */
  answerForm: Call['answerForm']
  /** W3C Trace Context of this attempt; undefined when nobody follows it. */
  traceparent?: string | undefined
  cancellation: Cancellation
  /** Milliseconds left for the whole attempt; the adapter's own limits apply, too. */
  remainingMs: number
  /** What the upstream is told to answer at most, where the client has named no cap and a budget needs one. */
  outputTokensCap: number | undefined
  /** What the catalog says the model answers at most, for upstreams that insist on a cap. */
  modelOutputTokensMax: number | undefined
}

/** What an attempt has for the reader. Pieces that are not output yet are held back by the pipeline. */
export interface AttemptOutput {
  /**
   * Bytes of OpenAI's wire format: whole SSE frames.
   *
   * @param isOutput - whether a reader would miss them; false for role-only frames and comments
   * @returns false when the reader is slow: stop until `onceDrained` calls back
   */
  bytes(frames: Buffer, isOutput: boolean): boolean
  /** @returns as `bytes` */
  event(event: ChatEvent): boolean
  onceDrained(resume: () => void): void
  /** Where the adapter counts what it receives, for whoever asks before the end. */
  follow(facts: AttemptProgress): void
}

export interface AttemptProgress {
  /** Bytes of text, reasoning and tool arguments received so far. */
  readonly outputBytes: number
}

export interface ExchangeResult {
  /** Undefined when the answer came whole. */
  failure: ExchangeFailure | undefined
  /** What the provider reported, on whatever event it came. */
  usage: Usage | undefined
  /** The usage object as the provider sent it, when it made no sense (negative, fractional). */
  implausibleUsage: unknown
  finish: FinishReason | undefined
  /** The provider's own word for an end that is told as `stop` for want of a better one. */
  oddFinish?: string | undefined
  /** Bytes of text, reasoning and tool arguments received: the measure of what we count ourselves. */
  outputBytes: number
  httpStatus: number | undefined
  providerResponseId: string | undefined
  /** What is left to write once the call is settled: the last frame of a byte stream, or a whole unary answer. */
  tail: Buffer | undefined
}

export interface ExchangeFailure {
  error: GatewayError
  kind: 'connect' | 'status' | 'timeout' | 'cut' | 'malformed' | 'in-stream' | 'cancelled' | 'refused'
  /** `not_sent`: surely not billed; `maybe_billed`: the request was fully sent and nothing says what it cost. */
  billing: 'not_sent' | 'not_billed' | 'maybe_billed'
  /** Another target may succeed where this one failed. */
  retryable: boolean
  retryAfterMs: number | undefined
}
