import { expect, test } from 'vitest'
import { CircuitBreaker, type Outcome } from './circuit-breaker.ts'

function bench(random = 0.5) {
  const world = { nowMs: 1_000_000 }
  const breaker = new CircuitBreaker(world.nowMs, () => random)
  const call = (outcome: Outcome): boolean => {
    const passage = breaker.enter(world.nowMs)
    if (passage) breaker.leave(passage, outcome, world.nowMs)
    return passage !== undefined
  }
  const calls = (count: number, outcome: Outcome): void => {
    for (let done = 0; done < count; done++) call(outcome)
  }
  const state = () => breaker.state(world.nowMs)
  return { world, breaker, call, calls, state }
}

test('it opens when half of twenty calls fail, and not of nineteen', () => {
  const { calls, state } = bench()
  calls(10, 'success')
  calls(9, 'failure')
  expect(state()).toBe('closed')
  calls(1, 'failure')
  expect(state()).toBe('open')
})

test('less than half never opens it', () => {
  const { calls, state } = bench()
  for (let round = 0; round < 20; round++) {
    calls(11, 'success')
    calls(10, 'failure')
  }
  expect(state()).toBe('closed')
})

test('what is older than thirty seconds, and what says nothing about the target, does not count', () => {
  const { world, calls, state } = bench()
  calls(19, 'failure')
  calls(100, 'neutral')
  expect(state()).toBe('closed')
  world.nowMs += 31_000
  calls(19, 'failure')
  expect(state()).toBe('closed')
  calls(1, 'failure')
  expect(state()).toBe('open')
})

test('open, it lets nobody through for fifteen seconds, then one at a time, and three good ones close it', () => {
  const { world, breaker, call, calls, state } = bench()
  calls(20, 'failure')
  world.nowMs += 14_999
  expect(call('success')).toBe(false)
  world.nowMs += 1
  expect(state()).toBe('half-open')
  const probe = breaker.enter(world.nowMs)
  expect(probe).toBe('probe')
  expect(breaker.enter(world.nowMs)).toBeUndefined()
  breaker.leave('probe', 'success', world.nowMs)
  expect(call('neutral')).toBe(true)
  expect(call('success')).toBe(true)
  expect(state()).toBe('half-open')
  expect(call('success')).toBe(true)
  expect(state()).toBe('closed')
  calls(19, 'failure')
  expect(state(), 'with a clean slate').toBe('closed')
})

test('each further time it stays open twice as long, up to two minutes, and from the start once it has closed', () => {
  const { world, call, calls, state } = bench()
  calls(20, 'failure')
  for (const openMs of [15_000, 30_000, 60_000, 120_000, 120_000]) {
    world.nowMs += openMs - 1
    expect(call('success'), `${openMs} ms are not over`).toBe(false)
    world.nowMs += 1
    expect(call('failure')).toBe(true)
  }
  world.nowMs += 120_000
  calls(3, 'success')
  expect(state()).toBe('closed')
  calls(20, 'failure')
  world.nowMs += 15_000
  expect(state()).toBe('half-open')
})

test.for([
  [0, 12_000],
  [0.999_999, 18_000],
])('how long it stays open is spread by a fifth: %d', ([random, openMs]) => {
  const { world, calls, state } = bench(random)
  calls(20, 'failure')
  world.nowMs += (openMs as number) - 2
  expect(state()).toBe('open')
  world.nowMs += 3
  expect(state()).toBe('half-open')
})

test('calls that began before it opened change nothing when they end', () => {
  const { world, breaker, calls, state } = bench()
  const early = breaker.enter(world.nowMs)
  calls(20, 'failure')
  if (early) breaker.leave(early, 'success', world.nowMs)
  expect(state()).toBe('open')
  expect(breaker.openedCount).toBe(1)
})
