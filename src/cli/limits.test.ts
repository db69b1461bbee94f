import { expect, test } from 'vitest'
import type { Key, Keys } from '../core/keys/keys.ts'
import { createMemoryLimiter } from '../core/limits/limiter.memory.ts'
import type { Limiter } from '../core/limits/limiter.ts'
import type { RateLimit } from '../core/limits/rate-limit.ts'
import { resetLimits, showLimits } from './limits.ts'

/** Only what the commands look at. */
const key = { id: 'k1', name: 'checkout', organization: { id: 'acme', slug: 'acme' } } as Key
const none = { tokensPerMinute: undefined, maxConcurrent: undefined, strict: false }
const limitsOfKey: readonly RateLimit[] = [
  { ...none, scope: 'key', scopeId: 'k1', requestsPerMinute: 10, tokensPerMinute: 500, algorithm: 'sliding_window' },
  {
    ...none,
    scope: 'team',
    scopeId: 't1',
    requestsPerMinute: undefined,
    maxConcurrent: 4,
    algorithm: 'token_bucket',
    strict: true,
  },
]

function openBench(limiter: Limiter | undefined, limits = limitsOfKey) {
  const lines: string[] = []
  const keys = { get: async () => undefined, findByName: async () => [key] } as unknown as Keys
  const clock = { nowMs: () => 0, monotonicMs: () => 0 }
  const limitsOf = async () => limits
  return { lines, deps: { keys, clock, limiter, limitsOf, print: (line: string) => void lines.push(line) } }
}

const memory = () => createMemoryLimiter({ clock: { monotonicMs: () => 0 } })

test('what is taken of each limit is shown, and forgotten for the key alone', async () => {
  const limiter = memory()
  limiter.acquire({ requestId: 'r', organizationId: 'acme', limits: limitsOfKey, tokens: 120 })
  const { lines, deps } = openBench(limiter)
  await showLimits(deps, 'checkout')
  expect(lines).toEqual([
    'SCOPE  REQUESTS/MIN  TOKENS/MIN  AT ONCE  COUNTED AS  STRICT',
    'key    1 of 10       120 of 500  -        window      no',
    'team   -             -           1 of 4   bucket      yes',
  ])
  lines.length = 0
  await resetLimits(deps, 'checkout')
  await showLimits(deps, 'checkout', { json: true })
  expect(lines[0]).toBe('Requests and tokens of the key "checkout" (k1) are counted anew.')
  expect(JSON.parse(lines[1] as string)).toMatchObject([
    { scope: 'key', requestsPerMinute: 10, maxConcurrent: null, taken: { requests: 0, tokens: 0, running: null } },
    { scope: 'team', scopeId: 't1', strict: true, taken: { requests: null, running: 1 } },
  ])
})

test('counters in the memory of a gateway are said to be out of reach', async () => {
  const { lines, deps } = openBench(undefined)
  await showLimits(deps, 'checkout')
  expect(lines).toContain('key    10            500         -        window      no')
  expect(lines.at(-1)).toContain('without REDIS_URL')
  await expect(resetLimits(deps, 'checkout')).rejects.toThrow('no command can reach')
})

test('a Redis that does not answer is no reason to show something else', async () => {
  const away: Limiter = {
    ...memory(),
    current: async (_organizationId, limits) =>
      limits.map((limit) => ({ limit, requests: 0, tokens: 0, running: 0, degraded: true })),
    reset: () => Promise.reject(new Error('away')),
  }
  const { deps } = openBench(away)
  await expect(showLimits(deps, 'checkout')).rejects.toThrow('Redis does not answer')
  await expect(resetLimits(deps, 'checkout')).rejects.toThrow('Redis does not answer')
})

test('a key without limits is said to have none', async () => {
  const { lines, deps } = openBench(memory(), [])
  await showLimits(deps, 'checkout')
  expect(lines).toEqual(['Neither the key "checkout" nor its team nor its organization has rate limits.'])
  await expect(resetLimits(deps, 'checkout')).rejects.toThrow('no rate limits of its own')
})
