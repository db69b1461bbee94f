import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Secret } from '../core/secret.ts'

/** Where browsers keep the refresh token: out of the reach of scripts, and sent to us alone. */
export interface RefreshCookie {
  /** @returns undefined when the request has none, or comes from somewhere that may not use it */
  read(): string | undefined
  set(token: Secret): void
  clear(): void
  /** Whether the request comes from one of our own pages, or from a program that says it knows what it does. */
  readonly isFromOurPages: boolean
}

/** Of what is no answer to a request, and can set none. */
export const noCookie: RefreshCookie = { isFromOurPages: false, read: () => undefined, set() {}, clear() {} }

const name = '__Host-llmgw-refresh'
const attributes = 'Path=/; HttpOnly; Secure; SameSite=Strict'
const lifeS = 12 * 3_600

/** @param origins - of the pages that may use it */
export function refreshCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  origins: ReadonlySet<string>,
): RefreshCookie {
  const { origin, cookie = '' } = request.headers
  const isFromOurPages = origin !== undefined && origins.has(origin) && request.headers['x-llmgw-csrf'] !== undefined
  const put = (value: string, maxAgeS: number): void =>
    void reply.header('set-cookie', `${name}=${value}; ${attributes}; Max-Age=${maxAgeS}`)
  return {
    isFromOurPages,
    read: () =>
      cookie
        .split(/;\s*/)
        .find((pair) => pair.startsWith(`${name}=`))
        ?.slice(name.length + 1),
    set: (token) => put(token.reveal(), lifeS),
    clear: () => put('', 0),
  }
}
