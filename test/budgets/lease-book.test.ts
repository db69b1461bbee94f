import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { installSimulatedTimers } from '../simulator/simulated-timers.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { LeaseWorld } from './lease-world.ts'

let database: TestDatabase
let uninstall: () => void
let world: LeaseWorld
beforeAll(async () => {
  database = await createTestDatabase()
  uninstall = installSimulatedTimers()
})
afterAll(async () => {
  uninstall()
  await database.drop()
})
beforeEach(async () => {
  world = new LeaseWorld(database.pools.request)
  await database.pools.admin.query('delete from budgets')
})

const is = (committed: number, leased: number) => expect.objectContaining({ committed, leased, leases: leased })

describe('budgets together', () => {
  test('grant everything that is needed, or nothing', async () => {
    const [rich, poor] = [await world.budget(1_000), await world.budget(50)]
    expect(await world.reserve('a', [rich, poor], 100n)).toBe('budget_exceeded')
    expect(await world.standing(rich)).toEqual([is(0, 0)])
    const held = await world.hold('a', [rich, poor], 50n)
    await world.settle(held, 20)
    await world.pass(5_000)
    expect(await world.standing(rich)).toEqual([is(20, 0)])
    expect(await world.standing(poor)).toEqual([is(20, 0)])
  })

  test('let exactly five of 200 calls at once through on three replicas, where there is money for five', async () => {
    const budget = await world.budget(500)
    const calls = Array.from({ length: 200 }, (_, call) => world.reserve('abc'.charAt(call % 3), [budget], 100n))
    let isDone = false
    void Promise.all(calls).then(() => {
      isDone = true
    })
    while (!isDone) await world.pass(50)
    const outcomes = await Promise.all(calls)
    expect(outcomes.filter((outcome) => typeof outcome !== 'string')).toHaveLength(5)
    expect(outcomes.filter((outcome) => outcome === 'budget_exceeded')).toHaveLength(195)
    expect(await world.standing(budget)).toEqual([is(0, 500)])
  })
})

describe('money that another replica holds idle', () => {
  test('comes within the time of a recall', async () => {
    const budget = await world.budget(400)
    ;(await world.hold('b', [budget], 300n)).settle(0n)
    const asked = world.reserve('a', [budget], 200n)
    await world.pass(250)
    expect(await asked).toMatchObject({ amountNano: 200n })
  })

  test('goes back after two seconds without being asked for', async () => {
    const budget = await world.budget(400)
    ;(await world.hold('a', [budget], 300n)).settle(0n)
    expect(await world.standing(budget)).toEqual([is(0, 300)])
    await world.pass(5_000)
    expect(await world.standing(budget)).toEqual([expect.objectContaining({ leased: 0, rows: 0 })])
  })

  test('is waited for 250 ms and not for ever, also when timers fire too early', async () => {
    world.timersEarlyMs = 7
    const budget = await world.budget(400)
    await world.hold('b', [budget], 300n)
    const asked = world.reserve('a', [budget], 200n)
    await world.quiet()
    await world.pass(400)
    expect(await asked).toBe('budget_exceeded')
  })

  test('comes although its holder was waiting for the database when it was recalled', async () => {
    const [budget, poor] = [await world.budget(400), await world.budget(50)]
    ;(await world.hold('b', [budget], 100n)).settle(0n)
    const gate = Promise.withResolvers<void>()
    world.fates.set('b', [gate.promise])
    const refused = world.reserve('b', [budget, poor], 300n)
    await world.quiet()
    const asked = world.reserve('a', [budget], 350n)
    await world.quiet()
    gate.resolve()
    expect(await refused).toBe('budget_exceeded')
    await world.quiet()
    await world.pass(250)
    expect(await asked).toMatchObject({ amountNano: 350n })
  })
})

describe('an answer that is lost', () => {
  test('leaks nothing that was granted', async () => {
    const budget = await world.budget(400)
    world.fates.set('a', ['loses its answer'])
    expect(await world.reserve('a', [budget], 100n)).toBe('budget_unverifiable')
    expect(await world.standing(budget)).toEqual([is(0, 100)])
    await world.pass(6_000)
    expect(await world.standing(budget)).toEqual([is(0, 0)])
  })

  test('leaks nothing that was given back', async () => {
    const budget = await world.budget(400)
    ;(await world.hold('a', [budget], 100n)).settle(0n)
    world.fates.set('a', ['loses its answer', 'fails', 'loses its answer'])
    await world.pass(8_000)
    expect(await world.standing(budget)).toEqual([is(0, 0)])
    await world.hold('a', [budget], 400n)
    expect(await world.standing(budget)).toEqual([is(0, 400)])
  })

  test('of one period is not taken for that of another', async () => {
    world.startMs = Date.UTC(2031, 1, 1) - 1_000
    const budget = await world.budget(1_000)
    const before = await world.hold('a', [budget], 10n)
    world.fates.set('a', ['loses its answer', 'loses its answer'])
    expect(await before.extend(200n)).toBe(false)
    world.monotonicMs += 1_500 // into the next month, before anything was looked at again
    expect(await world.reserve('a', [budget], 30n)).toBe('budget_unverifiable')
    await world.pass(100)
    const { freeNano, reservedNano } = world.book('a').statistics()
    expect({ freeNano, reservedNano }).toEqual({ freeNano: 230n, reservedNano: 10n })
    await world.settle(before, 7)
    await world.pass(8_000)
    expect(await world.standing(budget)).toEqual([is(7, 0), is(0, 0)])
  })

  test('and that comes to be only after it was given up is found, and goes back', async () => {
    const budget = await world.budget(1_000)
    ;(await world.hold('a', [budget], 100n)).settle(0n)
    const { rows } = await database.pools.admin.query('select id, sequence from budget_leases')
    // What the database does late is the ask itself: see below.
    world.fates.set('a', ['fails'])
    expect(await world.reserve('a', [budget], 200n)).toBe('budget_unverifiable')
    await world.pass(600) // it was looked for, and not found
    await database.pools.admin.query('select take_budget_leases($1, $2::jsonb)', [
      'a',
      JSON.stringify([
        {
          budget_id: budget.id,
          period_start: '2031-01-01T00:00:00Z',
          period_end: '2031-02-01T00:00:00Z',
          new_period_id: rows[0].id,
          lease_id: rows[0].id,
          sequence: Number(rows[0].sequence) + 1,
          needed_nano: '100',
          wanted_nano: '100',
        },
      ]),
    ])
    expect(await world.standing(budget)).toEqual([is(0, 200)])
    await world.pass(12_000)
    expect(await world.standing(budget)).toEqual([is(0, 0)])
  })
})

describe('a silence', () => {
  test('after which a lease was taken away is noticed, and nothing is spent from it', async () => {
    const budget = await world.budget(400)
    const held = await world.hold('a', [budget], 100n)
    held.settle(0n)
    world.beatsMs.set('a', 0)
    world.monotonicMs = 31_000
    expect(await world.reserve('a', [budget], 100n)).toBe('budget_unverifiable')
    await world.takeAway('a')
    await world.hold('b', [budget], 400n)
    world.beatsMs.delete('a')
    const refused = world.reserve('a', [budget], 100n)
    await world.pass(400)
    expect(await refused).toBe('budget_exceeded')
    expect(await world.standing(budget)).toEqual([is(0, 400)])
    expect(world.book('a').statistics()).toMatchObject({ lost: 1, freeNano: 0n })
  })

  test('is one although the heartbeat that ends it was sent early in it', async () => {
    const budget = await world.budget(400)
    ;(await world.hold('a', [budget], 100n)).settle(0n)
    world.monotonicMs = 31_000
    await world.takeAway('a')
    world.beatsMs.set('a', 24_000)
    await world.pass(600)
    expect(world.book('a').statistics()).toMatchObject({ lost: 1, freeNano: 0n })
  })

  test('makes an answer from before it worth nothing', async () => {
    const budget = await world.budget(400)
    ;(await world.hold('a', [budget], 100n)).settle(0n)
    const { promise, resolve } = Promise.withResolvers<void>()
    world.fates.set('a', [promise])
    const asked = world.reserve('a', [budget], 200n)
    await world.quiet()
    world.monotonicMs = 31_000
    await world.pass(600) // the new heartbeat is noticed while the answer is under way
    const { statements } = world
    resolve()
    await asked
    expect(world.statements).toBe(statements + 1) // the lease was looked at again before anything was spent from it
  })
})

describe('a change of a budget', () => {
  test.each([
    ['raised', 'amount_nano = 1000', 600n],
    ['raised for a time', "temporary_increase_nano = 600, temporary_increase_until = now() + interval '1 hour'", 600n],
  ])('%s: the next ask has it', async (_, change, amountNano) => {
    const budget = await world.budget(400)
    expect(await world.reserve('a', [budget], amountNano)).toBe('budget_exceeded')
    await database.pools.admin.query(`update budgets set ${change} where id = $1`, [budget.id])
    expect(await world.reserve('a', [budget], amountNano)).toMatchObject({ amountNano })
  })

  test('lowered, or an increase that has ended: the next ask is refused', async () => {
    const budget = await world.budget(400)
    await world.hold('a', [budget], 300n)
    await database.pools.admin.query(
      `update budgets set amount_nano = 350, temporary_increase_nano = 600,
         temporary_increase_until = now() - interval '1 second' where id = $1`,
      [budget.id],
    )
    expect(await world.reserve('a', [budget], 100n)).toBe('budget_exceeded')
  })

  test('deleted: it limits nobody', async () => {
    const budget = await world.budget(100)
    await world.hold('a', [budget], 100n)
    await database.pools.admin.query('delete from budgets where id = $1', [budget.id])
    expect(await world.reserve('a', [budget], 1_000n)).toMatchObject({ periodIds: [] })
  })
})

test('a soft budget holds nothing back, and refuses once it is spent', async () => {
  const budget = await world.budget(100, { mode: 'soft' })
  const first = await world.hold('a', [budget], 500n)
  expect(first.leaseIds).toEqual([null])
  await world.settle(first, 150)
  await world.pass(1_100)
  expect(await world.reserve('a', [budget], 1n)).toBe('budget_exceeded')
  expect(await world.standing(budget)).toEqual([is(150, 0)])
})

test('a call belongs to the period in which it was reserved, also when it asks for more in the next', async () => {
  world.startMs = Date.UTC(2031, 1, 1) - 10
  const budget = await world.budget(1_000)
  const before = await world.hold('a', [budget], 100n)
  await world.pass(70_000) // longer than an account is remembered that nobody uses
  const after = await world.hold('a', [budget], 100n)
  expect(await before.extend(100n)).toBe(true)
  await world.settle(before, 170)
  await world.settle(after, 30)
  await world.pass(5_000)
  expect(await world.standing(budget)).toEqual([is(170, 0), is(30, 0)])
})

test('an account is remembered as long as a call may come back to it, also when its lease was taken away', async () => {
  world.startMs = Date.UTC(2031, 1, 1) - 10
  const budget = await world.budget(1_000)
  const held = await world.hold('a', [budget], 100n)
  await world.takeAway('a')
  world.monotonicMs = 31_000
  await world.pass(70_000)
  expect(await held.extend(100n)).toBe(false) // out of another lease, which the end of the call could not name
  await world.pass(5_000)
  expect(await world.standing(budget)).toEqual([is(0, 0)])
})

test('a database that is away refuses what is not at hand, and nothing stays refused', async () => {
  const budget = await world.budget(400)
  world.fates.set('a', ['fails', 'fails'])
  expect(await world.reserve('a', [budget], 100n)).toBe('budget_unverifiable')
  expect(await world.reserve('a', [budget], 100n)).toBe('budget_unverifiable')
  expect(await world.reserve('a', [budget], 100n)).toMatchObject({ amountNano: 100n })
})

test('a lease that is empty and unused leaves no row', async () => {
  const budget = await world.budget(100)
  await world.settle(await world.hold('a', [budget], 100n), 100)
  expect(await world.standing(budget)).toEqual([expect.objectContaining({ committed: 100, leased: 0, rows: 1 })])
  await world.pass(130_000)
  expect(await world.standing(budget)).toEqual([expect.objectContaining({ committed: 100, leased: 0, rows: 0 })])
})
