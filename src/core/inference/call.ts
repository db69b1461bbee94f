import type { ChatEvent } from '../chat/event.ts'
import { GatewayError } from '../errors.ts'
import type { AnswerRecording } from '../idempotency/answer-recording.ts'
import type { StoredAnswer } from '../idempotency/stored-answer.ts'
import type { Caller } from '../keys/caller.ts'
import type { LimitState } from '../limits/limiter.ts'
import type { UsageEnd } from '../usage/usage-record.ts'
import type { CallTrace } from './call-trace.ts'
import type { Cancellation } from './cancellation.ts'
import type { Span } from './json-scan.ts'

export type Operation = 'chat' | 'embeddings'
export type Door = 'rest' | 'grpc'

/** What a door hands to the pipeline: one request, already parsed and within the door's limits. */
export interface Call {
  /** Ours, UUIDv7; the identity of the call in every record, log line and answer. */
  requestId: string
  door: Door
  operation: Operation
  /** Whose key the client presented; doors authenticate before they read a body. */
  caller: Caller
  request: InferenceRequest
  /** `events` for a door that writes no OpenAI bytes; `any` lets them pass untouched where the upstream speaks them. */
  answerForm: 'any' | 'events'
  /** What the client named its request, stored as data and never used as a key. */
  clientRequestId: string | undefined
  /** Undefined for a client that sent no `Idempotency-Key`. */
  idempotency: IdempotencyRequest | undefined
  /** A header or a metadata entry of the request, by its name in small letters. */
  header(name: string): string | undefined
  cancellation: Cancellation
  /** The client's own limit on the whole call, in milliseconds; undefined means the provider's. */
  timeoutMs: number | undefined
  /** When the request arrived, by the monotonic clock. */
  startedMs: number
  /** The pipeline's; undefined for a call that nobody follows. */
  trace?: CallTrace | undefined
}

/** What a client that repeats its requests wants to be done once. */
export interface IdempotencyRequest {
  /** The client's name for it: 1 to 255 visible ASCII characters, of meaning to its virtual key alone. */
  key: string
  /** Method and path: the same key at another place is another request, and its answer has another form. */
  target: string
}

/**
 * The request in OpenAI's form: the fields the gateway acts on, and everything else untouched, so that a provider's
 * new field works on the day it ships.
 */
export interface InferenceRequest {
  /** As the client named it: an alias, `provider/model`, or a bare model name. */
  model: string
  stream: boolean
  /** The client wants the usage chunk at the end of a stream. */
  includeUsage: boolean
  /** `max_completion_tokens` or `max_tokens`; undefined when the client set none. */
  outputTokensMax: number | undefined
  /** `n`: how many answers to one prompt. */
  choices: number
  /** `user`, as the client sent it. */
  endUser: string | undefined
  /** Embeddings only: how the client wants vectors encoded. */
  encodingFormat: 'float' | 'base64'
  /** The whole request as it came over the wire: UTF-8 JSON, one object, no member twice. See `parsedRequest`. */
  bytes: Buffer
  /** Where each top-level member stands in `bytes`. */
  spans: ReadonlyMap<string, Span>
  /** Our estimate of the prompt in tokens, for what the provider does not count for us. */
  inputTokensEstimate: number
}

/**
 * The whole request, parsed anew: a relayed call never needs it again, and must not hold on to it while it streams.
 *
 * @throws GatewayError invalid_json: the structure of a request has been checked, the inside of its texts may not
 */
export function parsedRequest({ bytes }: InferenceRequest): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new GatewayError('invalid_json', 'The request body is not valid JSON.')
  }
}

/** Known when the first output is about to be passed on. */
export interface AnswerHead {
  provider: string
  /** The upstream's name of the model. */
  model: string
  /** How many upstream attempts were made, this one included. */
  attempts: number
  /** How pieces arrive: bytes of OpenAI's own wire format, or canonical events that the door encodes. */
  form: 'openai-bytes' | 'events'
  /** What is left of the caller's limits; undefined without any. */
  limits?: LimitState | undefined
}

/**
 * Where an answer goes; each door implements it over its wire. The pipeline calls `open` at most once, then any number
 * of pieces of the form that `open` named, then exactly one of `end` and `fail`. `fail` may come without `open`.
 * `replay` comes alone.
 * Nothing here throws: a reader that has left is reported by cancelling the call.
 */
export interface AnswerSink {
  open(head: AnswerHead): void
  /** @returns false when the reader is slow: stop until `onceDrained` calls back */
  bytes(piece: Buffer): boolean
  /** @returns as `bytes` */
  event(event: ChatEvent): boolean
  onceDrained(resume: () => void): void
  /**
   * The answer is whole and accounted for.
   *
   * @param tail - the rest of a byte answer: its last frame, or all of a unary one
   * @param record - what the call came to
   */
  end(tail: Buffer | undefined, record: UsageEnd): void
  fail(error: GatewayError): void
  /** From now on the recording gets a copy of what the door writes. Called before anything else, or not at all. */
  record(recording: AnswerRecording): void
  /** Writes an answer that a door of this kind has recorded, whole and at once. */
  replay(answer: StoredAnswer): void
}
