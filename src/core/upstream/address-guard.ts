import { BlockList, isIP, isIPv6 } from 'node:net'
import {
  canonicalHost,
  familyOf,
  isLocalhostName,
  isMetadataAddress,
  isSpecialAddress,
  withoutZone,
} from './addresses.ts'

/**
 * Decides where the gateway may connect to. Everything that leaves the process asks here when it connects, not only
 * when a URL is saved: a name may change its address in between.
 */
export interface AddressGuard {
  /** Whether the operator named this host or address as a private upstream; plain http is allowed only there. */
  isAllowedPrivateHost(hostname: string): boolean
  /** @returns the reason to refuse the address, or undefined when it may be connected to */
  refusal(hostname: string, address: string): string | undefined
  /**
   * What can be told before a name is resolved.
   *
   * @param target - `protocol` as URLs have it, such as `https:`
   * @returns the reason to refuse it, or undefined
   */
  targetRefusal(target: Target): string | undefined
}

export interface Target {
  protocol: string
  hostname: string
  /** Undefined for that of the protocol. */
  port: number | undefined
}

/** The message says what was refused, why, and what to set; it is for operators. */
export class AddressRefusedError extends Error {
  readonly code = 'ADDRESS_REFUSED'
}

/**
 * @param privateUpstreams - hosts, addresses and CIDR ranges that may be reached although they are private
 * @throws RangeError when an entry is none of these
 */
export function createAddressGuard(privateUpstreams: readonly string[]): AddressGuard {
  // Apart, since one list would take every IPv4 address for its IPv4-mapped form.
  const allowedRanges = { ipv4: new BlockList(), ipv6: new BlockList() }
  const allowedAddresses = new BlockList()
  const allowedHosts = new Set<string>()
  for (const entry of privateUpstreams) {
    const [host = '', prefix] = entry.split('/')
    // With a prefix only as it is usually written: `10/8` would be read as an address of one number.
    const bare = prefix === undefined ? canonicalHost(host) : host.replace(/^\[(.*)\]$/, '$1')
    const bits = isIPv6(bare) ? 128 : 32
    if (prefix !== undefined && !/^\d{1,3}$/.test(prefix)) throw new RangeError(`Not a host or CIDR: ${entry}`)
    if (isIP(bare) === 0) {
      if (prefix !== undefined || !/^[a-z0-9._-]+$/.test(bare)) throw new RangeError(`Not a host or CIDR: ${entry}`)
      allowedHosts.add(bare)
    } else {
      const size = prefix === undefined ? bits : Number(prefix)
      allowedRanges[familyOf(bare)].addSubnet(bare, size, familyOf(bare))
      if (size === bits) allowedAddresses.addAddress(bare, familyOf(bare))
    }
  }

  const isAllowedAddress = (address: string): boolean => {
    const family = familyOf(address)
    // Credentials of the machine itself lie there: a range, or a name, must not open it by the way.
    if (isMetadataAddress(address)) return allowedAddresses.check(address, family)
    return allowedRanges[family].check(address, family)
  }

  const isAllowedPrivateHost = (hostname: string): boolean => {
    const host = canonicalHost(hostname)
    return allowedHosts.has(host) || (isIP(host) !== 0 && isAllowedAddress(withoutZone(host)))
  }

  const refusal = (hostname: string, address: string): string | undefined => {
    if (isAllowedAddress(withoutZone(address))) return undefined
    const has = canonicalHost(hostname) === address ? hostname : `${hostname} has the address ${address}, which`
    if (isMetadataAddress(address)) {
      return `${has} is where a cloud hands out the credentials of this machine; only this very address in LLMGW_PRIVATE_UPSTREAMS allows it.`
    }
    if (allowedHosts.has(canonicalHost(hostname)) || !isSpecialAddress(address)) return undefined
    return `${has} is not a public address; name it in LLMGW_PRIVATE_UPSTREAMS to allow it.`
  }

  return {
    isAllowedPrivateHost,
    refusal,
    targetRefusal({ protocol, hostname, port }) {
      if (isAllowedPrivateHost(hostname)) return undefined
      const host = canonicalHost(hostname)
      if (isIP(host) !== 0) {
        const reason = refusal(hostname, host)
        if (reason) return reason
      } else if (isLocalhostName(host)) {
        return `${hostname} is this machine; name it in LLMGW_PRIVATE_UPSTREAMS to allow it.`
      }
      if (protocol !== 'https:') {
        return `${hostname} must be reached by https; name it in LLMGW_PRIVATE_UPSTREAMS to allow plain http there.`
      }
      if (port !== undefined && port !== 443) {
        return `${hostname} must be reached on port 443; name it in LLMGW_PRIVATE_UPSTREAMS to allow port ${port} there.`
      }
      return undefined
    },
  }
}
