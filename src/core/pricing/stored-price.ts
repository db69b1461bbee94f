import { nanoUsd } from '../money.ts'
import type { ServiceTier } from '../usage/usage.ts'
import { unitKinds } from '../usage/usage.ts'
import type { Price, Rates, RateTable, StoredRateTable } from './price.ts'

/** What `model_prices.rates` holds. */
export interface StoredRates {
  tables: readonly StoredRateTable[]
}

/**
 * Reads a price back from its JSON.
 *
 * @throws RangeError when a table, a tier, a size or a rate is not what we store
 */
export function parsePrice(id: string, stored: StoredRates): Price {
  if (!Array.isArray(stored?.tables)) throw new RangeError(`Price ${id} has no rate tables.`)
  return { id, tables: stored.tables.map((table) => parseRateTable(id, table)) }
}

export function storedRates({ tables }: Pick<Price, 'tables'>): StoredRates {
  return { tables: tables.map(storedRateTable) }
}

/**
 * The same text for the same prices, in whatever order tables and kinds were written: two versions are compared by it.
 */
export function canonicalRates({ tables }: StoredRates): string {
  const inOrder = tables
    .map(({ serviceTier, aboveInputTokens, rates }) => ({
      serviceTier,
      aboveInputTokens,
      rates: Object.fromEntries(unitKinds.flatMap((kind) => (rates[kind] === undefined ? [] : [[kind, rates[kind]]]))),
    }))
    .filter(({ rates }) => Object.keys(rates).length > 0)
    .sort((a, b) => tierOrder[a.serviceTier] - tierOrder[b.serviceTier] || a.aboveInputTokens - b.aboveInputTokens)
  return JSON.stringify(inOrder)
}

const tierOrder: Readonly<Record<ServiceTier, number>> = { default: 0, flex: 1, priority: 2, batch: 3 }

function parseRateTable(id: string, { serviceTier, aboveInputTokens, rates }: StoredRateTable): RateTable {
  if (!Object.hasOwn(tierOrder, serviceTier)) throw new RangeError(`Price ${id} has an unknown service tier.`)
  if (!Number.isSafeInteger(aboveInputTokens) || aboveInputTokens < 0) {
    throw new RangeError(`Price ${id} has a table for a prompt size that is no number of tokens.`)
  }
  const parsed: Rates = {}
  for (const kind of unitKinds) {
    const rate = rates[kind]
    if (rate === undefined) continue
    if (!/^\d{1,30}$/.test(rate)) throw new RangeError(`Price ${id} has a rate for ${kind} that is no whole number.`)
    parsed[kind] = nanoUsd(BigInt(rate))
  }
  return { serviceTier, aboveInputTokens, rates: parsed }
}

function storedRateTable({ serviceTier, aboveInputTokens, rates }: RateTable): StoredRateTable {
  const stored: StoredRateTable['rates'] = {}
  for (const kind of unitKinds) {
    const rate = rates[kind]
    if (rate !== undefined) stored[kind] = rate.toString()
  }
  return { serviceTier, aboveInputTokens, rates: stored }
}
