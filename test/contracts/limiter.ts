import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createUuidV7Source } from '../../src/core/ids.ts'
import type { LimitDecision, Limiter, LimitHold } from '../../src/core/limits/limiter.ts'
import type { RateLimit } from '../../src/core/limits/rate-limit.ts'

/** A limiter whose time the test holds. */
export interface LimiterUnderTest {
  limiter: Limiter
  /** Whole milliseconds. */
  advance(ms: number): void
}

export interface LimiterContractOptions {
  /** How many random histories each property is tried with. */
  runs: number
  close?(): Promise<void>
}

const newId = createUuidV7Source()
let ids = 0
const uniqueId = (): string => newId(ids++)

export function limitOf(limit: Partial<RateLimit>): RateLimit {
  return {
    scope: 'key',
    scopeId: uniqueId(),
    requestsPerMinute: undefined,
    tokensPerMinute: undefined,
    maxConcurrent: undefined,
    algorithm: 'sliding_window',
    strict: false,
    ...limit,
  }
}

export interface Asking {
  limits: readonly RateLimit[]
  tokens?: number
  organizationId?: string
}

export const ask = async (limiter: Limiter, { limits, tokens = 1, organizationId = 'acme' }: Asking) =>
  await limiter.acquire({ requestId: uniqueId(), organizationId, limits, tokens })

/** @returns what was taken */
export async function granted(limiter: Limiter, asking: Asking): Promise<LimitHold> {
  const decision = await ask(limiter, asking)
  if (!decision.granted) throw new Error(`Refused: ${decision.code}`)
  return decision.hold
}

export async function refused(limiter: Limiter, asking: Asking) {
  const decision = await ask(limiter, asking)
  if (decision.granted || decision.code === 'limits_unavailable') throw new Error('Not refused.')
  return decision
}

const kindOf = (decision: LimitDecision) => (decision.granted ? 'granted' : decision.code)

/** What every limiter promises. Each test has its own scopes, so that one server serves all of them. */
export function limiterContract(
  name: string,
  open: () => Promise<LimiterUnderTest>,
  { runs, close }: LimiterContractOptions,
): void {
  describe(`limiter: ${name}`, () => {
    let limiter: Limiter
    let advance: LimiterUnderTest['advance']

    beforeEach(async () => {
      const opened = await open()
      limiter = opened.limiter
      advance = opened.advance
    })
    afterEach(async () => {
      await limiter.close()
      await close?.()
    })

    test('as many requests pass as the window has, and the refusal says when the next one will', async () => {
      const limits = [limitOf({ requestsPerMinute: 3 })]
      advance(400)
      await granted(limiter, { limits })
      advance(10_000)
      await granted(limiter, { limits })
      await granted(limiter, { limits })
      const refusal = await refused(limiter, { limits })
      expect(refusal).toMatchObject({ code: 'rate_limit_exceeded', limit: limits[0] })
      advance((refusal.retryAfterMs as number) - 1)
      expect(await refused(limiter, { limits })).toMatchObject({ retryAfterMs: 1 })
      advance(1)
      await granted(limiter, { limits })
      expect(await refused(limiter, { limits })).toMatchObject({ retryAfterMs: 10_000 })
    })

    test('a second that has partly left the window still counts whole', async () => {
      const limits = [limitOf({ requestsPerMinute: 1 })]
      advance(999)
      await granted(limiter, { limits })
      advance(60_000)
      expect((await refused(limiter, { limits })).retryAfterMs).toBe(1)
      advance(1)
      await granted(limiter, { limits })
    })

    test('a full bucket lets its amount through at once, and then what is refilled', async () => {
      const limits = [limitOf({ requestsPerMinute: 6, algorithm: 'token_bucket' })]
      for (let i = 0; i < 6; i++) await granted(limiter, { limits })
      expect((await refused(limiter, { limits })).retryAfterMs).toBe(10_000)
      advance(9_999)
      expect((await refused(limiter, { limits })).retryAfterMs).toBe(1)
      advance(1)
      await granted(limiter, { limits })
      advance(600_000)
      for (let i = 0; i < 6; i++) await granted(limiter, { limits })
      await refused(limiter, { limits })
    })

    test.each(['sliding_window', 'token_bucket'] as const)(
      'tokens count as estimated and then as used: %s',
      async (algorithm) => {
        const limits = [limitOf({ tokensPerMinute: 100, algorithm })]
        const hold = await granted(limiter, { limits, tokens: 80 })
        expect(await refused(limiter, { limits, tokens: 30 })).toMatchObject({ code: 'tokens_rate_limit_exceeded' })
        hold.settle(10)
        hold.settle(0) // only the first one counts
        hold.undo()
        const second = await granted(limiter, { limits, tokens: 90 })
        await refused(limiter, { limits, tokens: 1 })
        second.settle(150)
        const waitMs = (await refused(limiter, { limits, tokens: 100 })).retryAfterMs as number
        advance(waitMs - 1)
        await refused(limiter, { limits, tokens: 100 })
        advance(1)
        await granted(limiter, { limits, tokens: 100 })
      },
    )

    test.each(['sliding_window', 'token_bucket'] as const)(
      'a correction in a later second reaches the one in which the tokens were taken: %s',
      async (algorithm) => {
        const limits = [limitOf({ tokensPerMinute: 1_000, requestsPerMinute: 10, algorithm })]
        const hold = await granted(limiter, { limits, tokens: 1_000 })
        advance(3_000)
        hold.settle(100)
        await granted(limiter, { limits, tokens: 900 })
        advance(30_000)
        const usage = await limiter.current('acme', limits)
        expect(usage).toEqual([
          {
            limit: limits[0],
            requests: algorithm === 'sliding_window' ? 2 : 0,
            tokens: algorithm === 'sliding_window' ? 1_000 : 450,
            running: undefined,
            degraded: false,
          },
        ])
      },
    )

    test('what was not used is not given back once its minute is over', async () => {
      for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
        const limits = [limitOf({ tokensPerMinute: 100, algorithm })]
        const late = await granted(limiter, { limits, tokens: 100 })
        advance(61_000)
        await granted(limiter, { limits, tokens: 100 })
        late.settle(0)
        await refused(limiter, { limits, tokens: 1 })
      }
    })

    test('an absurd count of used tokens keeps others out for two minutes at most', async () => {
      for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
        const limits = [limitOf({ tokensPerMinute: 100, algorithm })]
        const hold = await granted(limiter, { limits, tokens: 100 })
        hold.settle(Number.MAX_SAFE_INTEGER)
        const { retryAfterMs } = await refused(limiter, { limits, tokens: 100 })
        expect(retryAfterMs).toBeLessThanOrEqual(120_000)
        advance(retryAfterMs as number)
        const next = await granted(limiter, { limits, tokens: 100 })
        next.settle(Number.NaN) // no count at all leaves the estimate
        await refused(limiter, { limits, tokens: 1 })
      }
    })

    test.each(['sliding_window', 'token_bucket'] as const)(
      'a request for more tokens than a minute has never passes, and is not told to wait: %s',
      async (algorithm) => {
        const limits = [limitOf({ requestsPerMinute: 1 }), limitOf({ tokensPerMinute: 100, algorithm, scope: 'team' })]
        await granted(limiter, { limits })
        expect(await refused(limiter, { limits, tokens: 101 })).toMatchObject({
          code: 'tokens_rate_limit_exceeded',
          limit: limits[1],
          retryAfterMs: undefined,
        })
      },
    )

    test('slots are free again when their requests are over', async () => {
      const limits = [limitOf({ maxConcurrent: 2 })]
      const first = await granted(limiter, { limits })
      const second = await granted(limiter, { limits })
      expect(await refused(limiter, { limits })).toMatchObject({ code: 'concurrency_limit_exceeded', limit: limits[0] })
      expect(await limiter.current('acme', limits)).toMatchObject([{ running: 2, requests: undefined }])
      first.settle(1)
      await granted(limiter, { limits })
      await refused(limiter, { limits })
      second.undo()
      second.undo()
      await granted(limiter, { limits })
      await refused(limiter, { limits })
    })

    test('a refused request has consumed nothing of any scope', async () => {
      const key = limitOf({ requestsPerMinute: 10, tokensPerMinute: 1_000, maxConcurrent: 5 })
      const team = limitOf({ scope: 'team', requestsPerMinute: 10, tokensPerMinute: 50, algorithm: 'token_bucket' })
      const organization = limitOf({ scope: 'organization', scopeId: 'acme-a', requestsPerMinute: 1 })
      const limits = [key, team, organization]
      await granted(limiter, { limits, tokens: 10 })
      const before = await limiter.current('acme', limits)
      expect(await refused(limiter, { limits, tokens: 10 })).toMatchObject({ limit: organization })
      await refused(limiter, { limits: [key, team], tokens: 41 })
      expect(await limiter.current('acme', limits)).toEqual(before)
      expect(before).toMatchObject([
        { requests: 1, tokens: 10, running: 1 },
        { requests: 1, tokens: 10, running: undefined },
        { requests: 1, tokens: undefined },
      ])
    })

    test('a request that was undone has never been', async () => {
      for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
        const limits = [
          limitOf({ requestsPerMinute: 2, tokensPerMinute: 10, maxConcurrent: 1, algorithm }),
          limitOf({ scope: 'team', requestsPerMinute: 2, algorithm }),
        ]
        const before = await limiter.current('acme', limits)
        const hold = await granted(limiter, { limits, tokens: 10 })
        hold.undo()
        hold.settle(10)
        expect(await limiter.current('acme', limits)).toEqual(before)
        await granted(limiter, { limits, tokens: 10 })
      }
    })

    test('scopes are told apart, and shared by whoever belongs to them', async () => {
      const team = limitOf({ scope: 'team', requestsPerMinute: 2 })
      const first = [limitOf({ requestsPerMinute: 5 }), team]
      const second = [limitOf({ requestsPerMinute: 5 }), { ...team }]
      await granted(limiter, { limits: first })
      await granted(limiter, { limits: second })
      expect(await refused(limiter, { limits: first })).toMatchObject({ limit: { scope: 'team' } })
      await granted(limiter, { limits: [limitOf({ requestsPerMinute: 1, scopeId: team.scopeId })] })
    })

    test('callers are told of the scope with the least left', async () => {
      const limits = [
        limitOf({ requestsPerMinute: 10, tokensPerMinute: 1_000 }),
        limitOf({ scope: 'team', requestsPerMinute: 5, tokensPerMinute: 60_000, algorithm: 'token_bucket' }),
      ]
      advance(250)
      const decision = await ask(limiter, { limits, tokens: 100 })
      expect(decision.state).toEqual({
        requests: { limit: 5, remaining: 4, resetMs: 12_000 },
        tokens: { limit: 1_000, remaining: 900, resetMs: 60_750 },
        degraded: false,
      })
    })

    test('a raised or lowered limit holds at once for what is counted', async () => {
      for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
        const limit = limitOf({ requestsPerMinute: 2, algorithm })
        await granted(limiter, { limits: [limit] })
        await granted(limiter, { limits: [limit] })
        const lowered = [{ ...limit, requestsPerMinute: 1 }]
        const { retryAfterMs } = await refused(limiter, { limits: lowered })
        advance(retryAfterMs as number)
        await granted(limiter, { limits: lowered })
        await refused(limiter, { limits: lowered })
        if (algorithm === 'sliding_window') await granted(limiter, { limits: [{ ...limit, requestsPerMinute: 2 }] })
      }
    })

    test('a reset forgets what was taken, not what is running, and is not undone by a late settlement', async () => {
      for (const algorithm of ['sliding_window', 'token_bucket'] as const) {
        const limits = [limitOf({ requestsPerMinute: 2, tokensPerMinute: 100, maxConcurrent: 2, algorithm })]
        const before = await granted(limiter, { limits, tokens: 60 })
        advance(1)
        await limiter.reset('acme', limits)
        expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 0, tokens: 0, running: 1 }])
        await granted(limiter, { limits, tokens: 100 })
        before.settle(0)
        await refused(limiter, { limits, tokens: 1 })
        expect(await limiter.current('acme', limits)).toMatchObject([{ requests: 1, tokens: 100, running: 1 }])
      }
    })

    test('no limits at all let everything pass', async () => {
      const hold = await granted(limiter, { limits: [], tokens: 1e9 })
      hold.settle(1e9)
      expect((await ask(limiter, { limits: [] })).state).toEqual({
        requests: undefined,
        tokens: undefined,
        degraded: false,
      })
    })

    const step = fc.record({
      advanceMs: fc.oneof(fc.nat(1_500), fc.nat(70_000), fc.constantFrom(0, 999, 1_000, 59_000, 60_000, 61_000)),
      tokens: fc.integer({ min: 1, max: 40 }),
    })

    test('no 60 seconds see more than a window has, of requests nor of tokens', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(999), async (steps, offsetMs) => {
          const limits = [limitOf({ requestsPerMinute: 5, tokensPerMinute: 60 })]
          advance(offsetMs)
          const history: { atMs: number; tokens: number }[] = []
          let nowMs = 0
          for (const { advanceMs, tokens } of steps) {
            advance(advanceMs)
            nowMs += advanceMs
            const decision = await ask(limiter, { limits, tokens })
            const recent = history.filter(({ atMs }) => atMs >= nowMs - 60_000)
            const taken = recent.reduce((sum, each) => sum + each.tokens, 0)
            if (decision.granted) {
              expect(recent.length).toBeLessThan(5)
              expect(taken + tokens).toBeLessThanOrEqual(60)
              history.push({ atMs: nowMs, tokens })
            } else {
              // Nobody is kept out by what is more than 61 seconds ago.
              const counted = history.filter(({ atMs }) => atMs > nowMs - 61_000)
              const countedTokens = counted.reduce((sum, each) => sum + each.tokens, 0)
              expect(counted.length >= 5 || countedTokens + tokens > 60).toBe(true)
            }
          }
        }),
        { numRuns: runs },
      )
    })

    test('no stretch of time sees more than a bucket has and what is refilled meanwhile', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
          const limits = [limitOf({ requestsPerMinute: 7, tokensPerMinute: 60, algorithm: 'token_bucket' })]
          const history: { atMs: number; tokens: number }[] = []
          let nowMs = 0
          for (const { advanceMs, tokens } of steps) {
            advance(advanceMs)
            nowMs += advanceMs
            if (!(await ask(limiter, { limits, tokens })).granted) continue
            history.push({ atMs: nowMs, tokens })
            let sum = 0
            for (const [back, each] of history.toReversed().entries()) {
              sum += each.tokens
              const elapsedMs = nowMs - each.atMs
              expect((back + 1) * 60_000).toBeLessThanOrEqual(7 * (60_000 + elapsedMs))
              expect(sum * 60_000).toBeLessThanOrEqual(60 * (60_000 + elapsedMs))
            }
          }
        }),
        { numRuns: runs },
      )
    })

    test('a refusal is exact about when the same request passes, whatever has been', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 1, maxLength: 30 }),
          fc.constantFrom('sliding_window', 'token_bucket'),
          async (steps, algorithm) => {
            const limits = [
              limitOf({ requestsPerMinute: 4, algorithm }),
              limitOf({ scope: 'team', tokensPerMinute: 70, algorithm }),
            ]
            for (const { advanceMs, tokens } of steps) {
              advance(Math.floor(advanceMs / 10))
              const decision = await ask(limiter, { limits, tokens })
              if (decision.granted) continue
              if (decision.code === 'limits_unavailable') throw new Error('Unavailable.')
              advance((decision.retryAfterMs as number) - 1)
              expect(kindOf(await ask(limiter, { limits, tokens }))).toBe(decision.code)
              advance(1)
              expect(kindOf(await ask(limiter, { limits, tokens }))).toBe('granted')
            }
          },
        ),
        { numRuns: runs },
      )
    })

    test('settlements and undoing never make room for more than was not used', async () => {
      const action = fc.record({
        advanceMs: fc.nat(8_000),
        tokens: fc.integer({ min: 1, max: 40 }),
        ends: fc.constantFrom('open', 'settle', 'undo'),
        usedPercent: fc.nat(100),
      })
      await fc.assert(
        fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
          const limits = [limitOf({ requestsPerMinute: 6, tokensPerMinute: 60 })]
          const history: { atMs: number; tokens: number; requests: number; hold: LimitHold }[] = []
          let nowMs = 0
          for (const { advanceMs, tokens, ends, usedPercent } of actions) {
            advance(advanceMs)
            nowMs += advanceMs
            const decision = await ask(limiter, { limits, tokens })
            if (decision.granted) history.push({ atMs: nowMs, tokens, requests: 1, hold: decision.hold })
            const within = history.filter(({ atMs }) => atMs >= nowMs - 60_000)
            expect(within.reduce((sum, each) => sum + each.requests, 0)).toBeLessThanOrEqual(6)
            expect(within.reduce((sum, each) => sum + each.tokens, 0)).toBeLessThanOrEqual(60)
            const ending = history[Math.floor((history.length * usedPercent) / 101)]
            if (!ending || ends === 'open') continue
            const { hold } = ending
            if (ends === 'undo') {
              hold.undo()
              if (history.includes(ending)) Object.assign(ending, { tokens: 0, requests: 0, hold: spent })
            } else {
              const used = Math.floor((ending.tokens * usedPercent) / 100)
              hold.settle(used)
              Object.assign(ending, { tokens: hold === spent ? ending.tokens : used, hold: spent })
            }
          }
        }),
        { numRuns: runs },
      )
    })
  })
}

/** Was settled or undone: neither counts twice. */
const spent: LimitHold = { settle() {}, undo() {} }
