import { expect, test } from 'vitest'
import { Cancellation } from './cancellation.ts'
import { createDeadlines } from './deadlines.ts'

test('a call is cancelled when its time is up, unless it is over', () => {
  let now = 1_000
  const deadlines = createDeadlines(() => now)
  const calls = [1_100, 1_300, 1_100, 1_200].map((atMs) => {
    const cancellation = new Cancellation()
    return { cancellation, deadline: deadlines.watch(cancellation, atMs, 100.4) }
  })
  const cancelled = (): boolean[] => calls.map(({ cancellation }) => cancellation.reason !== undefined)
  const [first, second, third] = calls as [(typeof calls)[0], (typeof calls)[0], (typeof calls)[0]]
  deadlines.release(first.deadline)
  deadlines.release(first.deadline)

  deadlines.sweep()
  expect(cancelled()).toEqual([false, false, false, false])
  now = 1_100
  deadlines.sweep()
  expect(cancelled()).toEqual([false, false, true, false])
  expect(third.cancellation.reason).toMatchObject({
    code: 'provider_timeout',
    message: 'The provider did not finish its answer within 100 ms.',
  })
  deadlines.release(third.deadline)
  now = 1_200
  deadlines.sweep()
  expect(cancelled()).toEqual([false, false, true, true])
  deadlines.release(second.deadline)
  now = 5_000
  deadlines.sweep()
  expect(cancelled()).toEqual([false, false, true, true])
})
