import type { Limiter, LimitUsage } from '../core/limits/limiter.ts'
import type { RateLimit } from '../core/limits/rate-limit.ts'
import { KeyCommandError, type KeyCommandsDeps, keyNamed, tableOf } from './keys.ts'

/** What the `llmgw limits` commands need. */
export interface LimitCommandsDeps extends Pick<KeyCommandsDeps, 'keys' | 'clock' | 'print'> {
  /** Of a key, its team and its organization. */
  limitsOf(keyId: string): Promise<readonly RateLimit[]>
  /** That of the running gateways; undefined when they count in their own memory. */
  limiter: Pick<Limiter, 'current' | 'reset'> | undefined
}

/**
 * @param idOrName - a name must belong to one live key only
 * @throws KeyCommandError
 */
export async function showLimits(
  { keys, clock, print, limitsOf, limiter }: LimitCommandsDeps,
  idOrName: string,
  options: { json?: boolean } = {},
): Promise<void> {
  const key = await keyNamed(keys, idOrName, clock.nowMs())
  const limits = await limitsOf(key.id)
  const usages = await limiter?.current(key.organization.id, limits)
  if (usages?.some(({ degraded }) => degraded)) throw new KeyCommandError(redisAway)
  if (options.json) {
    print(JSON.stringify(limits.map((limit, at) => jsonOf(limit, usages?.[at]))))
    return
  }
  if (limits.length === 0) {
    print(`Neither the key "${key.name}" nor its team nor its organization has rate limits.`)
    return
  }
  const rows = limits.map((limit, at) => rowOf(limit, usages?.[at]))
  for (const line of tableOf(['SCOPE', 'REQUESTS/MIN', 'TOKENS/MIN', 'AT ONCE', 'COUNTED AS', 'STRICT'], rows))
    print(line)
  if (!usages) {
    print('')
    print('What is taken of them is not shown: without REDIS_URL the gateway counts in its own memory.')
  }
}

/** @throws KeyCommandError */
export async function resetLimits(
  { keys, clock, print, limitsOf, limiter }: LimitCommandsDeps,
  idOrName: string,
): Promise<void> {
  const key = await keyNamed(keys, idOrName, clock.nowMs())
  if (!limiter) {
    throw new KeyCommandError(
      'Without REDIS_URL the gateway counts in its own memory, which no command can reach. Its restart begins anew.',
    )
  }
  // Those of the team and the organization are others', too.
  const limits = (await limitsOf(key.id)).filter(({ scope }) => scope === 'key')
  if (limits.length === 0) throw new KeyCommandError(`The key "${key.name}" has no rate limits of its own.`)
  try {
    await limiter.reset(key.organization.id, limits)
  } catch {
    throw new KeyCommandError(redisAway)
  }
  print(`Requests and tokens of the key "${key.name}" (${key.id}) are counted anew.`)
}

const redisAway = 'Redis does not answer; nothing was read or changed.'

const rowOf = (limit: RateLimit, usage: LimitUsage | undefined): string[] => [
  limit.scope,
  share(usage?.requests, limit.requestsPerMinute),
  share(usage?.tokens, limit.tokensPerMinute),
  share(usage?.running, limit.maxConcurrent),
  limit.algorithm === 'token_bucket' ? 'bucket' : 'window',
  limit.strict ? 'yes' : 'no',
]

const share = (taken: number | undefined, limit: number | undefined): string =>
  limit === undefined ? '-' : taken === undefined ? String(limit) : `${taken} of ${limit}`

const jsonOf = (limit: RateLimit, usage: LimitUsage | undefined) => ({
  scope: limit.scope,
  scopeId: limit.scopeId,
  algorithm: limit.algorithm,
  strict: limit.strict,
  requestsPerMinute: limit.requestsPerMinute ?? null,
  tokensPerMinute: limit.tokensPerMinute ?? null,
  maxConcurrent: limit.maxConcurrent ?? null,
  taken: usage
    ? { requests: usage.requests ?? null, tokens: usage.tokens ?? null, running: usage.running ?? null }
    : null,
})
