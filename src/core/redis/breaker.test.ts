import { expect, test } from 'vitest'
import { type BreakerOptions, createBreaker } from './breaker.ts'

function bench(options: Partial<BreakerOptions> = {}) {
  const world = { nowMs: 1_000_000, changes: [] as boolean[] }
  const breaker = createBreaker({
    monotonicMs: () => world.nowMs,
    random: () => 0.5,
    changed: (isOpen) => world.changes.push(isOpen),
    ...options,
  })
  const times = (count: number, act: () => void): void => {
    for (let done = 0; done < count; done++) act()
  }
  return { world, breaker, times }
}

test('it opens at the fifth failure in a row, and not at four with a success between', () => {
  const { world, breaker, times } = bench()
  times(4, breaker.failed)
  breaker.succeeded()
  times(4, breaker.failed)
  expect(breaker.isOpen).toBe(false)
  breaker.failed()
  expect(breaker.isOpen).toBe(true)
  expect(world.changes).toEqual([true])
  expect(breaker.openedCount).toBe(1)
})

test('it opens when a fifth of twenty calls fail, however they are spread', () => {
  const { breaker, times } = bench()
  times(3, () => {
    breaker.failed()
    times(4, breaker.succeeded)
  })
  // Three of fifteen are a fifth, but of too few.
  expect(breaker.isOpen).toBe(false)
  times(4, breaker.succeeded)
  expect(breaker.isOpen).toBe(false)
  breaker.failed()
  expect(breaker.isOpen).toBe(true)
})

test('a share below a fifth never opens it', () => {
  const { breaker, times } = bench()
  times(200, () => {
    times(5, breaker.succeeded)
    breaker.failed()
  })
  expect(breaker.isOpen).toBe(false)
})

test('what is older than ten seconds no longer counts', () => {
  const { world, breaker, times } = bench()
  times(4, breaker.failed)
  times(12, breaker.succeeded)
  world.nowMs += 11_000
  // With the sixteen of before this would be the twentieth call and the fifth failure.
  times(3, breaker.succeeded)
  breaker.failed()
  expect(breaker.isOpen).toBe(false)
  world.nowMs += 9_000
  times(13, breaker.succeeded)
  times(2, breaker.failed)
  expect(breaker.isOpen).toBe(false)
  // Now three of twenty, all within ten seconds; the fourth makes it a fifth.
  breaker.succeeded()
  breaker.failed()
  expect(breaker.isOpen).toBe(false)
  breaker.failed()
  expect(breaker.isOpen).toBe(true)
})

test('the window moves in steps: a failure is forgotten after nine to ten seconds', () => {
  for (const offsetMs of [0, 500, 999]) {
    const { world, breaker, times } = bench()
    world.nowMs += offsetMs
    times(4, breaker.failed)
    breaker.succeeded()
    world.nowMs += 8_999
    times(15, breaker.succeeded)
    breaker.failed()
    expect(breaker.isOpen, `${offsetMs} ms into a step`).toBe(true)
  }
  const { world, breaker, times } = bench()
  times(4, breaker.failed)
  breaker.succeeded()
  world.nowMs += 10_000
  times(19, breaker.succeeded)
  breaker.failed()
  expect(breaker.isOpen).toBe(false)
})

test('it closes after three good probes in a row, with a clean slate', () => {
  const { world, breaker, times } = bench()
  breaker.open()
  times(2, breaker.probeSucceeded)
  breaker.probeFailed()
  times(2, breaker.probeSucceeded)
  expect(breaker.isOpen).toBe(true)
  breaker.probeSucceeded()
  expect(breaker.isOpen).toBe(false)
  expect(world.changes).toEqual([true, false])
  times(4, breaker.failed)
  expect(breaker.isOpen).toBe(false)
})

test('calls that began before it opened change nothing when they end', () => {
  const { world, breaker, times } = bench()
  times(5, breaker.failed)
  times(50, breaker.succeeded)
  times(50, breaker.failed)
  expect(breaker.isOpen).toBe(true)
  times(3, breaker.probeSucceeded)
  expect(breaker.isOpen).toBe(false)
  breaker.failed()
  expect(breaker.isOpen).toBe(false)
  expect(world.changes).toEqual([true, false])
})

test('opening it twice is opening it once, and probes do nothing while it is closed', () => {
  const { world, breaker, times } = bench()
  times(3, breaker.probeSucceeded)
  breaker.open()
  breaker.open()
  expect(world.changes).toEqual([true])
  expect(breaker.openedCount).toBe(1)
})

test('probes come about once a second, and not in step', () => {
  const delays = [0, 0.25, 0.999_999].map((value) => bench({ random: () => value }).breaker.probeDelayMs())
  expect(delays.map(Math.round)).toEqual([800, 900, 1_200])
})
