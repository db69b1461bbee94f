import { isIP } from 'node:net'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import { type AddressGuard, AddressRefusedError } from './address-guard.ts'

/** The one way out of the process: connection pools per origin, each connection vetted by the address guard. */
export interface UpstreamClient {
  /** @throws RangeError when the URL is not one we may send credentials to */
  openOrigin(baseUrl: string, options?: OriginOptions): UpstreamOrigin
}

export interface OriginOptions {
  connectTimeoutMs?: number
}

export interface UpstreamOrigin {
  /** The path of the base URL without a trailing slash, to put before an endpoint's path. */
  readonly pathPrefix: string
  dispatch(options: UpstreamDispatch, handler: Dispatcher.DispatchHandler): void
  close(): Promise<void>
}

export interface UpstreamDispatch {
  method: 'GET' | 'POST'
  path: string
  /** Names and values in turn. */
  headers: string[]
  body: Buffer | null
  headersTimeoutMs: number
  idleTimeoutMs: number
}

const connectTimeoutMsDefault = 3_000
/** Below what load balancers in front of providers usually keep (60 s), so that we are the one to close. */
const keepAliveMs = 50_000

export function createUpstreamClient(guard: AddressGuard): UpstreamClient {
  return {
    openOrigin(baseUrl, { connectTimeoutMs = connectTimeoutMsDefault } = {}) {
      const url = checkedUrl(baseUrl, guard)
      const connect = buildConnector({ timeout: connectTimeoutMs, allowH2: false, lookup: guard.lookup as never })
      const pool = new Pool(url.origin, {
        connect(options, callback) {
          const reason = isIP(options.hostname) === 0 ? undefined : guard.refusal(options.hostname, options.hostname)
          if (reason) callback(new AddressRefusedError(reason), null)
          else connect(options, callback)
        },
        pipelining: 1,
        keepAliveTimeout: keepAliveMs,
        keepAliveMaxTimeout: keepAliveMs,
        maxHeaderSize: 32 * 1024,
      })
      return {
        pathPrefix: url.pathname.replace(/\/+$/, ''),
        dispatch({ method, path, headers, body, headersTimeoutMs, idleTimeoutMs }, handler) {
          pool.dispatch(
            { method, path, headers, body, headersTimeout: headersTimeoutMs, bodyTimeout: idleTimeoutMs },
            handler,
          )
        },
        close: () => pool.destroy(),
      }
    },
  }
}

function checkedUrl(baseUrl: string, guard: AddressGuard): URL {
  const url = URL.parse(baseUrl)
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new RangeError(`"${baseUrl}" is not an http(s) URL.`)
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new RangeError(`The base URL of ${url.host} must not carry credentials, a query or a fragment.`)
  }
  if (url.protocol === 'http:' && !guard.isAllowedPrivateHost(url.hostname)) {
    throw new RangeError(
      `${url.host} must be reached by https; name it in LLMGW_PRIVATE_UPSTREAMS to allow plain http there.`,
    )
  }
  return url
}
