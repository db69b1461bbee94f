import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { GraphQLError, type GraphQLSchema, getOperationAST, parse, validate } from 'graphql'
import { handleProtocols, makeServer } from 'graphql-ws'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Principal } from '../core/access/principal.ts'
import type { SignIn } from '../core/access/sign-in.ts'
import type { Log } from '../core/log.ts'
import { bearerIn } from './bearer.ts'
import type { AdminContext } from './context.ts'
import { checkDocument } from './document-limits.ts'
import { adminError } from './errors.ts'

/** Subscriptions over WebSocket (`graphql-transport-ws`), each as long as the session that it was opened in. */
export interface Subscriptions {
  close(): Promise<void>
}

export interface SubscriptionsDeps {
  /** Whose upgrades of `/graphql` are taken. */
  server: Server
  schema: GraphQLSchema
  signIn: SignIn
  /** @param tooSlow - closes the socket */
  contextOf(viewer: Principal, request: IncomingMessage, tooSlow: () => void): AdminContext
  /** Of pages; a client that is no browser says none. */
  origins: ReadonlySet<string>
  tokensMax: number
  log: Log
  settings?: Partial<SubscriptionSettings>
}

export interface SubscriptionSettings {
  /** How often it is looked whether a session still is in force. */
  recheckMs: number
  pingMs: number
}

const settingsDefault: SubscriptionSettings = { recheckMs: 4_000, pingMs: 30_000 }

const messageBytesMax = 64 * 1024
const initWaitMs = 3_000
const socketsMax = 1_000
const partingMs = 1_000
const socketsPerViewerMax = 5
const operationsMax = 10
/** What a client may leave unread. */
const bufferedBytesMax = 1024 * 1024

const closeCodes = { unauthorized: 4401, tooMany: 4429, tooSlow: 1013, failed: 4500, goingAway: 1001 } as const

/** What belongs to one socket. */
type Extra = {
  socket: WebSocket
  request: IncomingMessage
  viewer?: Principal
  token?: string
}

export function openSubscriptions(deps: SubscriptionsDeps): Subscriptions {
  const { server, schema, signIn, contextOf, origins, tokensMax, log } = deps
  const { recheckMs, pingMs } = { ...settingsDefault, ...deps.settings }
  const sockets = new Set<Extra>()
  const wss = new WebSocketServer({
    noServer: true,
    maxPayload: messageBytesMax,
    perMessageDeflate: false,
    handleProtocols: (protocols) => handleProtocols(protocols),
  })

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const { origin } = request.headers
    const isOurs = request.url?.split('?')[0] === '/graphql' && (origin === undefined || origins.has(origin))
    if (!isOurs) turnAway(socket, '403 Forbidden')
    else if (wss.clients.size >= socketsMax) turnAway(socket, '503 Service Unavailable')
    else wss.handleUpgrade(request, socket, head, (opened) => wss.emit('connection', opened, request))
  }
  server.on('upgrade', upgrade)

  const protocol = makeServer<Record<string, unknown>, Extra>({
    schema,
    connectionInitWaitTimeout: initWaitMs,
    async onConnect({ connectionParams, extra }) {
      const authorization = String(connectionParams?.authorization ?? '')
      const token = bearerIn(authorization)
      const found = token === undefined ? undefined : await signIn.principalOf(token)
      if (!found || token === undefined) {
        extra.socket.close(closeCodes.unauthorized, 'Unauthorized')
        return false
      }
      const { principal } = found
      const own = [...sockets].filter(({ viewer }) => viewer?.id === principal.id)
      if (own.length >= socketsPerViewerMax) {
        extra.socket.close(closeCodes.tooMany, 'Too many sockets')
        return false
      }
      extra.viewer = principal
      extra.token = token
      sockets.add(extra)
      return undefined
    },
    onSubscribe({ extra, subscriptions }, _id, payload) {
      const { viewer } = extra
      if (!viewer) return [adminError('UNAUTHENTICATED', 'Sign in first.')]
      // This one counts already.
      if (Object.keys(subscriptions).length > operationsMax) {
        return [adminError('LIMIT_EXCEEDED', `A socket has at most ${operationsMax} subscriptions.`)]
      }
      try {
        const document = parse(payload.query, { maxTokens: tokensMax })
        const invalid = validate(schema, document)
        if (invalid.length > 0) return invalid
        const operation = getOperationAST(document, payload.operationName)
        if (operation?.operation !== 'subscription') {
          return [adminError('BAD_USER_INPUT', 'Here are subscriptions only: POST everything else.')]
        }
        checkDocument(schema, document, operation)
        return {
          schema,
          document,
          operationName: payload.operationName ?? null,
          variableValues: payload.variables ?? null,
          contextValue: contextOf(viewer, extra.request, () => extra.socket.close(closeCodes.tooSlow, 'Too slow')),
        }
      } catch (error) {
        return [error instanceof GraphQLError ? error : adminError('BAD_USER_INPUT', 'The document cannot be read.')]
      }
    },
  })

  wss.on('connection', (socket: WebSocket, request: IncomingMessage) => {
    const extra: Extra = { socket, request }
    let isAlive = true
    // It closes by itself, with the code of what was wrong.
    socket.on('error', () => {})
    socket.on('pong', () => {
      isAlive = true
    })
    const ping = setInterval(() => {
      if (!isAlive) return socket.terminate()
      isAlive = false
      socket.ping()
    }, pingMs)
    const closed = protocol.opened(
      {
        protocol: socket.protocol,
        send: (text) =>
          new Promise((resolve, reject) => {
            if (socket.bufferedAmount > bufferedBytesMax) socket.close(closeCodes.tooSlow, 'Too slow')
            socket.send(text, (error) => (error ? reject(error) : resolve()))
          }),
        close: (code, reason) => socket.close(code, reason),
        onMessage: (take) =>
          socket.on('message', (message) => {
            take(String(message)).catch((error: unknown) => {
              // A reader that has left is no fault of anybody's.
              if (socket.readyState !== socket.OPEN) return
              log.error({ err: error }, 'A subscription failed inside.')
              socket.close(closeCodes.failed, 'Internal error')
            })
          }),
      },
      extra,
    )
    socket.once('close', (code, reason) => {
      clearInterval(ping)
      sockets.delete(extra)
      void closed(code, String(reason))
    })
  })

  /** @param opened - the sockets of one session: it is looked up once */
  const recheck = async (token: string | undefined, opened: readonly Extra[]): Promise<void> => {
    const found = token === undefined ? undefined : await signIn.principalOf(token)
    const grants = JSON.stringify(found?.principal.grants)
    for (const { viewer, socket } of opened) {
      // What was subscribed to was judged by the roles of then.
      if (!found || grants !== JSON.stringify(viewer?.grants)) socket.close(closeCodes.unauthorized, 'Unauthorized')
    }
  }
  const timer = setInterval(() => {
    for (const [token, opened] of Map.groupBy(sockets, ({ token }) => token)) {
      recheck(token, opened).catch((error: unknown) => {
        log.warn({ err: error }, 'It could not be looked whether a session still is in force.')
      })
    }
  }, recheckMs)
  timer.unref()

  return {
    async close() {
      clearInterval(timer)
      server.off('upgrade', upgrade)
      for (const socket of wss.clients) socket.close(closeCodes.goingAway, 'Going away')
      // Whoever does not answer that has had its time.
      const late = setTimeout(() => {
        for (const socket of wss.clients) socket.terminate()
      }, partingMs)
      await new Promise<void>((resolve) => wss.close(() => resolve()))
      clearTimeout(late)
    },
  }
}

const turnAway = (socket: Duplex, status: string): void =>
  void socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
