import { describe, expect, test } from 'vitest'
import { silent } from '../../../test/support/log.ts'
import { GatewayError } from '../errors.ts'
import { createUpstreamHealth } from '../health/upstream-health.ts'
import type { ExchangeFailure, ExchangeResult, Provider } from '../providers/provider.ts'
import type { Candidate } from '../routing/route.ts'
import { type NextTarget, TargetChoice } from './target-choice.ts'

type Failing = Partial<ExchangeFailure> & { code?: GatewayError['code']; httpStatus?: number }

const failureOf = ({ code = 'provider_error', httpStatus: _, ...more }: Failing = {}): ExchangeFailure => ({
  error: new GatewayError(code, 'Scripted.'),
  kind: 'status',
  billing: 'not_billed',
  retryable: true,
  retryAfterMs: undefined,
  ...more,
})

const resultOf = (failure: ExchangeFailure | undefined, httpStatus?: number): ExchangeResult => ({
  failure,
  usage: undefined,
  implausibleUsage: undefined,
  finish: undefined,
  outputBytes: 0,
  httpStatus,
  providerResponseId: undefined,
  tail: undefined,
})

function openBench() {
  const time = { nowMs: 1_000 }
  const health = createUpstreamHealth({ log: silent, random: () => 0.5 })
  const deps = { health, monotonicMs: () => time.nowMs, random: () => 0.5 }
  const entries = new Map<string, Candidate['provider']>()
  /** Such as `a/m`: the model m of the provider a. */
  const candidate = (name: string): Candidate => {
    const [providerName = '', model = ''] = name.split('/')
    let entry = entries.get(providerName)
    if (!entry) {
      entry = { name: providerName, provider: { name: providerName } as Provider } as Candidate['provider']
      entries.set(providerName, entry)
    }
    return { provider: entry, model, entry: undefined, alias: undefined }
  }
  const choose = (...names: string[]) => new TargetChoice(names.map(candidate), deps)
  /** Ends the attempt under way and asks what comes next. */
  const fail = (choice: TargetChoice, failing: Failing = {}, remainingMs = 60_000): NextTarget | undefined => {
    const failure = failureOf(failing)
    choice.end(resultOf(failure, failing.httpStatus), 10)
    return choice.next(failure, () => remainingMs)
  }
  /** Fails until nothing comes next. @returns the candidates in the order in which they were asked */
  const failAll = (choice: TargetChoice, failing: Failing = {}): number[] => {
    const asked = [choice.at]
    for (let next = fail(choice, failing); next; next = fail(choice, failing)) {
      expect(choice.begin(next.at)).toBe(true)
      asked.push(next.at)
    }
    return asked
  }
  return { time, health, choose, candidate, fail, failAll }
}

describe('a failing target is followed', () => {
  test('by the others in their order, and then once more by those that are left, up to four attempts', () => {
    const { choose, failAll } = openBench()
    expect(failAll(choose('a/m'))).toEqual([0, 0])
    expect(failAll(choose('b/m', 'c/m'))).toEqual([0, 1, 0, 1])
    expect(failAll(choose('d/m', 'e/m', 'f/m', 'g/m'))).toEqual([0, 1, 2, 0])
  })

  test('at once by another one, and after a pause that grows by one that was asked before', () => {
    const { choose, fail } = openBench()
    const choice = choose('a/m', 'b/m')
    const waits: (number | undefined)[] = []
    for (let attempt = 0; attempt < 3; attempt++) {
      const next = fail(choice)
      waits.push(next?.waitMs)
      choice.begin(next?.at ?? 0)
    }
    expect(waits).toEqual([0, 50, 100])
  })

  test('by itself where it asks for a moment only, and not where it asks for more', () => {
    const { choose, fail } = openBench()
    const limited = { code: 'provider_error', retryAfterMs: 300 } as const
    expect(fail(choose('a/m', 'b/m'), limited)).toEqual({ at: 0, waitMs: 350 })
    expect(fail(choose('c/m', 'd/m'), { ...limited, retryAfterMs: 3_000 })).toEqual({ at: 1, waitMs: 0 })
    // A cool-down outlasts no pause that is as long: the target is asked when it is over.
    expect(fail(choose('e/m'), { code: 'provider_rate_limited', retryAfterMs: 300 })).toEqual({ at: 0, waitMs: 350 })
    expect(fail(choose('f/m'), { code: 'provider_rate_limited', retryAfterMs: 3_000 })).toBeUndefined()
  })

  test.each<[string, Failing]>([
    ['what is no use to repeat anywhere', { retryable: false }],
    ['a used-up time', {}],
  ])('by nothing: %s', (_what, failing) => {
    const { choose, fail } = openBench()
    expect(fail(choose('a/m', 'b/m'), failing, failing.retryable === false ? 60_000 : 999)).toBeUndefined()
  })

  test.each<[string, Failing]>([
    ['what an adapter refuses by itself', { kind: 'refused' }],
    ['a refused credential', { code: 'provider_auth_failed', httpStatus: 403 }],
    [
      'a used-up quota',
      { error: new GatewayError('provider_rate_limited', 'Scripted.', { providerCode: 'insufficient_quota' }) },
    ],
  ])('by others only: %s', (_what, failing) => {
    const { choose, failAll } = openBench()
    expect(failAll(choose('a/m', 'b/m'), failing)).toEqual([0, 1])
  })
})

test('an attempt that may have been billed is repeated once, wherever', () => {
  const { choose, fail } = openBench()
  const choice = choose('a/m', 'b/m', 'c/m')
  const first = fail(choice, { billing: 'maybe_billed' })
  expect(first?.at).toBe(1)
  choice.begin(1)
  const second = fail(choice, { billing: 'not_billed' })
  expect(second?.at).toBe(2)
  choice.begin(2)
  expect(fail(choice, { billing: 'maybe_billed' })).toBeUndefined()
})

test('repeats at a provider are a fifth of its attempts under way, or three', () => {
  const { choose, fail } = openBench()
  const underWay = Array.from({ length: 3 }, () => choose('a/m'))
  for (const choice of underWay) choice.begin(fail(choice)?.at ?? -1)
  expect(fail(choose('a/m'))).toBeUndefined()
  // Another model of the provider is a repeat, too; another provider is none.
  expect(fail(choose('a/m', 'a/n', 'b/m'))).toEqual({ at: 2, waitMs: 0 })
  for (const choice of underWay) choice.end(resultOf(undefined), 10)
  expect(fail(choose('a/m'))?.at).toBe(0)
})

describe('the first target', () => {
  test('is the first that may be asked', () => {
    const { choose, fail, time } = openBench()
    fail(choose('a/m'), { code: 'provider_rate_limited', retryAfterMs: 10_000 })
    expect(choose('a/m', 'b/m').at).toBe(1)
    time.nowMs += 10_000
    expect(choose('a/m', 'b/m').at).toBe(0)
  })

  test('is refused with what would help when none may be asked', () => {
    const { choose, fail } = openBench()
    fail(choose('a/m'), { code: 'provider_rate_limited', retryAfterMs: 10_000 })
    expect(() => choose('a/m')).toThrow(
      expect.objectContaining({ code: 'provider_rate_limited', retryAfterMs: 10_000 }),
    )
    for (let call = 0; call < 20; call++) {
      const choice = choose('b/m')
      choice.end(resultOf(failureOf({ billing: 'maybe_billed' }), 500), 10)
    }
    expect(() => choose('b/m')).toThrow(expect.objectContaining({ code: 'no_healthy_provider' }))
    // Patience with a limit comes before an outage: that is sure to end.
    expect(() => choose('b/m', 'a/m')).toThrow(expect.objectContaining({ code: 'provider_rate_limited' }))
  })

  test('is one whose credential was refused where that is so of all, for one call at a time', () => {
    const { choose, fail } = openBench()
    fail(choose('a/m'), { code: 'provider_auth_failed', httpStatus: 401 })
    expect(choose('a/m', 'b/m').at).toBe(1)
    const trial = choose('a/m')
    expect(() => choose('a/m')).toThrow(expect.objectContaining({ code: 'provider_auth_failed' }))
    trial.end(resultOf(undefined, 200), 10)
    expect(choose('a/m').at).toBe(0)
  })
})

test('what was begun is given back once, also when it is ended twice or never begun again', () => {
  const { choose, health, candidate } = openBench()
  const choice = choose('a/m')
  const reported = () => health.of(candidate('a/m').provider.provider).report(1_000).active
  expect(reported()).toBe(1)
  choice.end(undefined, 0)
  choice.end(undefined, 0)
  expect(reported()).toBe(0)
})
