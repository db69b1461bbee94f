import { type NanoUsd, nanoUsd } from '../money.ts'
import type { ServiceTier, UnitKind } from '../usage/usage.ts'
import { unitKinds } from '../usage/usage.ts'
import type { Price, PricedUsage, RateTable } from './price.ts'

export interface Cost {
  costNano: NanoUsd
  /** Kinds that were used and that this price has no rate for: what they cost is unknown, and not in `costNano`. */
  unpricedKinds: UnitKind[]
}

/**
 * What a call costs: `ceil(Σ units · rate / 1 000 000)`, rounded up once, so that a call that is not free never costs
 * zero.
 *
 * The rate of a kind stands in the table of the usage's service tier and of the largest size that the prompt is
 * strictly above. Where it does not, one thing is given up at a time: the service tier, then the size (the tier is
 * asked again at each smaller size), and last the kind itself, for the kind it is a sort of (`kindFallbacks`).
 *
 * A kind without any rate is unknown, not free. The one exception is `request`: every call is one, the rate is a fee on
 * top of what was consumed, and most prices have none.
 */
export function costOf(price: Price, { units, inputTokens, serviceTier }: PricedUsage): Cost {
  const { sizes, ratesByTier } = resolved(price)
  const rates = ratesByTier[serviceTier][sizeIndexOf(sizes, inputTokens)] as ResolvedRates
  const unpricedKinds: UnitKind[] = []
  let nanoTimesMillion = 0n
  for (const kind in units) {
    const count = units[kind as UnitKind]
    if (count === undefined || count === 0) continue
    const rate = rates[kind as UnitKind]
    if (rate === undefined) unpricedKinds.push(kind as UnitKind)
    else if (rate !== 0n) nanoTimesMillion += BigInt(count) * rate
  }
  return { costNano: ceilOfMillionths(nanoTimesMillion), unpricedKinds }
}

/**
 * The dearest that one request of so many tokens can cost, whatever tier serves it, whatever its tokens turn out to be
 * and whatever prompt size is reached on the way: the bound that a budget reservation takes. Fees per request are in;
 * searches, seconds and items are not, since tokens do not bound them.
 *
 * @param kinds - the kinds of tokens that can occur, where the caller knows better; audio that is not in the request
 *   and cannot be in the answer need not be reserved for
 * @returns zero for what has no rate, so it bounds a known price only
 */
export function worstCaseNano(
  price: Price,
  inputTokensMax: number,
  outputTokensMax: number,
  kinds?: readonly UnitKind[],
): NanoUsd {
  const { sizes, dearest } = resolved(price)
  const rates = dearest[sizeIndexOf(sizes, inputTokensMax)] as DearestRates
  const inputRate = kinds ? dearestOf(rates.byKind, inputTokenKinds, kinds) : rates.input
  const outputRate = kinds ? dearestOf(rates.byKind, outputTokenKinds, kinds) : rates.output
  return ceilOfMillionths(
    BigInt(inputTokensMax) * inputRate + BigInt(outputTokensMax) * outputRate + (rates.byKind.request ?? 0n),
  )
}

export const inputTokenKinds = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'input_audio',
  'cache_read_audio',
  'cache_write_audio',
  'input_image',
  'input_video',
] as const satisfies readonly UnitKind[]

export const outputTokenKinds = [
  'output',
  'reasoning',
  'output_audio',
  'output_image',
  'output_video',
] as const satisfies readonly UnitKind[]

/** Whose rate stands in for a kind that has none of its own, first one first. */
const kindFallbacks: Partial<Record<UnitKind, readonly UnitKind[]>> = {
  cache_read: ['input'],
  cache_write_5m: ['input'],
  cache_write_1h: ['cache_write_5m', 'input'],
  input_audio: ['input'],
  cache_read_audio: ['cache_read', 'input_audio', 'input'],
  cache_write_audio: ['cache_write_5m', 'input_audio', 'input'],
  input_image: ['input'],
  input_video: ['input'],
  reasoning: ['output'],
  output_audio: ['output'],
  output_image: ['output'],
  output_video: ['output'],
}

const serviceTiers = ['default', 'flex', 'priority', 'batch'] as const satisfies readonly ServiceTier[]

/** Every kind that can be priced at all, fallbacks applied. */
type ResolvedRates = Partial<Record<UnitKind, bigint>>

interface ResolvedPrice {
  /** Thresholds, ascending, the base (0) first. */
  sizes: readonly number[]
  /** By tier, then in the order of `sizes`. */
  ratesByTier: Readonly<Record<ServiceTier, readonly ResolvedRates[]>>
  /** In the order of `sizes`: over all tiers and every size up to this one. */
  dearest: readonly DearestRates[]
}

interface DearestRates {
  byKind: ResolvedRates
  input: bigint
  output: bigint
}

// A price is immutable and shared by all calls of a snapshot, so what follows from it is worked out once, when it is
// first used. It is no state: forgetting it changes nothing but the time the next call takes.
const resolvedByPrice = new WeakMap<Price, ResolvedPrice>()

function resolved(price: Price): ResolvedPrice {
  const known = resolvedByPrice.get(price)
  if (known) return known
  const made = resolve(price.tables)
  resolvedByPrice.set(price, made)
  return made
}

function resolve(tables: readonly RateTable[]): ResolvedPrice {
  const sizes = [...new Set([0, ...tables.map(({ aboveInputTokens }) => aboveInputTokens)])].sort((a, b) => a - b)
  const ratesAt = (serviceTier: ServiceTier, size: number): ResolvedRates =>
    tables.find((table) => table.serviceTier === serviceTier && table.aboveInputTokens === size)?.rates ?? {}
  const ratesByTier = Object.fromEntries(
    serviceTiers.map((tier) => {
      // From the first to be asked to the last, for each size.
      const inOrder = sizes.map((_, index) =>
        sizes
          .slice(0, index + 1)
          .reverse()
          .flatMap((size) => [ratesAt(tier, size), ratesAt('default', size)]),
      )
      return [tier, inOrder.map(withFallbacks)]
    }),
  ) as Record<ServiceTier, ResolvedRates[]>
  const byKind: ResolvedRates = {}
  const dearest = sizes.map((_, index) => {
    for (const tier of serviceTiers) raise(byKind, ratesByTier[tier][index] as ResolvedRates)
    return {
      byKind: { ...byKind },
      input: dearestOf(byKind, inputTokenKinds),
      output: dearestOf(byKind, outputTokenKinds),
    }
  })
  return { sizes, ratesByTier, dearest }
}

function withFallbacks(tablesInOrder: readonly ResolvedRates[]): ResolvedRates {
  const rates: ResolvedRates = {}
  for (const kind of unitKinds) {
    for (const candidate of [kind, ...(kindFallbacks[kind] ?? [])]) {
      const rate = tablesInOrder.find((table) => table[candidate] !== undefined)?.[candidate]
      if (rate === undefined) continue
      rates[kind] = rate
      break
    }
  }
  rates.request ??= 0n
  return rates
}

/** Raises each rate of `target` to that of `rates` where it is lower. */
function raise(target: ResolvedRates, rates: ResolvedRates): void {
  for (const kind of unitKinds) {
    const rate = rates[kind]
    if (rate !== undefined && rate > (target[kind] ?? -1n)) target[kind] = rate
  }
}

function dearestOf(rates: ResolvedRates, kinds: readonly UnitKind[], among: readonly UnitKind[] = kinds): bigint {
  let dearest = 0n
  for (const kind of kinds) {
    const rate = rates[kind]
    if (rate !== undefined && rate > dearest && among.includes(kind)) dearest = rate
  }
  return dearest
}

function sizeIndexOf(sizes: readonly number[], inputTokens: number): number {
  let index = sizes.length - 1
  while (index > 0 && inputTokens <= (sizes[index] as number)) index--
  return index
}

function ceilOfMillionths(value: bigint): NanoUsd {
  return nanoUsd((value + 999_999n) / 1_000_000n)
}
