import type { ServerResponse } from 'node:http'
import type { ChatEvent } from '../../core/chat/event.ts'
import { GatewayError } from '../../core/errors.ts'
import type { AnswerRecording } from '../../core/idempotency/answer-recording.ts'
import type { StoredAnswer } from '../../core/idempotency/stored-answer.ts'
import type { AnswerHead, AnswerSink, InferenceRequest } from '../../core/inference/call.ts'
import { Cancellation } from '../../core/inference/cancellation.ts'
import type { OpenAnswer, OpenAnswers } from '../open-answers.ts'
import { rateLimitHeaders } from '../rate-limit-headers.ts'
import { type ChatEncoder, createChatEncoder } from './chat-encoder.ts'
import { errorBody, errorReply, sendReply } from './error-reply.ts'
import { EventStreamBody } from './event-stream-body.ts'

const stringBodyBytesMax = 16 * 1024
const eventStreamType = 'text/event-stream; charset=utf-8'
const heartbeat = ': keep-alive\n\n'
const eventStreamHeaders = ['cache-control', 'no-cache', 'x-accel-buffering', 'no'] as const

/**
 * One answer over HTTP. Bytes of a relayed answer go out as they came; events are encoded here. The response is
 * written on `node:http` directly: a framework's reply per chunk would cost more than the chunk.
 */
export class RestAnswer implements AnswerSink, OpenAnswer {
  readonly response: ServerResponse
  readonly door = 'rest'
  slot = -1
  readonly cancellation = new Cancellation()
  readonly #requestId: string
  readonly #request: Pick<InferenceRequest, 'model' | 'stream' | 'includeUsage'>
  readonly #open: OpenAnswers
  readonly #nowMs: () => number
  #lastWriteMs: number
  #isLeftToSocket = false
  #partsOpen = 2
  #head: AnswerHead | undefined
  #encoder: ChatEncoder | undefined
  #recording: AnswerRecording | undefined
  #body: EventStreamBody | undefined

  constructor(
    response: ServerResponse,
    requestId: string,
    { model, stream, includeUsage }: InferenceRequest,
    open: OpenAnswers,
    nowMs: () => number,
  ) {
    this.response = response
    this.#requestId = requestId
    // Only these: an open stream must not keep the whole request body in memory.
    this.#request = { model, stream, includeUsage }
    this.#open = open
    this.#nowMs = nowMs
    this.#lastWriteMs = nowMs()
    open.add(this)
    response.on('close', () => {
      this.#partDone()
      if (!response.writableFinished) this.abort(new GatewayError('client_closed_request', 'The client left.'))
    })
  }

  get isStream(): boolean {
    return this.#request.stream
  }

  look(nowMs: number): void {
    const { response } = this
    const { heartbeatMs, stalledMs } = this.#open.limits
    if (response.writableEnded) {
      this.#leaveToSocket(stalledMs)
      return
    }
    const silentMs = nowMs - this.#lastWriteMs
    if (response.writableNeedDrain) {
      if (silentMs > stalledMs) response.destroy()
    } else if (this.#body && silentMs > heartbeatMs) {
      this.#lastWriteMs = nowMs
      response.write(heartbeat)
    }
  }

  /** We have nothing left to write: whether its reader takes what is still waiting, only the socket can tell. */
  #leaveToSocket(stalledMs: number): void {
    if (this.#isLeftToSocket) return
    this.#isLeftToSocket = true
    this.response.setTimeout(stalledMs, () => this.response.destroy())
  }

  abort(reason: GatewayError): void {
    this.cancellation.cancel(reason)
  }

  /** The pipeline is through with this answer; it stays open until the response is, too. */
  settled(): void {
    this.#partDone()
  }

  #partDone(): void {
    if (--this.#partsOpen === 0) this.#open.delete(this)
  }

  open(head: AnswerHead): void {
    this.#head = head
    if (head.form === 'events') {
      this.#encoder = createChatEncoder({ requestId: this.#requestId, request: this.#request })
    }
    if (!this.#request.stream || this.response.destroyed) return
    this.#recording?.start(200, eventStreamType)
    this.response.writeHead(200, ['content-type', eventStreamType, ...eventStreamHeaders, ...this.#answerHeaders(head)])
    this.#body = new EventStreamBody(this.response)
  }

  bytes(piece: Buffer): boolean {
    this.#lastWriteMs = this.#nowMs()
    this.#recording?.bytes(piece)
    return this.#body?.write(piece) ?? true
  }

  event(event: ChatEvent): boolean {
    const bytes = this.#encoder?.encode(event)
    return bytes === undefined || this.bytes(bytes)
  }

  onceDrained(resume: () => void): void {
    if (this.response.destroyed) return
    if (this.response.writableNeedDrain) this.response.once('drain', resume)
    else resume()
  }

  end(tail: Buffer | undefined): void {
    const { response } = this
    if (response.destroyed) return
    const last = this.#encoder ? this.#encoder.end() : (tail ?? Buffer.alloc(0))
    if (this.#body || !this.#head) {
      this.#recordRest(last)
      this.#body?.end(last)
      return
    }
    this.#recording?.start(200, 'application/json')
    this.#recordRest(last)
    response.writeHead(200, [
      'content-type',
      'application/json',
      'content-length',
      String(last.length),
      ...this.#answerHeaders(this.#head),
    ])
    // Head and a short body leave in one write when the body is a string; latin1 keeps its bytes as they are.
    if (last.length <= stringBodyBytesMax) response.end(last.toString('latin1'), 'latin1')
    else response.end(last)
  }

  fail(error: GatewayError): void {
    const { response } = this
    if (response.destroyed) return
    if (this.#body) {
      const last = Buffer.from(`data: ${errorBody(error, this.#requestId)}\n\n`)
      this.#recordRest(last)
      this.#body.end(last)
    } else {
      const reply = errorReply(error, this.#requestId, Math.random())
      this.#recording?.start(reply.status, 'application/json')
      this.#recordRest(Buffer.from(reply.body))
      sendReply(response, reply)
    }
  }

  record(recording: AnswerRecording): void {
    this.#recording = recording
  }

  #recordRest(last: Buffer): void {
    this.#recording?.bytes(last)
    this.#recording?.end()
  }

  replay({ status, contentType, body, requestId }: StoredAnswer): void {
    const { response } = this
    if (response.destroyed) return
    response.writeHead(status, [
      'content-type',
      contentType,
      'content-length',
      String(body.length),
      ...(contentType === eventStreamType ? eventStreamHeaders : []),
      'x-request-id',
      this.#requestId,
      'x-llmgw-original-request-id',
      requestId,
      'idempotent-replayed',
      'true',
      // With this key it would be the same again.
      ...(status >= 400 ? ['x-should-retry', 'false'] : []),
    ])
    response.end(body)
  }

  #answerHeaders({ provider, model, attempts, limits }: AnswerHead): string[] {
    return [
      'x-request-id',
      this.#requestId,
      'x-llmgw-provider',
      provider,
      'x-llmgw-model',
      headerSafe(model),
      'x-llmgw-attempts',
      String(attempts),
      ...rateLimitHeaders(limits),
    ]
  }
}

/** Model names of pass-through providers come from clients and may hold anything. */
const headerSafe = (text: string): string =>
  /^[\x20-\x7e]*$/.test(text) ? text : encodeURIComponent(text.toWellFormed())
