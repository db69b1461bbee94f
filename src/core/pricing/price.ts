import type { NanoUsd } from '../money.ts'
import type { ServiceTier, UnitKind, Units } from '../usage/usage.ts'

/** What one million units of each kind cost, in nano-USD. A kind that is absent falls back; it is not free. */
export type Rates = Partial<Record<UnitKind, NanoUsd>>

/**
 * One set of rates and when it applies. Sizes count the whole prompt, cached part included, and move the whole
 * request, output too; they are not marginal brackets.
 */
export interface RateTable {
  serviceTier: ServiceTier
  /** Applies when the prompt has more tokens than this; 0 for the base table. */
  aboveInputTokens: number
  rates: Rates
}

/** An immutable version of a model's price. */
export interface Price {
  /** `model_prices.id`: what usage rows name as `price_version`. */
  id: string
  tables: readonly RateTable[]
}

/** How a rate table stands in `model_prices.rates`: `{ tables: StoredRateTable[] }`, rates as decimal strings. */
export interface StoredRateTable {
  serviceTier: ServiceTier
  aboveInputTokens: number
  rates: Partial<Record<UnitKind, string>>
}

export interface PricedUsage {
  units: Units
  inputTokens: number
  serviceTier: ServiceTier
}
