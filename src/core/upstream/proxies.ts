import { BlockList, isIP } from 'node:net'
import type { Target } from './address-guard.ts'
import { canonicalHost, familyOf, isLocalhostName } from './addresses.ts'

/** Which targets are reached through which proxy of the operator's. */
export interface Proxies {
  /** @returns undefined for a target that is connected to directly */
  proxyFor(target: Target): ProxyServer | undefined
}

export interface ProxyServer {
  /** How the proxy itself is spoken to. */
  readonly protocol: 'http:' | 'https:'
  readonly hostname: string
  readonly port: number
  /** The value of `Proxy-Authorization`. */
  readonly authorization: string | undefined
}

export interface ProxySettings {
  /** URLs of the proxies for http and for https targets, maybe with user and password. */
  http: string | undefined
  https: string | undefined
  /** What is connected to directly, as NO_PROXY has it. */
  direct: string | undefined
}

export const noProxies: Proxies = { proxyFor: () => undefined }

/** @throws RangeError, in words that do not repeat it, when something is no URL of a proxy */
export function createProxies({ http, https, direct }: ProxySettings): Proxies {
  const servers: Readonly<Record<string, ProxyServer | undefined>> = {
    'http:': http === undefined ? undefined : readProxyUrl(http),
    'https:': https === undefined ? undefined : readProxyUrl(https),
  }
  const isDirect = readDirect(direct ?? '')
  return { proxyFor: (target) => (isDirect(target) ? undefined : servers[target.protocol]) }
}

/** @throws RangeError */
export function readProxyUrl(text: string): ProxyServer {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`)
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new RangeError('expected http://host:port or https://host:port, with user:password@ where it asks for them')
  }
  const { protocol, hostname, port } = url
  const login = `${decoded(url.username)}:${decoded(url.password)}`
  return {
    protocol,
    hostname: canonicalHost(hostname),
    port: port ? Number(port) : protocol === 'https:' ? 443 : 80,
    authorization: login === ':' ? undefined : `Basic ${Buffer.from(login).toString('base64')}`,
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new RangeError('expected user and password percent-encoded, a percent sign as %25') // not the password itself
  }
}

/**
 * Names with everything below them, addresses, CIDR ranges, each with a port or without, and `*`.
 *
 * @throws RangeError when one with a slash is no range
 */
function readDirect(text: string): (target: Target) => boolean {
  const entries = text.split(/[\s,]+/).filter(Boolean)
  const all = entries.includes('*')
  const ranges = new BlockList()
  const names: { name: string; port: number | undefined }[] = []
  for (const [index, entry] of entries.entries()) {
    const [address = '', prefix] = entry.split('/')
    if (prefix === undefined) {
      const [, host = entry, port] = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry) ?? []
      const name = canonicalHost(host.replace(/^\*?\./, ''))
      names.push({ name, port: port === undefined ? undefined : Number(port) })
    } else if (isRange(address, prefix)) {
      ranges.addSubnet(address, Number(prefix), familyOf(address))
    } else {
      throw new RangeError(
        `expected hosts, addresses and CIDR ranges, with commas between them; number ${index + 1} is none of these`,
      )
    }
  }
  return ({ protocol, hostname, port = protocol === 'https:' ? 443 : 80 }) => {
    const host = canonicalHost(hostname)
    // No proxy elsewhere could reach this machine.
    if (all || isLocalhostName(host) || isLoopback(host)) return true
    if (isIP(host) !== 0 && ranges.check(host, familyOf(host))) return true
    return names.some((entry) => {
      if (entry.port !== undefined && entry.port !== port) return false
      return host === entry.name || (isIP(host) === 0 && host.endsWith(`.${entry.name}`))
    })
  }
}

const isRange = (address: string, prefix: string): boolean =>
  isIP(address) !== 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (isIP(address) === 4 ? 32 : 128)

const isLoopback = (host: string): boolean => host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
