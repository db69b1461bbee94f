import { type LookupAddress, lookup as resolveBySystem } from 'node:dns'
import { LRUCache } from 'lru-cache'
import { type AddressGuard, AddressRefusedError } from './address-guard.ts'
import { canonicalHost } from './addresses.ts'

/** `lookup` of node:net: resolves, refuses when any address is refused, and hands out the vetted ones. */
export type VettedLookup = (
  hostname: string,
  options: { all?: boolean | undefined; family?: number | 'IPv4' | 'IPv6' | undefined },
  callback: (error: Error | null, address?: string | LookupAddress[], family?: number) => void,
) => void

/** All addresses of a name, at least one. */
export type Resolve = (hostname: string) => Promise<LookupAddress[]>

export interface VettedLookupOptions {
  resolve?: Resolve
  /** How long a connection waits for the addresses. */
  timeoutMs?: number
  /** For so long a name is not asked for again. */
  freshMs?: number
  /** For so long its addresses are used when it cannot be resolved. */
  staleMs?: number
  nowMs?: () => number
}

const namesMax = 1_000

/**
 * Names are resolved as the system does it (hosts file, search domains), which has no timeout of its own: a connection
 * gives up waiting, and who asks for the same name meanwhile waits for the same answer.
 */
export function createVettedLookup(
  guard: AddressGuard,
  {
    resolve = systemResolve,
    timeoutMs = 2_000,
    freshMs = 5_000,
    staleMs = 60_000,
    nowMs = () => performance.now(),
  }: VettedLookupOptions = {},
): VettedLookup {
  const known = new LRUCache<string, { addresses: LookupAddress[]; atMs: number }>({ max: namesMax })
  const resolving = new Map<string, Promise<LookupAddress[]>>()

  const resolveOnce = (name: string): Promise<LookupAddress[]> => {
    const running = resolving.get(name)
    if (running) return running
    const started = resolve(name)
      .then((addresses) => {
        known.set(name, { addresses, atMs: nowMs() })
        return addresses
      })
      .finally(() => resolving.delete(name))
    resolving.set(name, started)
    return started
  }

  const addressesOf = async (hostname: string): Promise<LookupAddress[]> => {
    // The dot at the end stays: it tells the resolver to leave out search domains.
    const name = hostname.toLowerCase()
    const before = known.get(name)
    if (before && nowMs() - before.atMs < freshMs) return before.addresses
    try {
      return await within(resolveOnce(name), timeoutMs, `Resolving ${hostname} took more than ${timeoutMs} ms.`)
    } catch (error) {
      if (before && nowMs() - before.atMs < staleMs) return before.addresses
      throw error
    }
  }

  const vetted = async (hostname: string): Promise<LookupAddress[]> => {
    const addresses = await addressesOf(hostname)
    for (const { address } of addresses) {
      const reason = guard.refusal(canonicalHost(hostname), address)
      if (reason) throw new AddressRefusedError(reason)
    }
    return addresses
  }

  return (hostname, { all, family }, callback) => {
    void vetted(hostname)
      .then((addresses): Parameters<typeof callback> => {
        const wanted = family === 'IPv4' ? 4 : family === 'IPv6' ? 6 : family || undefined
        const usable = wanted ? addresses.filter((address) => address.family === wanted) : addresses
        const [first] = usable
        if (!first) return [new Error(`${hostname} has no address${wanted ? ` of IPv${wanted}` : ''}.`)]
        return all ? [null, usable] : [null, first.address, first.family]
      })
      .catch((error: Error): Parameters<typeof callback> => [error])
      // Out of the promise, so that what the callback throws is its own affair.
      .then((result) => process.nextTick(() => callback(...result)))
  }
}

/** Runs at most so many at once, the others in the order of asking. */
export function atMost(count: number, resolve: Resolve): Resolve {
  const waiting: (() => void)[] = []
  let running = 0
  return async (hostname) => {
    if (running < count) running++
    else await new Promise<void>((proceed) => waiting.push(proceed))
    try {
      return await resolve(hostname)
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
}

/** Each takes up a thread of the process's pool; one of the four has to be left for the files. */
const systemResolve = atMost(
  3,
  (hostname) =>
    new Promise((resolve, reject) => {
      resolveBySystem(hostname, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)))
    }),
)

function within<T>(result: Promise<T>, ms: number, message: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(message)), ms)
    result.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
