import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../../core/errors.ts'

const headersMax = 100
const requestTimeoutMsMax = 3_600_000
const visibleAscii = /^[\x21-\x7e]{1,255}$/

/**
 * What must hold of the headers of every request, before its body is read: the body type is decided here, so that the
 * parser and the checks after it cannot disagree about it.
 *
 * @throws GatewayError invalid_header or unsupported_media_type
 */
export function checkHeaders(request: IncomingMessage): void {
  if (request.rawHeaders.length > headersMax * 2) {
    throw new GatewayError('invalid_header', `The request has more than ${headersMax} headers.`)
  }
  if (request.headers.host === undefined && request.httpVersion !== '1.0') {
    throw new GatewayError('invalid_header', 'The request has no Host header.')
  }
  if (request.method !== 'POST') return
  const type = request.headers['content-type']
  if (type === undefined || !isJson(type)) {
    throw new GatewayError('unsupported_media_type', 'Send the request body as application/json in UTF-8.')
  }
  if (request.headers['content-encoding'] !== undefined) {
    throw new GatewayError('unsupported_media_type', 'Send the request body without Content-Encoding.')
  }
}

const isJson = (type: string): boolean =>
  type === 'application/json' || /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type)

/**
 * The presented secret, from `Authorization: Bearer` or `api-key`; never from the URL.
 *
 * @throws GatewayError invalid_header when there are two, so that nobody has to guess which one counts
 */
export function credentialOf(request: IncomingMessage): string | undefined {
  const { rawHeaders } = request
  let value: string | undefined
  let isBearer = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    const isAuthorization = name.length === 13 && name.toLowerCase() === 'authorization'
    if (!isAuthorization && !(name.length === 7 && name.toLowerCase() === 'api-key')) continue
    if (value !== undefined) {
      throw new GatewayError('invalid_header', 'Send one credential: either Authorization: Bearer or api-key.')
    }
    value = rawHeaders[i + 1] as string
    isBearer = isAuthorization
  }
  if (value === undefined || !isBearer) return value
  return /^bearer +(.*)$/i.exec(value)?.[1] ?? ''
}

/** How the client named its request; anything but a short visible string is ignored. */
export function clientRequestIdOf(request: IncomingMessage): string | undefined {
  const id = request.headers['x-request-id'] ?? request.headers['x-client-request-id']
  return typeof id === 'string' && visibleAscii.test(id) ? id : undefined
}

/**
 * What the client calls all its attempts at one request.
 *
 * @throws GatewayError invalid_header; a key that is left out of account would let a request be billed twice
 */
export function idempotencyKeyOf(request: IncomingMessage): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  // Several of them arrive as one text with commas and spaces.
  if (typeof key === 'string' && visibleAscii.test(key)) return key
  throw new GatewayError('invalid_header', 'Idempotency-Key must be one key of 1 to 255 visible ASCII characters.')
}

/**
 * The client's own limit on the whole call.
 *
 * @throws GatewayError invalid_header
 */
export function requestTimeoutMsOf(request: IncomingMessage): number | undefined {
  const value = request.headers['x-request-timeout-ms']
  if (value === undefined) return undefined
  const timeoutMs = Number(value)
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1) {
    throw new GatewayError('invalid_header', 'x-request-timeout-ms must be a whole number of milliseconds.')
  }
  return Math.min(timeoutMs, requestTimeoutMsMax)
}
