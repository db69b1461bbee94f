import { BlockList, isIP, isIPv6 } from 'node:net'

/**
 * A host as all checks compare it: without brackets and trailing dot, in lower case, and an IPv4 address that is written
 * in octal, hexadecimal, as one number or cut short (`0x7f.1`, `017700000001`, `127.1`) in its usual form: resolvers
 * take all of these.
 */
export function canonicalHost(host: string): string {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  if (isIP(bare) !== 0) return bare
  const name = bare.replace(/\.$/, '')
  if (!/^[^\s/\\@?#:[\]%]+$/.test(name)) return name
  return URL.parse(`http://${name}`)?.hostname ?? name
}

/** Names that mean this machine wherever they are resolved (RFC 6761), whatever a resolver says. */
export const isLocalhostName = (host: string): boolean => /(?:^|\.)localhost$/.test(host)

/** Which list of a `BlockList` an address is looked up in. */
export const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4')

/** The address without the interface it is meant for, such as `%eth0`. */
export const withoutZone = (address: string): string => address.replace(/%.*$/, '')

/** Whether it is anything but an address of the public internet. */
export function isSpecialAddress(address: string): boolean {
  const bare = withoutZone(address)
  if (bare !== address) return true
  if (nat64.check(bare, familyOf(bare))) return isSpecialAddress(embeddedIpv4(bare) as string)
  return special[familyOf(bare)].check(bare, familyOf(bare))
}

/** Whether instances of clouds get their credentials there, also in a form that only carries such an address. */
export function isMetadataAddress(address: string): boolean {
  const bare = withoutZone(address)
  const embedded = embeddedIpv4(bare)
  return metadata.check(bare, familyOf(bare)) || (embedded !== undefined && metadata.check(embedded))
}

/** The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 and 6to4. */
function embeddedIpv4(address: string): string | undefined {
  if (!isIPv6(address)) return undefined
  const groups = groupsOf(address)
  const ipv4 = (at: number): string =>
    groups
      .slice(at, at + 2)
      .flatMap((group) => [group >> 8, group & 0xff])
      .join('.')
  if (groups[0] === 0x2002) return ipv4(1)
  return carrying.check(address, 'ipv6') ? ipv4(6) : undefined
}

/** The eight 16-bit groups. */
function groupsOf(address: string): number[] {
  // The URL parser knows all notations, and leaves one.
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const read = (text: string): number[] => text.split(':').flatMap((group) => (group ? Number.parseInt(group, 16) : []))
  const [first, last] = [read(head), read(tail ?? '')]
  return [...first, ...new Array<number>(8 - first.length - last.length).fill(0), ...last]
}

function listOf(...ranges: string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/')
    list.addSubnet(address, Number(prefix), familyOf(address))
  }
  return list
}

/**
 * Not the public internet (IANA special-purpose registries, read 2026-11). A list per family, since one list would take
 * every IPv4 address for its IPv4-mapped form.
 */
const special: Record<'ipv4' | 'ipv6', BlockList> = {
  ipv4: listOf(
    '0.0.0.0/8', // this network
    '10.0.0.0/8',
    '100.64.0.0/10', // carrier-grade NAT
    '127.0.0.0/8',
    '168.63.129.16/32', // Azure's platform services, from within its machines
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
  ),
  // Public addresses are those in 2000::/3, but for a few ranges in it.
  ipv6: listOf(
    '::/3', // unspecified, loopback, IPv4-mapped and IPv4-compatible, local NAT64
    '4000::/2',
    '8000::/1', // unique local, link-local, site-local, multicast
    '2001::/23', // Teredo among others
    '2001:db8::/32',
    '2002::/16', // 6to4
    '3fff::/20',
  ),
}

/** Translated to IPv4 by the network (RFC 6052): all there is where machines have IPv6 only, so judged by what it carries. */
const nat64 = listOf('64:ff9b::/96')
const carrying = listOf('::/96', '::ffff:0:0/96', '64:ff9b::/96')

const metadata = listOf(
  '169.254.169.254/32', // AWS, Azure, Google Cloud, Oracle and others
  '169.254.170.2/32', // AWS ECS
  '169.254.170.23/32', // AWS EKS
  '100.100.100.200/32', // Alibaba Cloud
  '168.63.129.16/32', // Azure
  '192.0.0.192/32', // Oracle Cloud
  'fd00:ec2::254/128', // AWS
  'fd00:ec2::23/128', // AWS EKS
  'fd20:ce::254/128', // Google Cloud
)
