import type { Http2Server, ServerHttp2Stream } from 'node:http2'
import type { Server } from '@grpc/grpc-js'

/**
 * The two places where we reach into grpc-js 1.14, which has no public way to what they give. Each returns undefined, or
 * nothing, when a later version is built otherwise; test/grpc proves that this one is not.
 */

/** The HTTP/2 servers behind a server: those that connections are handed to. */
export function http2ServersOf(server: Server): Iterable<Http2Server> {
  return (server as unknown as { http2Servers?: Map<Http2Server, unknown> }).http2Servers?.keys() ?? []
}

interface Wrapped {
  call?: Wrapped
  nextCall?: Wrapped
  stream?: ServerHttp2Stream
}

/** The HTTP/2 stream of a call: what a reader that takes nothing is cut off by. */
export function http2StreamOf(call: object): ServerHttp2Stream | undefined {
  let inner: Wrapped | undefined = call as Wrapped
  while (inner && !inner.stream) inner = inner.call ?? inner.nextCall
  return inner?.stream
}
