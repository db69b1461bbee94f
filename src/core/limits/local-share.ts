import type { RateLimit } from './rate-limit.ts'

/** What one of several replicas may let through on its own, by the list of limits: the same list while nothing changes. */
export function createLocalShare(
  expectedReplicas: () => number,
): (limits: readonly RateLimit[]) => readonly RateLimit[] {
  const shares = new WeakMap<readonly RateLimit[], { replicas: number; limits: readonly RateLimit[] }>()
  return (limits) => {
    const replicas = Math.max(1, expectedReplicas())
    const known = shares.get(limits)
    if (known?.replicas === replicas) return known.limits
    const share = limits.map((limit) => shareOf(limit, replicas))
    shares.set(limits, { replicas, limits: share })
    return share
  }
}

/** Rounded up, so that it is never nothing. */
function shareOf(limit: RateLimit, replicas: number): RateLimit {
  const part = (whole: number | undefined) => whole && Math.ceil(whole / replicas)
  return {
    ...limit,
    requestsPerMinute: part(limit.requestsPerMinute),
    tokensPerMinute: part(limit.tokensPerMinute),
    maxConcurrent: part(limit.maxConcurrent),
  }
}
