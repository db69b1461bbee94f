import { expect, test } from 'vitest'
import { LimitRefusal } from '../core/limits/limit-refusal.ts'
import type { RateLimit } from '../core/limits/rate-limit.ts'
import { durationText, rateLimitHeaders } from './rate-limit-headers.ts'
import { errorReply } from './rest/error-reply.ts'

const state = {
  requests: { limit: 60, remaining: 0, resetMs: 360_000 },
  tokens: { limit: 1_000, remaining: 250, resetMs: 60_750 },
  degraded: true,
}

test('durations read as OpenAI writes them', () => {
  const texts = [0, 20, 999, 1_000, 7_660, 59_999, 60_000, 360_000, 3_602_500, 0.4].map(durationText)
  expect(texts).toEqual(['0s', '20ms', '999ms', '1s', '7.66s', '59.999s', '1m0s', '6m0s', '1h0m2.5s', '1ms'])
})

test('an answer tells what is left of what is limited', () => {
  expect(rateLimitHeaders(undefined)).toEqual([])
  expect(rateLimitHeaders({ requests: undefined, tokens: undefined, degraded: false })).toEqual([])
  expect(rateLimitHeaders(state)).toEqual([
    ...['x-ratelimit-limit-requests', '60'],
    ...['x-ratelimit-remaining-requests', '0'],
    ...['x-ratelimit-reset-requests', '6m0s'],
    ...['x-ratelimit-limit-tokens', '1000'],
    ...['x-ratelimit-remaining-tokens', '250'],
    ...['x-ratelimit-reset-tokens', '1m0.75s'],
    ...['x-gateway-degraded', 'redis'],
  ])
})

const limit: RateLimit = {
  scope: 'key',
  scopeId: 'one',
  requestsPerMinute: 60,
  tokensPerMinute: 1_000,
  maxConcurrent: undefined,
  algorithm: 'sliding_window',
  strict: false,
}

test('a refusal tells it, too, and when to try again', () => {
  const refusal = new LimitRefusal(
    { granted: false, code: 'rate_limit_exceeded', limit, retryAfterMs: 2_500, state },
    { keyName: 'ci', tokens: 1 },
  )
  const { status, headers, body } = errorReply(refusal, 'id', 0.5)
  expect(status).toBe(429)
  expect(headers).toEqual({
    'content-type': 'application/json',
    'x-request-id': 'id',
    'retry-after': '3',
    'retry-after-ms': '2500',
    'x-ratelimit-limit-requests': '60',
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': '6m0s',
    'x-ratelimit-limit-tokens': '1000',
    'x-ratelimit-remaining-tokens': '250',
    'x-ratelimit-reset-tokens': '1m0.75s',
    'x-gateway-degraded': 'redis',
  })
  expect(JSON.parse(body).error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' })
})

test('a request that can never pass is not to be tried again', () => {
  const refusal = new LimitRefusal(
    { granted: false, code: 'tokens_rate_limit_exceeded', limit, retryAfterMs: undefined, state },
    { keyName: 'ci', tokens: 2_000 },
  )
  const { headers } = errorReply(refusal, 'id', 0.5)
  expect(headers).toMatchObject({ 'x-should-retry': 'false', 'x-ratelimit-limit-tokens': '1000' })
  expect(headers).not.toHaveProperty('retry-after')
})
