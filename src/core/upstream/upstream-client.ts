import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { Log } from '../log.ts'
import { type AddressGuard, AddressRefusedError, createAddressGuard, type Target } from './address-guard.ts'
import { createConnectLog } from './connect-log.ts'
import { createGuardedAgents, type GuardedAgents, type Vetting } from './guarded-agent.ts'
import { noProxies, type Proxies } from './proxies.ts'
import { openTunnel } from './tunnel.ts'
import { createVettedLookup, type VettedLookup } from './vetted-lookup.ts'

/** The one way out of the process: connection pools per origin, each connection vetted by the address guard. */
export interface UpstreamClient {
  /**
   * Whoever opens the same origin shares its connections, so that those to an unchanged upstream survive a reload.
   *
   * @throws RangeError when the URL is not one we may send credentials to
   */
  openOrigin(baseUrl: string, options?: OriginOptions): UpstreamOrigin
  /** For libraries that insist on doing HTTP themselves. */
  openAgents(options?: OriginOptions): GuardedAgents
}

export interface OriginOptions {
  connectTimeoutMs?: number
}

export interface UpstreamOrigin {
  /** The path of the base URL without a trailing slash, to put before an endpoint's path. */
  readonly pathPrefix: string
  dispatch(options: UpstreamDispatch, handler: Dispatcher.DispatchHandler): void
  /** Ends what is under way when nobody else has the origin open. */
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

export interface UpstreamClientOptions {
  /** Resolves names of upstreams; as the system does it, vetted, unless given. */
  lookup?: VettedLookup
  proxies?: Proxies
  /** Told, now and then, why an upstream cannot be connected to. */
  log?: Pick<Log, 'warn'>
}

const connectTimeoutMsDefault = 3_000
/** Below what load balancers in front of providers usually keep (60 s), so that we are the one to close. */
const keepAliveMs = 50_000
/** To one origin: as many as there may be calls in flight, so that none waits for a connection but one with a port left. */
const connectionsMax = 10_000
const headerBytesMax = 32 * 1024

export function createUpstreamClient(
  guard: AddressGuard,
  { lookup = createVettedLookup(guard), proxies = noProxies, log = { warn: () => {} } }: UpstreamClientOptions = {},
): UpstreamClient {
  const pools = new Map<string, SharedPool>()
  const tunnelTo = tunnelsThrough(proxies)
  const report = createConnectLog(log)

  const openPool = (origin: string, timeout: number): Pool => {
    const connect = buildConnector({ timeout, allowH2: false, lookup: lookup as never })
    return new Pool(origin, {
      connect(options, done) {
        const target = targetOf(options)
        const callback: typeof done = (...result) => {
          if (result[0]) report(target, result[0])
          done(...result)
        }
        const reason = guard.targetRefusal(target)
        if (reason) return callback(new AddressRefusedError(reason), null)
        const tunnel = tunnelTo(target, timeout)
        if (!tunnel) return connect(options, callback)
        void tunnel.then(
          (httpSocket) => {
            if (target.protocol === 'https:') connect({ ...options, httpSocket }, callback)
            else callback(null, httpSocket)
          },
          (error: Error) => callback(error, null),
        )
      },
      connections: connectionsMax,
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      maxHeaderSize: headerBytesMax,
    })
  }

  return {
    openOrigin(baseUrl, { connectTimeoutMs = connectTimeoutMsDefault } = {}) {
      const url = checkedUrl(baseUrl, guard)
      const key = `${url.origin} ${connectTimeoutMs}`
      const shared = pools.get(key) ?? { pool: openPool(url.origin, connectTimeoutMs), users: 0 }
      shared.users++
      pools.set(key, shared)
      let isOpen = true
      return {
        pathPrefix: url.pathname.replace(/\/+$/, ''),
        dispatch({ method, path, headers, body, headersTimeoutMs, idleTimeoutMs }, handler) {
          shared.pool.dispatch(
            { method, path, headers, body, headersTimeout: headersTimeoutMs, bodyTimeout: idleTimeoutMs },
            handler,
          )
        },
        async close() {
          if (!isOpen) return
          isOpen = false
          if (--shared.users > 0) return
          pools.delete(key)
          await shared.pool.destroy()
        },
      }
    },
    openAgents: ({ connectTimeoutMs = connectTimeoutMsDefault } = {}) =>
      createGuardedAgents({ guard, lookup, tunnelTo, report }, { connectTimeoutMs, connectionsMax, keepAliveMs }),
  }
}

interface SharedPool {
  pool: Pool
  /** Who has it open. */
  users: number
}

function checkedUrl(baseUrl: string, guard: AddressGuard): URL {
  const url = URL.parse(baseUrl)
  // The text may be anything, a URL with a password included: it is not repeated.
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new RangeError('The base URL is not an http(s) URL.')
  }
  // An empty query or fragment leaves no trace in the parsed URL.
  if (url.username || url.password || /[?#]/.test(baseUrl)) {
    throw new RangeError(`The base URL of ${url.host} must not carry credentials, a query or a fragment.`)
  }
  const reason = guard.targetRefusal(targetOf(url))
  if (reason) throw new RangeError(reason)
  return url
}

/** @param url - a parsed one, or what undici makes of it; its port is empty for that of the protocol */
const targetOf = ({ protocol, hostname, port }: { protocol: string; hostname: string; port: string }): Target => ({
  protocol,
  hostname,
  port: port ? Number(port) : undefined,
})

function tunnelsThrough(proxies: Proxies): Vetting['tunnelTo'] {
  const lookups = new Map<string, VettedLookup>()
  return (target, timeoutMs) => {
    const proxy = proxies.proxyFor(target)
    if (!proxy) return undefined
    const { protocol, hostname } = target
    // The operator's, like the host itself: the proxy may have any address.
    const lookup = lookups.get(proxy.hostname) ?? createVettedLookup(createAddressGuard([proxy.hostname]))
    lookups.set(proxy.hostname, lookup)
    const port = target.port ?? (protocol === 'https:' ? 443 : 80)
    return openTunnel(proxy, { hostname, port, timeoutMs, lookup })
  }
}
