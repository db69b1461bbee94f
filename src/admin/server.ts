import type { AddressInfo } from 'node:net'
import { ApolloServer, HeaderMap } from '@apollo/server'
import cors from '@fastify/cors'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { GraphQLError } from 'graphql'
import type { AccessTokens } from '../core/access/access-tokens.ts'
import { type Principal, visibleTenants } from '../core/access/principal.ts'
import type { Client } from '../core/access/sign-in.ts'
import type { IdSource } from '../core/ids.ts'
import type { Log } from '../core/log.ts'
import { bearerIn } from './bearer.ts'
import { type AdminContext, type AdminServices, createLoaders } from './context.ts'
import { checkDocument } from './document-limits.ts'
import { adminError, badInput, fromService, unauthenticated } from './errors.ts'
import { answerOnce, type HttpAnswer, isMutation } from './idempotent-answers.ts'
import { createOperationLimits, type OperationLimitSettings } from './operation-limits.ts'
import { servePages } from './pages/pages.ts'
import { noCookie, type RefreshCookie, refreshCookie } from './refresh-cookie.ts'
import { adminSchema } from './schema.ts'
import { routeSingleSignOn } from './single-sign-on.ts'
import { openSubscriptions } from './subscriptions.ts'

/** The door of administrators: one GraphQL API, and the keys that verify its tokens. */
export interface AdminServer {
  listen(host: string, port: number): Promise<AddressInfo>
  close(): Promise<void>
}

export interface AdminServerDeps {
  services: AdminServices
  tokens: Pick<AccessTokens, 'publicKeys'>
  ids: IdSource
  log: Log
  /** Of pages that may use the refresh cookie; the server's own address is added when it listens. */
  origins: readonly string[]
  /** How often one may ask, and how long an operation may take; the usual without. */
  limits?: OperationLimitSettings
}

const bodyBytesMax = 100 * 1024
const variablesLengthMax = 64 * 1024
const tokensMax = 1_000

/** @throws Error when the policy of the API is not complete */
export async function createAdminServer(deps: AdminServerDeps): Promise<AdminServer> {
  const { services, tokens, ids, log } = deps
  const { clock } = services
  const origins = new Set(deps.origins)
  const schema = adminSchema()
  const apollo = new ApolloServer<AdminContext>({
    schema,
    introspection: true, // for whoever is signed in: see below
    hideSchemaDetailsFromClientErrors: true,
    includeStacktraceInErrorResponses: false,
    allowBatchedHttpRequests: false,
    csrfPrevention: true,
    parseOptions: { maxTokens: tokensMax },
    logger: quiet,
    formatError: (formatted, error) => shownError(formatted, error, log),
    plugins: [
      {
        async requestDidStart() {
          return {
            async didResolveOperation({ document, operation, contextValue }) {
              if (!operation) return
              const { asksForSchema } = checkDocument(schema, document, operation)
              if (asksForSchema && !contextValue.viewer) throw unauthenticated()
            },
          }
        },
      },
    ],
  })
  await apollo.start()

  const contextFor = (
    viewer: Principal | undefined,
    client: Client,
    cookie: RefreshCookie,
    tooSlow = () => {},
  ): AdminContext => ({
    ...services,
    viewer,
    visible: visibleTenants(viewer?.grants ?? []),
    client,
    cookie,
    tooSlow,
    loaders: createLoaders(services, viewer),
    may: () => {
      throw new Error('Only a field whose rule is about an object asks for a role there.')
    },
  })
  const limits = createOperationLimits(clock, deps.limits)
  const clientOf = (request: FastifyRequest): Client => ({
    address: request.ip,
    userAgent: userAgentOf(request.headers),
    requestId: request.id,
  })
  const cookieOf = (request: FastifyRequest, reply: FastifyReply) => refreshCookie(request, reply, origins)
  const contextOf = async (request: FastifyRequest, reply: FastifyReply): Promise<AdminContext> => {
    const { authorization } = request.headers
    const token = authorization === undefined ? undefined : bearerIn(authorization)
    const found = token === undefined ? undefined : await services.signIn.principalOf(token)
    await limits.admit(found ? { viewerId: found.principal.id } : { address: request.ip })
    if (authorization !== undefined && !found) throw unauthenticated()
    const context = contextFor(found?.principal, clientOf(request), cookieOf(request, reply))
    return Object.assign(context, { idempotencyKey: idempotencyKeyIn(request) })
  }

  const server = Fastify({
    logger: false,
    bodyLimit: bodyBytesMax,
    requestTimeout: 30_000,
    genReqId: () => ids(clock.nowMs()),
    routerOptions: { ignoreTrailingSlash: false },
  })
  server.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ errors: [{ message: 'Here is POST /graphql, with application/json.' }] }),
  )
  server.setErrorHandler((error: { statusCode?: number; message: string }, request, reply) => {
    if (error instanceof GraphQLError) {
      const { http } = error.extensions as { http?: { status: number; headers?: Map<string, string> } }
      for (const [name, value] of http?.headers ?? []) void reply.header(name, value)
      return reply
        .code(http?.status ?? 400)
        .send({ errors: [{ message: error.message, extensions: { code: error.extensions.code } }] })
    }
    const status = error.statusCode ?? 500
    if (status >= 500) log.error({ err: error, request_id: request.id }, 'An admin request failed inside.')
    const message = status >= 500 ? 'The gateway failed to handle this request.' : error.message
    return reply.code(status).send({ errors: [{ message }] })
  })
  // Pages of the list may ask from elsewhere; no others, whatever they say.
  await server.register(cors, {
    origin: (origin, decide) => decide(null, origin !== undefined && origins.has(origin)),
    credentials: true,
    methods: ['POST'],
    allowedHeaders: ['authorization', 'content-type', 'x-llmgw-csrf', 'idempotency-key'],
    maxAge: 600,
    strictPreflight: true,
  })
  server.addHook('onSend', async (_request, reply) => {
    for (const [name, value] of Object.entries(securityHeaders)) {
      if (!reply.hasHeader(name)) void reply.header(name, value)
    }
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-store')
  })
  server.post('/graphql', async (request, reply) => {
    void reply.header('x-request-id', request.id)
    const refusal = bodyRefusal(request)
    if (refusal) return reply.code(400).send({ errors: [refusal] })
    const context = await contextOf(request, reply).catch((error: unknown) => {
      throw fromService(error)
    })
    const { viewer, idempotencyKey } = context
    const execute = async (): Promise<HttpAnswer> => {
      const { status, headers, body } = await limits.within(
        apollo.executeHTTPGraphQLRequest({
          httpGraphQLRequest: { method: 'POST', headers: headersOf(request), search: '', body: request.body },
          context: async () => context,
        }),
      )
      for (const [name, value] of headers) void reply.header(name, value)
      return { status: status ?? 200, text: body.kind === 'complete' ? body.string : '' }
    }
    if (!viewer || idempotencyKey === undefined || !isMutation(request.body, tokensMax)) {
      const { status, text } = await execute()
      return reply.code(status).send(text)
    }
    const answer = await answerOnce(services.answers, viewer, idempotencyKey, request.body, execute)
    if (answer.isReplayed) void reply.header('idempotent-replayed', 'true').type('application/json; charset=utf-8')
    return reply.code(answer.status).send(answer.text)
  })
  server.get('/.well-known/jwks.json', async (_request, reply) => {
    void reply.header('cache-control', 'public, max-age=300')
    return tokens.publicKeys()
  })
  routeSingleSignOn(server, {
    singleSignOn: services.singleSignOn,
    clientOf,
    cookieOf,
    isAllowed: ({ ip }) =>
      limits.admit({ address: ip }).then(
        () => true,
        () => false,
      ),
  })
  await servePages(server)
  const subscriptions = openSubscriptions({
    server: server.server,
    schema,
    signIn: services.signIn,
    contextOf: (viewer, { socket, headers }, tooSlow) =>
      contextFor(
        viewer,
        { address: socket.remoteAddress ?? '', userAgent: userAgentOf(headers), requestId: ids(clock.nowMs()) },
        noCookie,
        tooSlow,
      ),
    origins,
    tokensMax,
    log,
  })

  return {
    async listen(host, port) {
      await server.listen({ host, port })
      const address = server.server.address() as AddressInfo
      for (const name of ['127.0.0.1', 'localhost']) origins.add(`http://${name}:${address.port}`)
      return address
    },
    async close() {
      for (const feed of Object.values(services.feeds)) feed.close()
      await subscriptions.close()
      await server.close()
      await apollo.stop()
    },
  }
}

const idempotencyKeyMax = 200

/** @throws GraphQLError BAD_USER_INPUT */
function idempotencyKeyIn({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && /^[\x21-\x7e]+$/.test(key) && key.length <= idempotencyKeyMax) return key
  throw badInput(`An Idempotency-Key has 1 to ${idempotencyKeyMax} visible ASCII characters.`)
}

const userAgentOf = (headers: { 'user-agent'?: string | undefined }): string =>
  (headers['user-agent'] ?? '').slice(0, 300)

function headersOf(request: FastifyRequest): HeaderMap {
  const headers = new HeaderMap()
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  }
  return headers
}

function bodyRefusal({ body, headers }: FastifyRequest): { message: string; extensions: { code: string } } | undefined {
  const refusal = (message: string) => ({ message, extensions: { code: 'BAD_REQUEST' } })
  if (!/^application\/json(?:;\s*charset=utf-8)?$/i.test(headers['content-type'] ?? '')) {
    return refusal('The content type is application/json.')
  }
  if (Array.isArray(body)) return refusal('One operation a request: batches are not served.')
  const variables = (body as { variables?: unknown } | null)?.variables
  if (variables !== undefined && JSON.stringify(variables).length > variablesLengthMax) {
    return refusal(`The variables have more than ${variablesLengthMax} bytes.`)
  }
  return undefined
}

const securityHeaders = {
  'content-security-policy': "default-src 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const

/** What is not for the client goes to the log, and the client is told that something failed. */
function shownError(
  formatted: { message: string; extensions?: { [name: string]: unknown } },
  thrown: unknown,
  log: Log,
) {
  const original = thrown instanceof GraphQLError ? (thrown.originalError ?? undefined) : thrown
  const isFault = formatted.extensions?.code === 'INTERNAL_SERVER_ERROR' || formatted.extensions?.code === undefined
  if (!isFault) return formatted
  log.error({ err: original ?? thrown }, 'An admin operation failed inside.')
  return adminError('INTERNAL_SERVER_ERROR', 'The gateway failed to carry this out.').toJSON()
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} }
