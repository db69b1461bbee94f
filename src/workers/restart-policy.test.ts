import { expect, test } from 'vitest'
import { createRestartPolicy } from './restart-policy.ts'

const settings = { deathsMax: 5, windowMs: 60_000, delayMsMin: 100, delayMsMax: 500 }

test('the pause doubles up to its bound, and the fifth death within a minute is the last', () => {
  const policy = createRestartPolicy(settings)
  expect([0, 1_000, 2_000, 59_999].map((atMs) => policy.died(atMs))).toEqual([100, 200, 400, 500])
  expect(policy.died(59_999)).toBeUndefined()
})

test('deaths that lie a minute back count no more', () => {
  const policy = createRestartPolicy(settings)
  for (let minute = 0; minute < 100; minute++) expect(policy.died(minute * 60_000)).toBe(100)
  for (let death = 0; death < 100; death++) expect(policy.died(100 * 60_000 + death * 20_000)).toBeLessThanOrEqual(400)
})

test('each worker has a policy of its own', () => {
  const one = createRestartPolicy(settings)
  const other = createRestartPolicy(settings)
  for (let death = 0; death < 5; death++) one.died(death)
  expect(one.died(6)).toBeUndefined()
  expect(other.died(6)).toBe(100)
})
