import { expect, test } from 'vitest'
import { GatewayError } from '../errors.ts'
import type { ExchangeFailure, ExchangeResult } from '../providers/provider.ts'
import { type BegunAttempt, type HealthChange, ProviderHealth } from './provider-health.ts'

const answered: ExchangeResult = {
  failure: undefined,
  usage: undefined,
  implausibleUsage: undefined,
  finish: 'stop',
  outputBytes: 10,
  httpStatus: 200,
  providerResponseId: undefined,
  tail: undefined,
}

const failed = (
  code: GatewayError['code'],
  { httpStatus, ...failure }: Partial<ExchangeFailure> & { httpStatus?: number } = {},
): ExchangeResult => ({
  ...answered,
  httpStatus,
  failure: {
    error: new GatewayError(code, 'Scripted.'),
    kind: 'status',
    billing: 'maybe_billed',
    retryable: true,
    retryAfterMs: undefined,
    ...failure,
  },
})

function bench() {
  const world = { nowMs: 1_000, changes: [] as HealthChange[] }
  const health = new ProviderHealth(
    (change) => world.changes.push(change),
    () => 0.5,
  )
  const call = (result: ExchangeResult, model = 'a', totalMs = 100): boolean => {
    const begun = health.begin(model, false, world.nowMs)
    if (begun) health.end(begun, result, totalMs, world.nowMs)
    return begun !== undefined
  }
  const reason = (model = 'a') => health.unavailable(model, world.nowMs)?.reason
  return { world, health, call, reason }
}

test('a refused credential stops everything for a minute, and is told once', () => {
  const { world, call, reason } = bench()
  call(failed('provider_auth_failed', { httpStatus: 401, billing: 'not_billed' }))
  expect([reason('a'), reason('b')]).toEqual(['credential-refused', 'credential-refused'])
  expect(call(answered)).toBe(false)
  world.nowMs += 60_000
  expect(reason()).toBeUndefined()
  expect(world.changes).toEqual([{ kind: 'credential-refused', model: undefined }])
})

test('as a last resort one call at a time tries a refused credential, and only its answer lifts the refusal', () => {
  const { world, health, call, reason } = bench()
  const early = health.begin('a', false, world.nowMs) as BegunAttempt
  call(failed('provider_auth_failed', { httpStatus: 401, billing: 'not_billed' }))
  health.end(early, answered, 100, world.nowMs)
  expect(reason(), 'a call that was let in before says nothing').toBe('credential-refused')

  const trial = health.begin('a', false, world.nowMs, true) as BegunAttempt
  expect(health.begin('b', false, world.nowMs, true)).toBeUndefined()
  health.end(trial, undefined, 100, world.nowMs)
  expect(reason()).toBe('credential-refused')
  health.end(health.begin('b', false, world.nowMs, true) as BegunAttempt, answered, 100, world.nowMs)
  expect([reason('a'), reason('b')]).toEqual([undefined, undefined])
})

test('a model that is refused to a credential stops that model', () => {
  const { world, call, reason } = bench()
  call(failed('provider_auth_failed', { httpStatus: 403, billing: 'not_billed' }))
  expect([reason('a'), reason('b')]).toEqual(['credential-refused', undefined])
  expect(world.changes).toEqual([{ kind: 'credential-refused', model: 'a' }])
})

test.for([
  [20_000, 20_000],
  [3_600_000, 60_000],
])('a target that asks for %d ms is left alone for %d ms', ([retryAfterMs, cooledMs]) => {
  const { world, call, reason } = bench()
  call(failed('provider_rate_limited', { retryAfterMs: retryAfterMs as number, billing: 'not_billed' }))
  world.nowMs += (cooledMs as number) - 1
  expect([reason('a'), reason('b')]).toEqual(['cooling-down', undefined])
  world.nowMs += 1
  expect(reason()).toBeUndefined()
})

test('only what says something about the target counts against it', () => {
  const { health, world, call, reason } = bench()
  for (let times = 0; times < 30; times++) {
    call(failed('invalid_body', { billing: 'not_billed', retryable: false }))
    call(failed('provider_rate_limited', { billing: 'not_billed' }))
    call(failed('provider_error', { billing: 'not_billed', httpStatus: 409 }))
    call(failed('client_closed_request', { kind: 'cancelled' }))
  }
  expect(health.report(world.nowMs).targets).toMatchObject([{ circuit: 'closed', calls: 0, failures: 0 }])
  for (let times = 0; times < 20; times++) call(failed('provider_timeout', { kind: 'timeout' }))
  expect([reason('a'), reason('b')]).toEqual(['circuit-open', undefined])
  expect(world.changes).toEqual([{ kind: 'circuit-opened', model: 'a' }])
  world.nowMs += 15_000
  for (let times = 0; times < 3; times++) expect(call(answered)).toBe(true)
  expect(world.changes.at(-1)).toEqual({ kind: 'circuit-closed', model: 'a' })
})

test('retries may be a fifth of what is under way, and three in any case', () => {
  const { health, world } = bench()
  const begun: (BegunAttempt | undefined)[] = []
  const begin = (isRetry: boolean): void => void begun.push(health.begin('a', isRetry, world.nowMs))
  for (let retries = 0; retries < 3; retries++) {
    expect(health.mayRetry()).toBe(true)
    begin(true)
  }
  expect(health.mayRetry()).toBe(false)
  for (let calls = 0; calls < 17; calls++) begin(false)
  expect(health.mayRetry(), '3 of 20').toBe(true)
  begin(true)
  for (const each of begun) if (each) health.end(each, answered, 1, world.nowMs)
  expect(health.report(world.nowMs)).toMatchObject({ active: 0 })
  for (let retries = 0; retries < 3; retries++) {
    expect(health.mayRetry()).toBe(true)
    begin(true)
  }
  expect(health.mayRetry()).toBe(false)
})

test('latency is a moving average of answers', () => {
  const { health, world, call } = bench()
  call(answered, 'a', 100)
  call(answered, 'a', 200)
  call(failed('provider_error'), 'a', 9_000)
  expect(health.report(world.nowMs).targets).toMatchObject([{ model: 'a', latencyMs: 120, calls: 3, failures: 1 }])
})
