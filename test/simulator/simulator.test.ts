import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { mutations } from './mutations.ts'
import { runSeeds } from './run-seeds.ts'

/** More of them by `npm run test:simulator`. */
const seeds = 300
const msMax = 45_000
/** Fewer would be no proof, however busy the machine is. */
const seedsMin = 20
/** By then a bug must have shown. */
const seedsOfMutation = 100

let databases: TestDatabase[]
beforeAll(async () => {
  databases = await Promise.all([createTestDatabase(), createTestDatabase()])
})
afterAll(() => Promise.all(databases.map((database) => database.drop())))
const urls = (): string[] => databases.map(({ url }) => url)

test('money stays exact in every seed', { timeout: 4 * msMax }, async () => {
  const { reports, failure } = await runSeeds({ from: 0, count: seeds, urls: urls(), msMax })
  expect(failure && `${failure.message}\nAgain: npm run test:simulator -- --seed ${failure.seed}`).toBeUndefined()
  expect(reports.length).toBeGreaterThanOrEqual(seedsMin)
  // What was played through was worth playing.
  const sum = (of: (report: (typeof reports)[number]) => number): number =>
    reports.reduce((total, report) => total + of(report), 0)
  expect(sum(({ dispatched }) => dispatched)).toBeGreaterThan(reports.length)
  expect(sum(({ refused }) => refused)).toBeGreaterThan(0)
  expect(sum(({ kills }) => kills)).toBeGreaterThan(0)
})

test('a seed makes the same choices every time', { timeout: 60_000 }, async () => {
  const once = await runSeeds({ from: 7, count: 1, urls: urls() })
  const again = await runSeeds({ from: 7, count: 1, urls: urls() })
  expect(once.failure).toBeUndefined()
  expect(again.reports).toEqual(once.reports)
})

describe('the simulator notices', () => {
  test.each(Object.entries(mutations))('%s', { timeout: 240_000 }, async (_, mutation) => {
    const { failure } = await runSeeds({ from: 0, count: seedsOfMutation, urls: urls(), mutation })
    expect(failure?.message).toMatch(/M[1-7]: /)
  })
})
