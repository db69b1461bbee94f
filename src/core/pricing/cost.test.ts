import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nanoUsd } from '../money.ts'
import { type ServiceTier, type UnitKind, type Units, unitKinds } from '../usage/usage.ts'
import { costOf, inputTokenKinds, outputTokenKinds, worstCaseNano } from './cost.ts'
import type { Price, RateTable } from './price.ts'
import { parsePrice, storedRates } from './stored-price.ts'

type Numbers = Partial<Record<UnitKind, number>>

/** Rates in dollars for a million units; a table is `[tier, size, rates]`. */
function priceOf(...tables: [ServiceTier, number, Numbers][]): Price {
  return {
    id: 'p',
    tables: tables.map(([serviceTier, aboveInputTokens, rates]) => ({
      serviceTier,
      aboveInputTokens,
      rates: Object.fromEntries(
        Object.entries(rates).map(([kind, dollars]) => [kind, nanoUsd(BigInt(Math.round(dollars * 1e9)))]),
      ),
    })),
  }
}

const usage = (units: Units, inputTokens = 1, serviceTier: ServiceTier = 'default') => ({
  units,
  inputTokens,
  serviceTier,
})

/** The rate, in dollars for a million units, that was applied to a kind. */
function rateApplied(price: Price, kind: UnitKind, inputTokens = 1, serviceTier: ServiceTier = 'default'): number {
  return Number(costOf(price, usage({ [kind]: 1_000_000 }, inputTokens, serviceTier)).costNano) / 1e9
}

describe('a price with one table', () => {
  const price = priceOf(['default', 0, { input: 2.5, cache_read: 1.25, output: 10 }])

  test('adds up what each kind costs', () => {
    const units = { input: 500_000, cache_read: 500_000, output: 1_000 }
    expect(costOf(price, usage(units, 1_000_000))).toEqual({ costNano: 1_885_000_000n, unpricedKinds: [] })
  })

  test('rounds the sum up, once', () => {
    const thirds = { id: 'p', tables: [table({ input: 333_333n, output: 333_334n, cache_read: 333_334n })] }
    expect(costOf(thirds, usage({ input: 1, output: 1 })).costNano).toBe(1n)
    expect(costOf(thirds, usage({ input: 1, output: 1, cache_read: 1 })).costNano).toBe(2n)
    expect(costOf(thirds, usage({ input: 3, output: 3 })).costNano).toBe(3n)
  })

  test('reports kinds that it has no rate for, and prices the others', () => {
    const { costNano, unpricedKinds } = costOf(price, usage({ input: 1_000_000, search: 3, output_image_item: 1 }))
    expect(costNano).toBe(2_500_000_000n)
    expect(unpricedKinds).toEqual(['search', 'output_image_item'])
  })

  test('does not report a kind that did not occur', () => {
    expect(costOf(price, usage({ search: 0 }))).toEqual({ costNano: 0n, unpricedKinds: [] })
  })

  test('charges a fee for the request only where there is one', () => {
    expect(costOf(price, usage({ request: 1 }))).toEqual({ costNano: 0n, unpricedKinds: [] })
    expect(rateApplied(priceOf(['default', 0, { request: 5_000 }]), 'request')).toBe(5_000)
  })

  test('a rate of zero is a price', () => {
    expect(costOf(priceOf(['default', 0, { input: 0 }]), usage({ input: 9, cache_read: 9 }))).toEqual({
      costNano: 0n,
      unpricedKinds: [],
    })
  })
})

test('a price without rates leaves everything unpriced', () => {
  expect(costOf({ id: 'p', tables: [] }, usage({ input: 1, output: 2, request: 1 }))).toEqual({
    costNano: 0n,
    unpricedKinds: ['input', 'output'],
  })
})

describe('a kind without a rate of its own', () => {
  test.each<[UnitKind, UnitKind]>([
    ['cache_read', 'input'],
    ['cache_write_5m', 'input'],
    ['cache_write_1h', 'cache_write_5m'],
    ['cache_write_1h', 'input'],
    ['input_audio', 'input'],
    ['input_image', 'input'],
    ['input_video', 'input'],
    ['cache_read_audio', 'cache_read'],
    ['cache_read_audio', 'input_audio'],
    ['cache_write_audio', 'cache_write_5m'],
    ['reasoning', 'output'],
    ['output_audio', 'output'],
    ['output_image', 'output'],
    ['output_video', 'output'],
  ])('%s is priced as %s', (kind, substitute) => {
    const others: Numbers = substitute === 'input' ? {} : { input: 7, output: 7 }
    expect(rateApplied(priceOf(['default', 0, { ...others, [substitute]: 3 }]), kind)).toBe(3)
    expect(rateApplied(priceOf(['default', 0, { [substitute]: 3, [kind]: 5 }]), kind)).toBe(5)
  })

  test.each<UnitKind>(['search', 'runtime_ms', 'input_audio_ms', 'input_character', 'output_image_item', 'input_page'])(
    '%s has no substitute',
    (kind) => {
      expect(costOf(priceOf(['default', 0, { input: 1, output: 1 }]), usage({ [kind]: 1 })).unpricedKinds).toEqual([
        kind,
      ])
    },
  )
})

describe('tables', () => {
  const price = priceOf(
    ['default', 0, { input: 1, output: 10, cache_read: 0.1 }],
    ['default', 200_000, { input: 2, output: 20 }],
    ['default', 400_000, { input: 4 }],
    ['priority', 0, { input: 3, cache_read: 0.3 }],
    ['priority', 200_000, { input: 6 }],
  )

  test.each([
    [0, 1],
    [200_000, 1],
    [200_001, 2],
    [400_000, 2],
    [400_001, 4],
    [9_000_000, 4],
  ])('a prompt of %i tokens takes the largest size it is strictly above', (inputTokens, dollars) => {
    expect(rateApplied(price, 'input', inputTokens)).toBe(dollars)
  })

  test('the size moves the output, too, and what a size does not name stays', () => {
    expect(rateApplied(price, 'output', 200_001)).toBe(20)
    expect(rateApplied(price, 'output', 400_001)).toBe(20)
    expect(rateApplied(price, 'cache_read', 400_001)).toBe(0.1)
  })

  test('the service tier is given up before the size', () => {
    expect(rateApplied(price, 'input', 200_001, 'priority')).toBe(6)
    expect(rateApplied(price, 'output', 200_001, 'priority')).toBe(20)
    expect(rateApplied(price, 'input', 400_001, 'priority')).toBe(4)
  })

  test('the tier is asked again at each smaller size', () => {
    expect(rateApplied(price, 'cache_read', 400_001, 'priority')).toBe(0.3)
  })

  test('the size is given up before the kind', () => {
    expect(rateApplied(price, 'cache_read', 200_001)).toBe(0.1)
  })

  test('an unknown tier is served at the default one', () => {
    expect(rateApplied(price, 'input', 1, 'flex')).toBe(1)
  })
})

describe('the worst case', () => {
  const price = priceOf(
    ['default', 0, { input: 1, output: 10, cache_write_1h: 2, output_audio: 80, request: 1_000 }],
    ['default', 200_000, { input: 3 }],
    ['priority', 0, { output: 20 }],
  )

  test('takes the dearest kind of every tier and of every size the prompt can reach', () => {
    expect(worstCaseNano(price, 200_000, 1_000)).toBe(400_000_000n + 80_000_000n + 1_000_000n)
    expect(worstCaseNano(price, 200_001, 0)).toBe(600_003_000n + 1_000_000n)
  })

  test('leaves out kinds that cannot occur', () => {
    expect(worstCaseNano(price, 1_000, 1_000, ['input', 'output'])).toBe(1_000_000n + 20_000_000n + 1_000_000n)
  })

  test('of a free model is nothing', () => {
    expect(worstCaseNano(priceOf(['default', 0, { input: 0, output: 0 }]), 10_000, 10_000)).toBe(0n)
  })
})

const table = (rates: Partial<Record<UnitKind, bigint>>): RateTable => ({
  serviceTier: 'default',
  aboveInputTokens: 0,
  rates: Object.fromEntries(Object.entries(rates).map(([kind, rate]) => [kind, nanoUsd(rate)])),
})

const anyTier = fc.constantFrom<ServiceTier>('default', 'flex', 'priority', 'batch')
const anyRates = fc
  .dictionary(fc.constantFrom(...unitKinds), fc.bigInt(0n, 10n ** 15n), { maxKeys: 8 })
  .map((rates) => Object.fromEntries(Object.entries(rates).map(([kind, rate]) => [kind, nanoUsd(rate)])))
const anyTable = fc.record({
  serviceTier: anyTier,
  aboveInputTokens: fc.constantFrom(0, 32_000, 200_000),
  rates: anyRates,
})
const anyPrice: fc.Arbitrary<Price> = fc
  .uniqueArray(anyTable, {
    maxLength: 6,
    selector: (one) => `${one.serviceTier}/${one.aboveInputTokens}`,
  })
  .map((tables) => ({ id: 'p', tables }))
const anyUnits = (kinds: readonly UnitKind[]) =>
  fc.dictionary(fc.constantFrom(...kinds), fc.nat(10_000_000), { maxKeys: 6 }).map((units): Units => ({ ...units }))
const anyInputTokens = fc.nat(400_000)

describe('whatever the price', () => {
  test('a cost is never negative and never falls when more is used', () => {
    fc.assert(
      fc.property(
        anyPrice,
        anyUnits(unitKinds),
        anyUnits(unitKinds),
        anyInputTokens,
        anyTier,
        (price, less, extra, inputTokens, tier) => {
          const smaller = costOf(price, usage(less, inputTokens, tier)).costNano
          const larger = costOf(price, usage(sum(less, extra), inputTokens, tier)).costNano
          return smaller >= 0n && larger >= smaller
        },
      ),
    )
  })

  test('splitting a call changes its cost by rounding alone', () => {
    fc.assert(
      fc.property(
        anyPrice,
        anyUnits(unitKinds),
        anyUnits(unitKinds),
        anyInputTokens,
        anyTier,
        (price, a, b, inputTokens, tier) => {
          const apart =
            costOf(price, usage(a, inputTokens, tier)).costNano + costOf(price, usage(b, inputTokens, tier)).costNano
          const together = costOf(price, usage(sum(a, b), inputTokens, tier)).costNano
          return together <= apart && apart <= together + 1n
        },
      ),
    )
  })

  test('a request costs at most its worst case', () => {
    const tokenUnits = anyUnits([...inputTokenKinds, ...outputTokenKinds])
    fc.assert(
      fc.property(
        anyPrice,
        tokenUnits,
        anyTier,
        fc.nat(5_000),
        fc.nat(5_000),
        (price, units, tier, moreIn, moreOut) => {
          const inputTokens = countOf(units, inputTokenKinds)
          const bound = worstCaseNano(price, inputTokens + moreIn, countOf(units, outputTokenKinds) + moreOut)
          const all = { ...units, request: 1 }
          return costOf(price, usage(all, inputTokens, tier)).costNano <= bound
        },
      ),
      { numRuns: 300 },
    )
  })

  test('it costs the same after it has been stored as JSON and read back', () => {
    fc.assert(
      fc.property(anyPrice, anyUnits(unitKinds), anyInputTokens, anyTier, (price, units, inputTokens, tier) => {
        const again = parsePrice(price.id, JSON.parse(JSON.stringify(storedRates(price))))
        expect(again).toEqual(price)
        expect(costOf(again, usage(units, inputTokens, tier))).toEqual(costOf(price, usage(units, inputTokens, tier)))
      }),
    )
  })

  test('every kind that was used is priced or reported', () => {
    fc.assert(
      fc.property(anyPrice, anyUnits(unitKinds), anyTier, (price, units, tier) => {
        const { unpricedKinds } = costOf(price, usage(units, 1, tier))
        for (const kind of unpricedKinds) {
          expect(units[kind]).toBeGreaterThan(0)
          expect(costOf(price, usage({ [kind]: 1_000_000_000 }, 1, tier)).costNano).toBe(0n)
        }
      }),
    )
  })
})

function sum(a: Units, b: Units): Units {
  const total: Units = { ...a }
  for (const [kind, count] of Object.entries(b)) total[kind as UnitKind] = (total[kind as UnitKind] ?? 0) + count
  return total
}

function countOf(units: Units, kinds: readonly UnitKind[]): number {
  return kinds.reduce((count, kind) => count + (units[kind] ?? 0), 0)
}
