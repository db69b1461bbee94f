import { constants } from 'node:http2'
import { Metadata, type ServerUnaryCall, type ServerWritableStream, type StatusObject } from '@grpc/grpc-js'
import type { ChatEvent } from '../../core/chat/event.ts'
import { GatewayError } from '../../core/errors.ts'
import type { AnswerRecording } from '../../core/idempotency/answer-recording.ts'
import type { StoredAnswer } from '../../core/idempotency/stored-answer.ts'
import type { AnswerHead, AnswerSink } from '../../core/inference/call.ts'
import { Cancellation } from '../../core/inference/cancellation.ts'
import type { LimitState } from '../../core/limits/limiter.ts'
import type { UsageEnd } from '../../core/usage/usage-record.ts'
import type { OpenAnswer, OpenAnswers } from '../open-answers.ts'
import { addRateLimits, errorStatus } from './error-status.ts'
import { http2StreamOf } from './grpc-js-internals.ts'
import { MessageRecording, recordedAnswer } from './recorded-messages.ts'

/** What is left of a deadline when a client leaves because of it: what its request took to get here, at most. */
const deadlineSlackMs = 100

export type ServerCall = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>

export interface OpenCallDeps {
  requestId: string
  /** As the client named it. */
  requestedModel: string
  open: OpenAnswers
  nowMs(): number
  serialize(message: object): Buffer
}

/** One answer over gRPC, of either kind of method: its head, its end, and what becomes of a reader that leaves. */
export abstract class OpenCall implements AnswerSink, OpenAnswer {
  readonly door = 'grpc'
  abstract readonly isStream: boolean
  slot = -1
  readonly cancellation = new Cancellation()
  protected readonly deps: OpenCallDeps
  protected isClosed = false
  protected lastWriteMs: number
  protected limits: LimitState | undefined
  readonly #call: ServerCall
  #isEnded = false
  #partsOpen = 2
  #recording: MessageRecording | undefined

  constructor(call: ServerCall, deps: OpenCallDeps) {
    this.#call = call
    this.deps = deps
    this.lastWriteMs = deps.nowMs()
    deps.open.add(this)
    // Emitted when the stream closes, also after an answer that went well.
    call.on('cancelled', () => this.#closed())
    if (call.cancelled) this.#closed()
  }

  /** The pipeline is through with this call; it stays open until its stream is, too. */
  settled(): void {
    this.#partDone()
  }

  abort(reason: GatewayError): void {
    this.cancellation.cancel(reason)
  }

  look(nowMs: number): void {
    if (nowMs - this.lastWriteMs <= this.deps.open.limits.stalledMs || !(this.#isEnded || this.isWaiting())) return
    this.abort(new GatewayError('client_closed_request', 'The client took nothing for too long.'))
    http2StreamOf(this.#call)?.close(constants.NGHTTP2_CANCEL)
  }

  open(head: AnswerHead): void {
    this.limits = head.limits
    if (this.isClosed) return
    const metadata = new Metadata()
    metadata.set('x-request-id', this.deps.requestId)
    metadata.set('x-llmgw-provider', head.provider)
    metadata.set('x-llmgw-model', metadataSafe(head.model))
    metadata.set('x-llmgw-attempts', String(head.attempts))
    this.#call.sendMetadata(metadata)
    this.opened(head)
  }

  /** Nothing of an answer as bytes is passed on: calls of this door ask for events. */
  bytes(): boolean {
    return true
  }

  abstract event(event: ChatEvent): boolean
  abstract onceDrained(resume: () => void): void

  end(tail: Buffer | undefined, record: UsageEnd): void {
    if (this.isClosed) return
    let last: Buffer
    try {
      last = this.lastMessage(tail, record)
    } catch (cause) {
      const message = 'The provider sent an answer that is not what was asked for.'
      this.fail(new GatewayError('provider_bad_response', message, { cause }))
      return
    }
    this.#recording?.message(last)
    this.#recording?.end(undefined)
    const trailer = new Metadata()
    addRateLimits(trailer, this.limits)
    this.#ended()
    this.finish(last, trailer)
  }

  fail(error: GatewayError): void {
    if (this.isClosed) return
    const status = errorStatus(error, this.deps.requestId, Math.random())
    addRateLimits(status.metadata, this.limits)
    this.#recording?.end(status)
    this.#ended()
    this.finishWith(status)
  }

  record(recording: AnswerRecording): void {
    this.#recording = new MessageRecording(recording)
  }

  replay(answer: StoredAnswer): void {
    if (this.isClosed) return
    const { messages, failure } = recordedAnswer(answer)
    const told = failure?.metadata ?? new Metadata()
    told.set('x-request-id', this.deps.requestId)
    told.set('x-llmgw-original-request-id', answer.requestId)
    told.set('idempotent-replayed', 'true')
    this.#ended()
    if (failure) {
      for (const message of messages) this.repeat(message)
      this.finishWith(failure)
      return
    }
    for (const message of messages.slice(0, -1)) this.repeat(message)
    this.finish(messages[messages.length - 1] ?? Buffer.alloc(0), told)
  }

  /** Whether there is something that the reader has not taken. */
  protected abstract isWaiting(): boolean
  /** The head is out. */
  protected abstract opened(head: AnswerHead): void
  protected abstract lastMessage(tail: Buffer | undefined, record: UsageEnd): Buffer
  /** A message before the last one of an answer that was recorded. */
  protected abstract repeat(message: Buffer): void
  protected abstract finish(last: Buffer, trailer: Metadata): void
  protected abstract finishWith(failure: StatusObject): void

  protected recordMessage(bytes: Buffer): void {
    this.#recording?.message(bytes)
  }

  #ended(): void {
    this.#isEnded = true
    this.lastWriteMs = this.deps.nowMs()
  }

  #closed(): void {
    if (this.isClosed) return
    this.isClosed = true
    if (!this.#isEnded) this.abort(this.#reasonOfLeaving())
    this.#partDone()
  }

  /** Clients end a call at its deadline, and grpc-js does, each by its own clock and a moment before the pipeline. */
  #reasonOfLeaving(): GatewayError {
    const deadline = this.#call.getDeadline()
    const isOver = Date.now() + deadlineSlackMs >= (typeof deadline === 'number' ? deadline : deadline.getTime())
    return isOver
      ? new GatewayError('provider_timeout', 'The provider did not finish its answer within the deadline of the call.')
      : new GatewayError('client_closed_request', 'The client left.')
  }

  #partDone(): void {
    if (--this.#partsOpen === 0) this.deps.open.delete(this)
  }
}

/** Model names of pass-through providers come from clients and may hold anything. */
const metadataSafe = (text: string): string =>
  /^[\x20-\x7e]*$/.test(text) ? text : encodeURIComponent(text.toWellFormed())
