import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Client } from '../core/access/sign-in.ts'
import type { SingleSignOn } from '../core/access/single-sign-on.ts'
import type { RefreshCookie } from './refresh-cookie.ts'

export interface SingleSignOnRoutes {
  singleSignOn: SingleSignOn
  clientOf(request: FastifyRequest): Client
  cookieOf(request: FastifyRequest, reply: FastifyReply): RefreshCookie
  /** @returns false when this address has asked too often of late */
  isAllowed(request: FastifyRequest): Promise<boolean>
}

export const singleSignOnPath = '/oidc/start'

const cookieName = '__Host-llmgw-oidc'
/** Lax, for the browser comes back from another site. */
const cookieAttributes = 'Path=/; HttpOnly; Secure; SameSite=Lax'
const cookieLifeS = 600

/** The way to the identity provider and back: plain pages, since the browser goes there as a whole. */
export function routeSingleSignOn(
  server: FastifyInstance,
  { singleSignOn, clientOf, cookieOf, isAllowed }: SingleSignOnRoutes,
): void {
  const refuse = (reply: FastifyReply, status: number, message: string) =>
    reply.code(status).type('text/plain; charset=utf-8').send(`${message}\n`)

  server.get(singleSignOnPath, async (request, reply) => {
    if (!(await isAllowed(request))) return refuse(reply, 429, 'Too many requests. Try again in a minute.')
    const { returnTo } = request.query as { returnTo?: unknown }
    const started = await singleSignOn.start(pathOf(returnTo))
    if (!('redirectTo' in started)) return refuse(reply, 503, started.message)
    void reply.header(
      'set-cookie',
      `${cookieName}=${started.browserToken}; ${cookieAttributes}; Max-Age=${cookieLifeS}`,
    )
    return reply.redirect(started.redirectTo, 302)
  })

  server.get('/oidc/callback', async (request, reply) => {
    if (!(await isAllowed(request))) return refuse(reply, 429, 'Too many requests. Try again in a minute.')
    const url = new URL(request.url, 'http://callback.invalid')
    const finished = await singleSignOn.finish(url, cookieIn(request.headers.cookie), clientOf(request))
    const gone = `${cookieName}=; ${cookieAttributes}; Max-Age=0`
    if (!finished.ok) {
      void reply.header('set-cookie', gone)
      return refuse(reply, 403, finished.message)
    }
    cookieOf(request, reply).set(finished.session.refreshToken)
    void reply.header('set-cookie', gone)
    return reply.redirect(finished.returnPath, 302)
  })
}

const cookieIn = (cookies = ''): string | undefined =>
  cookies
    .split(/;\s*/)
    .find((pair) => pair.startsWith(`${cookieName}=`))
    ?.slice(cookieName.length + 1)

/** A path of ours: whoever is let in must not be sent anywhere else. */
const pathOf = (given: unknown): string =>
  typeof given === 'string' && /^\/(?![/\\])[\w./-]{0,200}$/.test(given) ? given : '/playground/'
