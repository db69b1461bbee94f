import type { Dispatcher } from 'undici'
import { GatewayError } from '../errors.ts'
import type { Cancellation } from '../inference/cancellation.ts'
import type { UpstreamOrigin } from '../upstream/upstream-client.ts'
import { type AnswerFacts, type AnswerReader, noFacts } from './answer-reader.ts'
import { connectionFailure, malformedFailure, type ResponseHeaders } from './failures.ts'
import type { AttemptOutput, ExchangeFailure, ExchangeResult, UpstreamCall } from './provider.ts'

export interface ExchangeRequest {
  path: string
  headers: string[]
  body: Buffer | null
  stream: boolean
  /** The media types that a streamed answer may have; `text/event-stream` unless given. */
  streamTypes?: readonly string[]
  /** What an answer with another status than 200 means; its body may be cut or nonsense. */
  readError(status: number, headers: ResponseHeaders, body: Buffer): ExchangeFailure
  firstByteTimeoutMs: number
  idleTimeoutMs: number
  cancellation: Cancellation
}

/** For the headers of a request, in the order that undici takes them. */
export const traceHeaders = ({ traceparent }: Pick<UpstreamCall, 'traceparent'>): string[] =>
  traceparent === undefined ? [] : ['traceparent', traceparent]

const eventStream = ['text/event-stream']

/** Enough of an error body to read its message from. */
const errorBodyBytesMax = 64 * 1024

/**
 * Sends one request over HTTP and reads its answer, with what makes an upstream an upstream: the caller leaving aborts
 * it, a slow caller pauses it, and whatever goes wrong becomes a value. Resolves once nothing more can come.
 */
export function exchange(
  origin: UpstreamOrigin,
  request: ExchangeRequest,
  output: AttemptOutput,
  reader: AnswerReader,
): Promise<ExchangeResult> {
  return new Promise((resolve) => {
    const handler = new ExchangeHandler(request, output, reader, resolve)
    if (request.cancellation.reason) handler.cancel()
    else {
      origin.dispatch(
        {
          method: 'POST',
          path: request.path,
          headers: request.headers,
          body: request.body,
          headersTimeoutMs: request.firstByteTimeoutMs,
          idleTimeoutMs: request.idleTimeoutMs,
        },
        handler,
      )
    }
  })
}

class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #request: ExchangeRequest
  readonly #output: AttemptOutput
  readonly #reader: AnswerReader
  #resolve: ((result: ExchangeResult) => void) | undefined
  #controller: Dispatcher.DispatchController | undefined
  #sent = false
  #status: number | undefined
  #headers: ResponseHeaders = {}
  #errorBody: Buffer[] | undefined
  #errorBytes = 0
  readonly #resume = (): void => this.#controller?.resume()

  constructor(
    request: ExchangeRequest,
    output: AttemptOutput,
    reader: AnswerReader,
    resolve: (result: ExchangeResult) => void,
  ) {
    this.#request = request
    this.#output = output
    this.#reader = reader
    this.#resolve = resolve
    request.cancellation.listen(() => this.cancel())
    output.follow(reader.facts)
  }

  /** The caller left, time is up, or the gateway stops: whatever the signal says. */
  cancel(): void {
    const error = this.#request.cancellation.reason ?? new GatewayError('client_closed_request', 'The client left.')
    this.#fail({
      error,
      kind: error.code === 'provider_timeout' ? 'timeout' : 'cancelled',
      billing: this.#sent ? 'maybe_billed' : 'not_sent',
      retryable: false,
      retryAfterMs: undefined,
    })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (!this.#resolve) controller.abort(new Error('The caller has left.'))
  }

  onRequestSent(): void {
    this.#sent = true
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#status = status
    this.#headers = headers
    if (status !== 200) {
      this.#errorBody = []
      return
    }
    const encoding = headers['content-encoding']
    const type = String(headers['content-type'] ?? '')
    if (encoding !== undefined && encoding !== 'identity') {
      this.#fail(malformedFailure('a compressed body that was not asked for'))
    } else if (
      this.#request.stream &&
      !(this.#request.streamTypes ?? eventStream).some((one) => type.startsWith(one))
    ) {
      this.#fail(malformedFailure('a body that is no event stream'))
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#resolve) return
    if (this.#errorBody) {
      this.#errorBytes += chunk.length
      if (this.#errorBytes <= errorBodyBytesMax) this.#errorBody.push(chunk)
      else this.#fail(this.#errorFailure())
      return
    }
    const failure = this.#reader.push(chunk)
    if (failure) {
      this.#fail(failure)
    } else if (!this.#reader.keepsUp) {
      controller.pause()
      this.#output.onceDrained(this.#resume)
    }
  }

  onResponseEnd(): void {
    if (!this.#resolve) return
    if (this.#errorBody) {
      this.#fail(this.#errorFailure())
      return
    }
    const { failure, tail } = this.#reader.finish()
    this.#settle(failure, tail)
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (!this.#resolve) return
    this.#settle(this.#errorBody ? this.#errorFailure() : connectionFailure(error, this.#sent), undefined)
  }

  #errorFailure(): ExchangeFailure {
    const body = Buffer.concat(this.#errorBody ?? [])
    return this.#request.readError(this.#status ?? 502, this.#headers, body)
  }

  #fail(failure: ExchangeFailure): void {
    this.#settle(failure, undefined)
    this.#controller?.abort(failure.error)
  }

  #settle(failure: ExchangeFailure | undefined, tail: Buffer | undefined): void {
    const resolve = this.#resolve
    if (!resolve) return
    this.#resolve = undefined
    this.#request.cancellation.listen(undefined)
    const facts: AnswerFacts = this.#errorBody ? noFacts() : this.#reader.facts
    resolve({
      failure,
      usage: facts.usage,
      implausibleUsage: facts.implausibleUsage,
      finish: facts.finish,
      oddFinish: facts.oddFinish,
      outputBytes: facts.outputBytes,
      providerResponseId: facts.providerResponseId,
      httpStatus: this.#status,
      tail,
    })
  }
}
