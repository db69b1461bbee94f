import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createCallDeadlines } from './call-deadlines.ts'
import type { RedisUnavailable } from './redis-unavailable.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** With timeouts after 30 ms. */
function bench(timeoutMs = 30) {
  const told: (true | RedisUnavailable)[] = []
  const deadlines = createCallDeadlines({ monotonicMs: () => performance.now(), timeoutMs })
  const outcome = { succeeded: () => told.push(true), failed: (error: RedisUnavailable) => told.push(error) }
  return { told, deadlines, call: <T>(start: () => Promise<T>) => deadlines.call(start, outcome) }
}

const never = () => new Promise<never>(() => {})

test('an answer in time is handed on', async () => {
  const { told, call } = bench()
  expect(await call(async () => 42)).toBe(42)
  expect(told).toEqual([true])
})

test('an answer that does not come is given up, one after the other', async () => {
  const { told, call } = bench()
  const ends: string[] = []
  const start = (name: string): void => {
    call(never).catch(({ reason }) => ends.push(`${name} ${reason}`))
  }
  start('first')
  await vi.advanceTimersByTimeAsync(15)
  start('second')
  await vi.advanceTimersByTimeAsync(14)
  expect(ends).toEqual([])
  await vi.advanceTimersByTimeAsync(3)
  expect(ends).toEqual(['first timeout'])
  expect(await call(async () => 'alive')).toBe('alive')
  await vi.advanceTimersByTimeAsync(10)
  expect(ends).toEqual(['first timeout'])
  await vi.advanceTimersByTimeAsync(5)
  expect(ends).toEqual(['first timeout', 'second timeout'])
  expect(told).toHaveLength(3)
  start('third')
  await vi.advanceTimersByTimeAsync(28)
  expect(ends).toHaveLength(2)
  await vi.advanceTimersByTimeAsync(4)
  expect(ends).toHaveLength(3)
})

test('what comes after the deadline is dropped, good or bad', async () => {
  for (const end of ['resolve', 'reject'] as const) {
    const { told, call } = bench()
    let answer = (): void => {}
    const ended = call(
      () =>
        new Promise<void>((resolve, reject) => {
          answer = end === 'resolve' ? resolve : () => reject(new Error('late'))
        }),
    ).catch(({ reason }) => reason)
    await vi.advanceTimersByTimeAsync(32)
    expect(await ended).toBe('timeout')
    answer()
    await vi.advanceTimersByTimeAsync(1)
    expect(told).toHaveLength(1)
  }
})

test('a refusal is a failure with its cause, whether it is thrown or rejected', async () => {
  const { told, call } = bench()
  const cause = new Error('WRONGTYPE')
  await expect(call(() => Promise.reject(cause))).rejects.toMatchObject({ reason: 'failed', cause })
  await expect(
    call(() => {
      throw cause
    }),
  ).rejects.toMatchObject({ reason: 'failed', cause })
  expect(told).toHaveLength(2)
})

test('an error that a pipeline swallows is a failure', async () => {
  const { told, call } = bench()
  const cause = new Error('OOM')
  const answer = [
    [null, 'OK'],
    [cause, undefined],
  ]
  await expect(call(async () => answer)).rejects.toMatchObject({ reason: 'failed', cause })
  expect(await call(async () => [[null, 1]])).toEqual([[null, 1]])
  expect(await call(async () => [1, [2]])).toEqual([1, [2]])
  expect(await call(async () => [])).toEqual([])
  expect(told.map((each) => each === true)).toEqual([false, true, true, true])
})

test('a pause of this process does not pass for one of the other side', async () => {
  vi.useRealTimers()
  const { told, call } = bench()
  // Answered while the loop stands still: the deadline's timer is due before what has arrived is read.
  const answer = call(() => new Promise((resolve) => void setImmediate(resolve, 'answered')))
  const untilMs = performance.now() + 60
  while (performance.now() < untilMs);
  expect(await answer).toBe('answered')
  expect(told).toEqual([true])
})

test('closing ends all waiting', async () => {
  const { deadlines, call } = bench(60_000)
  const calls = [call(never), call(never)]
  deadlines.close()
  for (const each of calls) await expect(each).rejects.toMatchObject({ reason: 'timeout' })
})

test('calls that end in any order leave nothing behind', async () => {
  const { told, call } = bench(20)
  const ends = [0, 1, 2, 3, 4, 5].map((index) => {
    let resolve = (_: number): void => {}
    const promise = call(
      () =>
        new Promise<number>((end) => {
          resolve = end
        }),
    )
    return { index, promise, resolve: () => resolve(index) }
  })
  for (const index of [2, 0, 5, 3]) {
    ends[index]?.resolve()
    expect(await ends[index]?.promise).toBe(index)
  }
  const left = [1, 4].map((index) => expect(ends[index]?.promise).rejects.toMatchObject({ reason: 'timeout' }))
  await vi.advanceTimersByTimeAsync(25)
  await Promise.all(left)
  expect(told).toHaveLength(6)
})
