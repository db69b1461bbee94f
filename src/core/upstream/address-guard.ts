import { type LookupAddress, lookup as resolve } from 'node:dns'
import { BlockList, isIP, isIPv6 } from 'node:net'

/**
 * Decides which addresses the gateway may connect to. Everything that leaves the process asks here when it connects,
 * not only when a URL is saved: a name may change its address in between.
 */
export interface AddressGuard {
  /** Whether the operator named this host or address as a private upstream; plain http is allowed only there. */
  isAllowedPrivateHost(hostname: string): boolean
  /** @returns the reason to refuse the address, or undefined when it may be connected to */
  refusal(hostname: string, address: string): string | undefined
  /** `lookup` of node:net: resolves, refuses when any address is refused, and hands out the vetted ones. */
  lookup(
    hostname: string,
    options: { all?: boolean | undefined },
    callback: (error: Error | null, address?: string | LookupAddress[], family?: number) => void,
  ): void
}

export class AddressRefusedError extends Error {
  readonly code = 'ADDRESS_REFUSED'
}

const resolveTimeoutMs = 2_000

/**
 * @param privateUpstreams - hosts, addresses and CIDR ranges that may be reached although they are private
 * @throws RangeError when an entry is none of these
 */
export function createAddressGuard(privateUpstreams: readonly string[]): AddressGuard {
  const special = specialAddresses()
  const allowedRanges = new BlockList()
  const allowedHosts = new Set<string>()
  for (const entry of privateUpstreams) {
    const [address = '', prefix] = entry.split('/')
    const bare = unbracket(address)
    if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) throw new RangeError(`Not a host or CIDR: ${entry}`)
    if (isIP(bare) === 0) {
      if (prefix !== undefined || !/^[a-z0-9.-]+$/i.test(entry)) throw new RangeError(`Not a host or CIDR: ${entry}`)
      allowedHosts.add(entry.toLowerCase())
    } else {
      allowedRanges.addSubnet(bare, prefix === undefined ? (isIPv6(bare) ? 128 : 32) : Number(prefix), family(bare))
    }
  }
  const isAllowedAddress = (address: string): boolean => allowedRanges.check(address, family(address))
  const refusal = (hostname: string, address: string): string | undefined => {
    if (isAllowedAddress(address) || allowedHosts.has(hostname.toLowerCase())) return undefined
    if (!special[family(address)].check(address, family(address))) return undefined
    return `${hostname} has the address ${address}, which is not a public one; name it in LLMGW_PRIVATE_UPSTREAMS to allow it.`
  }
  return {
    isAllowedPrivateHost(hostname) {
      const bare = unbracket(hostname).toLowerCase()
      return allowedHosts.has(bare) || (isIP(bare) !== 0 && isAllowedAddress(bare))
    },
    refusal,
    lookup(hostname, options, callback) {
      const timer = setTimeout(() => answer(new Error(`Resolving ${hostname} took too long.`)), resolveTimeoutMs)
      let answered = false
      const answer: typeof callback = (...result) => {
        if (answered) return
        answered = true
        clearTimeout(timer)
        callback(...result)
      }
      resolve(hostname, { all: true }, (error, addresses) => {
        if (error) return answer(error)
        for (const { address } of addresses) {
          const reason = refusal(hostname, address)
          if (reason) return answer(new AddressRefusedError(reason))
        }
        const [first] = addresses
        if (!first) return answer(new Error(`${hostname} has no address.`))
        if (options.all) answer(null, addresses)
        else answer(null, first.address, first.family)
      })
    },
  }
}

/**
 * Addresses that are not the public internet (IANA special-purpose registries, read 2026-11): refused unless allowed.
 * A list per family, since one list would take every IPv4 address for its IPv4-mapped form.
 */
function specialAddresses(): Record<'ipv4' | 'ipv6', BlockList> {
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const range of [
    '0.0.0.0/8', // this network
    '10.0.0.0/8',
    '100.64.0.0/10', // carrier-grade NAT
    '127.0.0.0/8',
    '169.254.0.0/16', // link-local, cloud metadata
    '172.16.0.0/12',
    '192.0.0.0/24',
    '192.0.2.0/24',
    '192.88.99.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
    '224.0.0.0/4', // multicast
    '240.0.0.0/4',
    '::/127', // unspecified and loopback
    '::ffff:0:0/96', // IPv4-mapped: never a way around the list above
    '64:ff9b::/96',
    '64:ff9b:1::/48',
    '100::/64',
    '2001::/23',
    '2001:db8::/32',
    '2002::/16',
    'fc00::/7', // unique local
    'fe80::/10',
    'fec0::/10',
    'ff00::/8',
  ]) {
    const [address = '', prefix] = range.split('/')
    lists[family(address)].addSubnet(address, Number(prefix), family(address))
  }
  return lists
}

const family = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4')
const unbracket = (host: string): string => host.replace(/^\[(.*)\]$/, '$1')
