import { expect, test } from 'vitest'
import { LimitRefusal } from './limit-refusal.ts'
import { createMemoryLimiter } from './limiter.memory.ts'
import type { LimitDecision } from './limiter.ts'
import type { RateLimit } from './rate-limit.ts'
import { type TakenLimits, takeLimits } from './take-limits.ts'
import { tokensEstimate } from './tokens-estimate.ts'

const limitOf = (limit: Partial<RateLimit>): RateLimit => ({
  scope: 'key',
  scopeId: 'one',
  requestsPerMinute: undefined,
  tokensPerMinute: undefined,
  maxConcurrent: undefined,
  algorithm: 'sliding_window',
  strict: false,
  ...limit,
})

/** Only what is looked at. */
const callOf = (rateLimits: readonly RateLimit[], request = {}) =>
  ({
    requestId: 'request',
    caller: { keyName: 'ci', organizationId: 'acme', rateLimits },
    request: { inputTokensEstimate: 10, outputTokensMax: undefined, choices: 1, ...request },
  }) as unknown as Parameters<typeof takeLimits>[1]

function takerAt(nowMs: () => number) {
  const limiter = createMemoryLimiter({ clock: { monotonicMs: nowMs } })
  return (...call: Parameters<typeof callOf>) => takeLimits(limiter, callOf(...call)) as TakenLimits | undefined
}

function refusalOf(run: () => unknown): LimitRefusal {
  try {
    run()
  } catch (error) {
    if (error instanceof LimitRefusal) return error
    throw error
  }
  throw new Error('Not refused.')
}

test('a caller without limits does not reach the limiter', () => {
  const unreached = {
    acquire(): never {
      throw new Error('Reached.')
    },
  }
  expect(takeLimits(unreached, callOf([]))).toBeUndefined()
})

test('a refusal names what is limited, how, and when to try again', () => {
  let nowMs = 0
  const take = takerAt(() => nowMs)
  const key = limitOf({ requestsPerMinute: 1 })
  expect(take([key])?.state).toMatchObject({ requests: { limit: 1, remaining: 0 }, degraded: false })
  nowMs = 58_500
  expect(refusalOf(() => take([key]))).toMatchObject({
    code: 'rate_limit_exceeded',
    message: 'The key "ci" may make 1 request per minute; try again in 3 s.',
    retryAfterMs: 2_500,
    isFinal: false,
    limits: { requests: { limit: 1, remaining: 0, resetMs: 2_500 }, tokens: undefined },
  })

  const team = limitOf({ scope: 'team', tokensPerMinute: 15 })
  take([team])
  expect(refusalOf(() => take([team])).message).toBe("The key's team may use 15 tokens per minute; try again in 61 s.")
  const organization = limitOf({ scope: 'organization', maxConcurrent: 2 })
  take([organization])
  take([organization])
  expect(refusalOf(() => take([organization]))).toMatchObject({
    code: 'concurrency_limit_exceeded',
    message: "The key's organization may make 2 requests at the same time; try again when one has ended.",
    retryAfterMs: 1_000,
  })
})

test('a request that can never pass says so instead of asking to wait', () => {
  const take = takerAt(() => 0)
  const limits = [limitOf({ tokensPerMinute: 100 })]
  expect(refusalOf(() => take(limits, { outputTokensMax: 50, choices: 2 }))).toMatchObject({
    code: 'tokens_rate_limit_exceeded',
    message:
      'The key "ci" may use 100 tokens per minute, and this request may use 110 alone: send a shorter prompt or allow fewer output tokens.',
    retryAfterMs: undefined,
    isFinal: true,
  })
})

test('a decision that takes its time is waited for', async () => {
  const limit = limitOf({ strict: true, scope: 'organization' })
  const state = { requests: undefined, tokens: undefined, degraded: true }
  const answering = (decision: LimitDecision) => ({ acquire: async () => decision })
  await expect(
    takeLimits(answering({ granted: false, code: 'limits_unavailable', limit, state }), callOf([limit])),
  ).rejects.toMatchObject({
    code: 'limits_unavailable',
    message: "The limits of the key's organization cannot be checked at the moment; try again shortly.",
    isFinal: false,
    limits: state,
  })
  const hold = { settle() {}, undo() {} }
  await expect(takeLimits(answering({ granted: true, hold, state }), callOf([limit]))).resolves.toMatchObject({
    hold,
    state,
  })
})

test('an estimate is the prompt and as much answer as the client allows', () => {
  expect(tokensEstimate({ inputTokensEstimate: 10, outputTokensMax: undefined, choices: 3 })).toBe(10)
  expect(tokensEstimate({ inputTokensEstimate: 10, outputTokensMax: 100, choices: 3 })).toBe(310)
  expect(tokensEstimate({ inputTokensEstimate: 10, outputTokensMax: Number.MAX_SAFE_INTEGER, choices: 128 })).toBe(
    Number.MAX_SAFE_INTEGER,
  )
})
