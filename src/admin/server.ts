import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { ApolloServer, HeaderMap } from '@apollo/server'
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
import { adminError, unauthenticated } from './errors.ts'
import { noCookie, type RefreshCookie, refreshCookie } from './refresh-cookie.ts'
import { adminSchema } from './schema.ts'
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

  const contextFor = (viewer: Principal | undefined, client: Client, cookie: RefreshCookie): AdminContext => ({
    ...services,
    viewer,
    visible: visibleTenants(viewer?.grants ?? []),
    client,
    cookie,
    loaders: createLoaders(services, viewer),
    may: () => {
      throw new Error('Only a field whose rule is about an object asks for a role there.')
    },
  })
  const contextOf = async (request: FastifyRequest, reply: FastifyReply): Promise<AdminContext> => {
    const { authorization } = request.headers
    const token = authorization === undefined ? undefined : bearerIn(authorization)
    const found = token === undefined ? undefined : await services.signIn.principalOf(token)
    if (authorization !== undefined && !found) throw unauthenticated()
    const client = { address: request.ip, userAgent: userAgentOf(request.headers), requestId: request.id }
    return contextFor(found?.principal, client, refreshCookie(request, reply, origins))
  }

  const server = Fastify({
    logger: false,
    bodyLimit: bodyBytesMax,
    requestTimeout: 30_000,
    genReqId: () => ids(clock.nowMs()),
    routerOptions: { ignoreTrailingSlash: false },
  })
  server.addHook('onSend', async (_request, reply) => {
    void reply.headers(securityHeaders)
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-store')
  })
  server.post('/graphql', async (request, reply) => {
    void reply.header('x-request-id', request.id)
    const refusal = bodyRefusal(request)
    if (refusal) return reply.code(400).send({ errors: [refusal] })
    const headers = new HeaderMap()
    for (const [name, value] of Object.entries(request.headers)) {
      if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
    }
    const answer = await apollo.executeHTTPGraphQLRequest({
      httpGraphQLRequest: { method: 'POST', headers, search: '', body: request.body },
      context: () => contextOf(request, reply),
    })
    for (const [name, value] of answer.headers) void reply.header(name, value)
    void reply.code(answer.status ?? 200)
    return answer.body.kind === 'complete' ? answer.body.string : ''
  })
  server.get('/.well-known/jwks.json', async (_request, reply) => {
    void reply.header('cache-control', 'public, max-age=300')
    return tokens.publicKeys()
  })
  for (const [path, file, contentType] of pages) {
    const text = readFileSync(join(import.meta.dirname, 'pages', file), 'utf8')
    server.get(path, (_request, reply) => reply.type(contentType).send(text))
  }
  server.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ errors: [{ message: 'Here is POST /graphql, with application/json.' }] }),
  )
  server.setErrorHandler((error: { statusCode?: number; message: string }, request, reply) => {
    const status = error.statusCode ?? 500
    if (status >= 500) log.error({ err: error, request_id: request.id }, 'An admin request failed inside.')
    const message = status >= 500 ? 'The gateway failed to handle this request.' : error.message
    return reply.code(status).send({ errors: [{ message }] })
  })

  const subscriptions = openSubscriptions({
    server: server.server,
    schema,
    signIn: services.signIn,
    contextOf: (viewer, { socket, headers }) =>
      contextFor(
        viewer,
        { address: socket.remoteAddress ?? '', userAgent: userAgentOf(headers), requestId: ids(clock.nowMs()) },
        noCookie,
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
      services.feed.close()
      await subscriptions.close()
      await server.close()
      await apollo.stop()
    },
  }
}

const userAgentOf = (headers: { 'user-agent'?: string | undefined }): string =>
  (headers['user-agent'] ?? '').slice(0, 300)

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

/** What the link of a first start leads to. */
const pages = [
  ['/setup', 'setup.html', 'text/html; charset=utf-8'],
  ['/setup.css', 'setup.css', 'text/css; charset=utf-8'],
  ['/setup.js', 'setup.js', 'text/javascript; charset=utf-8'],
] as const

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
