import type { Dispatcher } from 'undici'
import { AddressRefusedError } from './address-guard.ts'
import { messageOf } from './error-message.ts'
import type { UpstreamClient } from './upstream-client.ts'

/** One request that is no inference: for a token, a price list, a webhook. */
export interface OutboundRequest {
  method: 'GET' | 'POST'
  /** May have a query, without secrets in it. */
  url: string
  /** Secrets belong here, or into the body. */
  headers?: Readonly<Record<string, string>>
  body?: string
  /** Of the answer's body. */
  bytesMax?: number
  /** From the beginning until the answer is whole. */
  timeoutMs?: number
  signal?: AbortSignal
}

export interface OutboundAnswer {
  /** Of any kind but a redirect. */
  status: number
  headers: Readonly<Record<string, string | string[] | undefined>>
  text: string
}

/** No answer that could be used. The message is fit to show to an operator: it has the host, and no secret. */
export class RequestError extends Error {
  readonly kind: 'refused' | 'unreachable' | 'timeout' | 'cancelled' | 'unusable'

  constructor(kind: RequestError['kind'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

const bytesMaxDefault = 1024 * 1024
const timeoutMsDefault = 30_000

/**
 * Sends one request over the guarded way out. Redirects are not followed, bodies are bounded and never decompressed.
 *
 * @throws RequestError
 */
export async function request(
  client: UpstreamClient,
  {
    method,
    url,
    headers = {},
    body,
    bytesMax = bytesMaxDefault,
    timeoutMs = timeoutMsDefault,
    signal,
  }: OutboundRequest,
): Promise<OutboundAnswer> {
  const { origin, path, host } = openUrl(client, url)
  const deadline = AbortSignal.timeout(timeoutMs)
  const given = signal ? AbortSignal.any([signal, deadline]) : deadline
  const list = ['accept-encoding', 'identity', 'user-agent', 'llmgw', ...Object.entries(headers).flat()]
  let giveUp: (() => void) | undefined
  try {
    return await new Promise<OutboundAnswer>((resolve, reject) => {
      const fail = (error: Error): void => reject(toRequestError(error, host))
      const reader = new BodyReader({ host, bytesMax, resolve, fail })
      giveUp = () => {
        const error = deadline.aborted
          ? new RequestError('timeout', `${host} did not answer within ${timeoutMs} ms.`)
          : new RequestError('cancelled', `The request to ${host} was given up.`, { cause: signal?.reason })
        fail(error)
        reader.abort(error)
      }
      if (given.aborted) return giveUp()
      given.addEventListener('abort', giveUp)
      const bytes = body === undefined ? null : Buffer.from(body)
      const timeouts = { headersTimeoutMs: timeoutMs, idleTimeoutMs: timeoutMs }
      origin.dispatch({ method, path, headers: list, body: bytes, ...timeouts }, reader)
    })
  } finally {
    if (giveUp) given.removeEventListener('abort', giveUp)
    await origin.close()
  }
}

/** A list of some megabytes may come over a slow line. */
const textTimeoutMs = 300_000

/**
 * The text at a URL.
 *
 * @throws RequestError, also when the answer is not 200
 */
export async function requestText(
  client: UpstreamClient,
  url: string,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<string> {
  const { status, text } = await request(client, {
    method: 'GET',
    url,
    bytesMax: maxBytes,
    timeoutMs: textTimeoutMs,
    signal,
  })
  if (status !== 200) throw new RequestError('unusable', `The server answered ${status}.`)
  return text
}

function openUrl(client: UpstreamClient, text: string) {
  const url = URL.parse(text)
  const query = url?.search ?? ''
  if (url) url.search = ''
  try {
    const origin = client.openOrigin(url?.href ?? text)
    return { origin, path: (url?.pathname ?? '/') + query, host: url?.host ?? '' }
  } catch (error) {
    throw new RequestError('refused', messageOf(error), { cause: error })
  }
}

interface BodyReaderOptions {
  host: string
  bytesMax: number
  resolve(answer: OutboundAnswer): void
  fail(error: Error): void
}

class BodyReader implements Dispatcher.DispatchHandler {
  readonly #options: BodyReaderOptions
  readonly #chunks: Buffer[] = []
  #controller: Dispatcher.DispatchController | undefined
  #aborted: Error | undefined
  #bytes = 0
  #status = 0
  #headers: OutboundAnswer['headers'] = {}

  constructor(options: BodyReaderOptions) {
    this.#options = options
  }

  abort(error: Error): void {
    this.#aborted = error
    this.#controller?.abort(error)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#aborted) controller.abort(this.#aborted)
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: OutboundAnswer['headers']): void {
    this.#status = status
    this.#headers = headers
    const { host } = this.#options
    const encoding = headers['content-encoding']
    if (status >= 300 && status < 400) {
      controller.abort(new RequestError('unusable', redirectMessage(host, status, headers.location)))
    } else if (encoding !== undefined && encoding !== 'identity') {
      const message = `${host} answered with a compressed body (${encoding}), which was not asked for.`
      controller.abort(new RequestError('unusable', message))
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bytes += chunk.length
    const { bytesMax, host } = this.#options
    if (this.#bytes <= bytesMax) this.#chunks.push(chunk)
    else controller.abort(new RequestError('unusable', `The answer of ${host} has more than ${bytesMax} bytes.`))
  }

  onResponseEnd(): void {
    const text = Buffer.concat(this.#chunks).toString('utf8')
    this.#options.resolve({ status: this.#status, headers: this.#headers, text })
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#options.fail(error)
  }
}

/** Only the origin of where it leads is shown: the rest may be signed. */
function redirectMessage(host: string, status: number, location: string | string[] | undefined): string {
  const target = URL.parse(String(location), `https://${host}`)
  const where = target && target.host !== host ? ` to ${target.host}` : ''
  return `${host} redirects${where} (HTTP ${status}), which is not followed; set the URL that answers itself.`
}

function toRequestError(error: Error, host: string): RequestError {
  if (error instanceof RequestError) return error
  if (error instanceof AddressRefusedError) return new RequestError('refused', error.message, { cause: error })
  const code = 'code' in error ? error.code : undefined
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new RequestError('timeout', `${host} was silent for too long.`, { cause: error })
  }
  return new RequestError('unreachable', `${host} could not be reached: ${messageOf(error)}`, { cause: error })
}
