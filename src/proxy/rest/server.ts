import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Clock } from '../../core/clock.ts'
import { GatewayError } from '../../core/errors.ts'
import type { IdSource } from '../../core/ids.ts'
import type { Pipeline } from '../../core/inference/pipeline.ts'
import type { Caller } from '../../core/keys/caller.ts'
import type { Log } from '../../core/log.ts'
import type { RoutingSnapshot } from '../../core/routing/snapshot.ts'
import type { OpenAnswers } from '../open-answers.ts'
import { errorBody, sendError } from './error-reply.ts'
import { checkHeaders, credentialOf } from './headers.ts'
import { createInferenceHandler } from './inference-handler.ts'
import { registerModelRoutes } from './model-routes.ts'

export interface RestServerDeps {
  pipeline: Pipeline
  snapshot(): RoutingSnapshot
  /** Of all doors. */
  open: OpenAnswers
  isOverloaded(): boolean
  clock: Clock
  ids: IdSource
  log: Log
  limits: RestLimits
}

export interface RestLimits {
  bodyBytes: number
  headersTimeoutMs: number
  bodyTimeoutMs: number
}

export interface RestServer {
  listen(host: string, port: number): Promise<AddressInfo>
  /** No connection and no request any more; what is under way goes on. */
  stopAccepting(): void
  close(): Promise<void>
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller | null
  }
}

const headerBytesMax = 16 * 1024
const keepAliveMs = 65_000
const listenBacklog = 8_192
/** How long a client may take to read why its connection is closed. */
const lingerMs = 2_000

export function createRestServer(deps: RestServerDeps): RestServer {
  const { limits } = deps
  let isDraining = false
  const takesInference = createInferenceHandler({ ...deps, isDraining: () => isDraining })
  const app = Fastify({
    logger: false,
    serverFactory: (handleOther) =>
      createHttpServer(limits, (request, response) => {
        if (!takesInference(request, response)) handleOther(request, response)
      }),
    forceCloseConnections: false,
    return503OnClosing: false,
    exposeHeadRoutes: false,
    genReqId: () => deps.ids(deps.clock.nowMs()),
    requestIdHeader: false,
    clientErrorHandler: (error, socket) => refuseConnection(error, socket, deps.ids(deps.clock.nowMs())),
    frameworkErrors: (error, request, reply) => replyWith(error, request, reply, deps.log),
  })
  app.decorateRequest('caller', null)
  app.setErrorHandler((error: FastifyError, request, reply) => replyWith(error, request, reply, deps.log))
  app.addHook('onRequest', (request, reply, done) => {
    if (isDraining) reply.raw.setHeader('connection', 'close')
    try {
      checkHeaders(request.raw)
      // Before its body, which nobody is going to read.
      if (request.is404) throw notFound(request.raw)
      const caller = deps.pipeline.authenticate(credentialOf(request.raw))
      if (!(caller instanceof Promise)) {
        request.caller = caller
        return done()
      }
      caller.then((known) => {
        request.caller = known
        done()
      }, done)
    } catch (error) {
      done(error as Error)
    }
  })
  registerModelRoutes(app, deps)

  return {
    async listen(host, port) {
      await app.listen({ host, port, backlog: listenBacklog })
      return app.server.address() as AddressInfo
    },
    stopAccepting() {
      isDraining = true
      app.server.close()
      app.server.closeIdleConnections()
    },
    async close() {
      app.server.closeAllConnections()
      await app.close()
    },
  }
}

function createHttpServer(limits: RestLimits, handle: RequestListener): Server {
  const server = createServer(
    {
      // Node.js would refuse without a word of ours; see checkHeaders.
      requireHostHeader: false,
      maxHeaderSize: headerBytesMax,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.headersTimeoutMs + limits.bodyTimeoutMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headersTimeoutMs),
      keepAliveTimeout: keepAliveMs,
      insecureHTTPParser: false,
      noDelay: true,
    },
    handle,
  )
  // Expectations other than 100-continue may be ignored (RFC 9110, 10.1.1); Node.js would refuse them without a word.
  server.on('checkExpectation', handle)
  return server
}

/** As errors are sent everywhere, and in our vocabulary where Fastify has another. */
function replyWith(
  error: FastifyError | GatewayError,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Log,
): FastifyReply {
  reply.hijack()
  sendError(reply.raw, isBadUrl(error) ? badUrl() : error, request.id, log)
  return reply
}

function notFound({ method, url }: IncomingMessage): GatewayError {
  const what = `${method} ${url?.split('?')[0]?.slice(0, 200)}`
  return new GatewayError('not_found', `There is no ${what} here. See /v1/models.`)
}

const isBadUrl = (error: FastifyError | GatewayError): boolean => error.code === 'FST_ERR_BAD_URL'

const badUrl = (): GatewayError =>
  new GatewayError('not_found', 'The path of the request is not a valid one. See /v1/models.')

/** What the HTTP parser refused never became a request: answered on the socket itself. */
function refuseConnection(error: Error & { code?: string }, socket: Socket, requestId: string): void {
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering(socket)) {
    socket.destroy()
    return
  }
  const refusal =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? new GatewayError('request_timeout', 'The request took too long to arrive.')
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? new GatewayError('invalid_header', 'The request headers are larger than 16 KiB.')
        : new GatewayError('invalid_header', 'The request is not valid HTTP/1.1.')
  const status = refusal.code === 'request_timeout' ? '408 Request Timeout' : '400 Bad Request'
  const body = errorBody(refusal, requestId)
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\nx-request-id: ${requestId}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
  socket.setTimeout(lingerMs, () => socket.destroy())
}

/** A second answer in the middle of the first one would be taken for a part of it. */
function isAnswering(socket: Socket): boolean {
  // As Node.js asks itself before it answers a malformed request; there is no public way to.
  const { _httpMessage: response } = socket as Socket & { _httpMessage?: ServerResponse | null }
  return response?.headersSent === true
}

export type RestApp = FastifyInstance
