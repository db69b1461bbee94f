import type { RateLimit } from './rate-limit.ts'

/** The limits of a caller as the script wants them. */
export interface SharedScopes {
  readonly organizationId: string
  readonly limits: readonly RateLimit[]
  /** In the order of the limits: of each its counters, then its leases, as far as it has any. */
  readonly keys: readonly string[]
  readonly leaseKeys: readonly string[]
  /** JSON: of each limit what the script has to know. */
  readonly description: string
  /** The first limit that must not be counted by one replica alone. */
  readonly strict: RateLimit | undefined
}

/** @returns finds the scopes of a list of limits; the same list is looked at once */
export function createSharedScopes(prefix: string) {
  const known = new WeakMap<readonly RateLimit[], SharedScopes>()
  return (organizationId: string, limits: readonly RateLimit[]): SharedScopes => {
    const found = known.get(limits)
    if (found?.organizationId === organizationId) return found
    const made = sharedScopes(prefix, organizationId, limits)
    known.set(limits, made)
    return made
  }
}

/** All keys of an organization have its hash tag: one slot of a cluster, hence one script for all scopes of a call. */
export const organizationKey = (prefix: string, organizationId: string): string => `${prefix}limit:{${organizationId}}:`

/** Either of the two that hold what is taken of requests and tokens. */
export const counterKeys = (prefix: string, organizationId: string, limit: RateLimit): [string, string] => {
  const scope = scopeKey(prefix, organizationId, limit)
  return [`${scope}:window`, `${scope}:bucket`]
}

function sharedScopes(prefix: string, organizationId: string, limits: readonly RateLimit[]): SharedScopes {
  const keys: string[] = []
  const leaseKeys: string[] = []
  const described: object[] = []
  for (const limit of limits) {
    const { requestsPerMinute, tokensPerMinute, maxConcurrent, algorithm } = limit
    const isBucket = algorithm === 'token_bucket'
    if (requestsPerMinute !== undefined || tokensPerMinute !== undefined) {
      keys.push(counterKeys(prefix, organizationId, limit)[isBucket ? 1 : 0])
    }
    if (maxConcurrent !== undefined) {
      const leaseKey = `${scopeKey(prefix, organizationId, limit)}:leases`
      keys.push(leaseKey)
      leaseKeys.push(leaseKey)
    }
    described.push({
      bucket: isBucket,
      requests: requestsPerMinute ?? 0,
      tokens: tokensPerMinute ?? 0,
      running: maxConcurrent ?? 0,
    })
  }
  return {
    organizationId,
    limits,
    keys,
    leaseKeys,
    description: JSON.stringify(described),
    strict: limits.find(({ strict }) => strict),
  }
}

const scopeKey = (prefix: string, organizationId: string, { scope, scopeId }: RateLimit): string =>
  `${organizationKey(prefix, organizationId)}${scope}:${scopeId}`
