import type { IncomingMessage } from 'node:http'
import { GatewayError } from '../../core/errors.ts'

/**
 * Reads a request body into one buffer; most bodies arrive in one piece and are not copied.
 *
 * @param failed - gets `request_too_large` as soon as more than `bytesMax` are announced or have come
 */
export function readBody(
  payload: IncomingMessage,
  bytesMax: number,
  done: (body: Buffer) => void,
  failed: (error: GatewayError) => void,
): void {
  const announced = Number(payload.headers['content-length'] ?? 0)
  if (announced > bytesMax) {
    failed(tooLarge(bytesMax))
    return
  }
  let first: Buffer | undefined
  let rest: Buffer[] | undefined
  let bytes = 0
  payload.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) {
      payload.removeAllListeners('data').removeAllListeners('end').resume()
      failed(tooLarge(bytesMax))
    } else if (!first) {
      first = chunk
    } else {
      rest ??= [first]
      rest.push(chunk)
    }
  })
  payload.on('end', () => done(rest ? Buffer.concat(rest, bytes) : (first ?? Buffer.alloc(0))))
  payload.on('error', (cause) => {
    // A client that leaves while it is answered is an error of its request, too.
    if (!payload.readableEnded) failed(new GatewayError('client_closed_request', 'The client left.', { cause }))
  })
}

const tooLarge = (bytesMax: number): GatewayError =>
  new GatewayError('request_too_large', `The request body is larger than the ${bytesMax} bytes this gateway accepts.`)
