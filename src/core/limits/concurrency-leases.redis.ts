import type { Clock } from '../clock.ts'
import type { GuardedRedis } from '../redis/guarded-redis.ts'
import { createRedisScript } from '../redis/redis-script.redis.ts'
import { organizationKey } from './shared-scopes.ts'

/** A request under way that has slots of concurrency, in every scope that limits it. */
export interface Lease {
  readonly requestId: string
  readonly organizationId: string
  readonly leaseKeys: readonly string[]
  /** Where it stands among the open ones, -1 when it is over; theirs to write. */
  position: number
}

export interface ConcurrencyLeases {
  readonly size: number
  add(lease: Lease): void
  delete(lease: Lease): void
  /** Registers all of them, or those of organizations of which Redis knows nothing. Never rejects. */
  register(which: 'all' | 'lost'): Promise<void>
  close(): void
}

export interface ConcurrencyLeasesDeps {
  redis: Pick<GuardedRedis, 'run' | 'available' | 'prefix'>
  clock: Pick<Clock, 'monotonicMs'>
  /** A lease was registered although its request had ended meanwhile: it has to be freed once more. */
  endedMeanwhile(lease: Lease): void
  /** The time of Redis; tests alone hold it. */
  redisTimeMs?: (() => number) | undefined
  checkMs?: number
}

const renewMs = 20_000
/** Data that Redis has lost is noticed by then, and corrected within 5 s. */
const checkMsDefault = 4_000
const leasesPerCall = 500

/**
 * Leases run out after 60 s, so that those of a replica that is gone do not last; this one renews its own every 20 s.
 * A marker beside the leases of an organization tells whether Redis still has what it was told.
 */
export function openConcurrencyLeases({
  redis,
  clock,
  endedMeanwhile,
  redisTimeMs,
  checkMs = checkMsDefault,
}: ConcurrencyLeasesDeps): ConcurrencyLeases {
  // An array and not a Set, for the reason given in core/usage/open-calls.ts.
  const open: Lease[] = []
  let renewedMs = clock.monotonicMs()
  let working = false

  const registerChunk = async (organizationId: string, leases: readonly Lease[]): Promise<void> => {
    const { keys, values } = grouped(leases)
    try {
      await redis.run((client) =>
        registerScript(client, keys.length + 1, markerKey(organizationId), ...keys, redisTimeMs?.() ?? '', ...values),
      )
    } finally {
      for (const lease of leases) if (lease.position < 0) endedMeanwhile(lease)
    }
  }
  const registerOrganization = async (organizationId: string, leases: readonly Lease[]): Promise<void> => {
    const chunks: Promise<void>[] = []
    for (let at = 0; at < leases.length; at += leasesPerCall) {
      chunks.push(registerChunk(organizationId, leases.slice(at, at + leasesPerCall)))
    }
    await Promise.all(chunks)
  }
  const isLost = async (organizationId: string): Promise<boolean> =>
    (await redis.run((client) => client.exists(markerKey(organizationId)))) === 0
  const markerKey = (organizationId: string): string => `${organizationKey(redis.prefix, organizationId)}registered`

  const register = async (which: 'all' | 'lost'): Promise<void> => {
    if (which === 'all') renewedMs = clock.monotonicMs()
    const organizations = [...Map.groupBy(open, ({ organizationId }) => organizationId)]
    await Promise.allSettled(
      organizations.map(async ([organizationId, leases]) => {
        if (which === 'all') await registerOrganization(organizationId, leases)
        else if (await isLost(organizationId)) {
          // Those of now: some have ended since it was asked, and some that were lost as well have come.
          await registerOrganization(
            organizationId,
            open.filter((lease) => lease.organizationId === organizationId),
          )
        }
      }),
    ) // what failed is tried again with the next check
  }
  const check = async (): Promise<void> => {
    if (working || !redis.available) return
    working = true
    await register(clock.monotonicMs() - renewedMs >= renewMs ? 'all' : 'lost')
    working = false
  }
  const timer = setInterval(() => void check(), checkMs)
  timer.unref()

  return {
    get size() {
      return open.length
    },
    add(lease) {
      lease.position = open.push(lease) - 1
    },
    delete(lease) {
      if (open[lease.position] !== lease) return
      const last = open.pop() as Lease
      if (last !== lease) {
        open[lease.position] = last
        last.position = lease.position
      }
      lease.position = -1
    },
    register,
    close: () => clearInterval(timer),
  }
}

const registerScript = createRedisScript<number>({
  name: 'register-leases',
  // KEYS: the marker, then sets of leases; ARGV: time in ms ('' is Redis's own), then for each set how many and their ids
  lua: `
    local now = tonumber(ARGV[1])
    if not now then
      local time = redis.call('TIME')
      now = time[1] * 1000 + math.floor(time[2] / 1000)
    end
    local at = 2
    for k = 2, #KEYS do
      local leases = {}
      local last = at + tonumber(ARGV[at])
      for i = at + 1, last do
        leases[#leases + 1] = now + 60000
        leases[#leases + 1] = ARGV[i]
      end
      redis.call('ZADD', KEYS[k], unpack(leases))
      redis.call('PEXPIRE', KEYS[k], 125000)
      at = last + 1
    end
    redis.call('SET', KEYS[1], '', 'PX', 60000)
    return 1`,
})

function grouped(leases: readonly Lease[]): { keys: string[]; values: (string | number)[] } {
  const idsByKey = new Map<string, string[]>()
  for (const { requestId, leaseKeys } of leases) {
    for (const key of leaseKeys) {
      const ids = idsByKey.get(key)
      if (ids) ids.push(requestId)
      else idsByKey.set(key, [requestId])
    }
  }
  return { keys: [...idsByKey.keys()], values: [...idsByKey.values()].flatMap((ids) => [ids.length, ...ids]) }
}
