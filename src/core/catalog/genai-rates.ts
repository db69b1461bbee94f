import type { ConditionalPrice, ModelInfo, ModelPrice } from '@pydantic/genai-prices'
import { scaledInteger } from '../money.ts'
import type { StoredRateTable } from '../pricing/price.ts'
import type { UnitKind } from '../usage/usage.ts'
import type { DatedPrice } from './catalog-model.ts'

/** What a price key of genai-prices prices, and how its dollars become nano-dollars for a million of our units. */
interface PriceKey {
  kind: UnitKind
  /** Decimal places to scale by, from the unit the key is for. */
  scale: number
  /** What is left to divide by; an hour has no whole power of ten of milliseconds. */
  divisor?: bigint
}

const perMillion = 9
const perThousand = 9 + 3
/** Dollars for 3 600 000 ms, wanted for 1 000 000 ms. */
const perHour = { scale: 9 + 1, divisor: 36n }

const priceKeys: Readonly<Record<string, PriceKey>> = {
  input_mtok: { kind: 'input', scale: perMillion },
  output_mtok: { kind: 'output', scale: perMillion },
  cache_read_mtok: { kind: 'cache_read', scale: perMillion },
  cache_write_mtok: { kind: 'cache_write_5m', scale: perMillion },
  cache_write_5m_mtok: { kind: 'cache_write_5m', scale: perMillion },
  cache_write_1h_mtok: { kind: 'cache_write_1h', scale: perMillion },
  cache_audio_read_mtok: { kind: 'cache_read_audio', scale: perMillion },
  cache_audio_write_mtok: { kind: 'cache_write_audio', scale: perMillion },
  input_audio_mtok: { kind: 'input_audio', scale: perMillion },
  output_audio_mtok: { kind: 'output_audio', scale: perMillion },
  input_image_mtok: { kind: 'input_image', scale: perMillion },
  output_image_mtok: { kind: 'output_image', scale: perMillion },
  input_video_mtok: { kind: 'input_video', scale: perMillion },
  output_video_mtok: { kind: 'output_video', scale: perMillion },
  output_reasoning_mtok: { kind: 'reasoning', scale: perMillion },
  input_mchars: { kind: 'input_character', scale: perMillion },
  requests_kcount: { kind: 'request', scale: perThousand },
  web_searches_kcount: { kind: 'search', scale: perThousand },
  input_document_kpages: { kind: 'input_page', scale: perThousand },
  input_audio_hours: { kind: 'input_audio_ms', ...perHour },
  output_audio_hours: { kind: 'output_audio_ms', ...perHour },
}

/** What we do not count, so that its price prices nothing. */
const uncounted: Readonly<Record<string, string>> = {
  audio_hours: 'hours of audio in either direction are not counted; hours of input are',
  cache_image_read_mtok: 'cached image tokens are priced as cached tokens',
  input_annotated_document_kpages: 'annotated pages are priced as plain pages',
  input_text_messages_kcount: 'text messages of a voice session are not counted',
  output_citation_mtok: 'citation tokens are not counted apart',
  storage_searches_kcount: 'searches of the provider’s file storage are not counted',
}

type Note = (reason: string) => void

export function rateTablesOf(price: ModelPrice, note: Note): StoredRateTable[] {
  const tables = new Map<number, StoredRateTable>()
  const set = (aboveInputTokens: number, { kind, scale, divisor = 1n }: PriceKey, dollars: number): void => {
    const table = tables.get(aboveInputTokens) ?? { serviceTier: 'default', aboveInputTokens, rates: {} }
    table.rates[kind] = ((scaledInteger(dollars, scale) + divisor - 1n) / divisor).toString()
    tables.set(aboveInputTokens, table)
  }
  for (const [key, value] of Object.entries(price)) {
    const known = priceKeys[key]
    if (value === undefined) continue
    if (!known) {
      // The library's own total of both directions is no omission where the direction has a price.
      if (key !== 'audio_hours' || price.input_audio_hours === undefined) {
        note(uncounted[key] ?? `the price key ${key} is not known`)
      }
      continue
    }
    if (typeof value === 'number') {
      set(0, known, value)
      continue
    }
    set(0, known, value.base)
    // `start` is what the prompt has to be strictly above, as with us.
    for (const tier of value.tiers) set(tier.start, known, tier.price)
  }
  return [...tables.values()].sort((a, b) => a.aboveInputTokens - b.aboveInputTokens)
}

/**
 * The price in force and those announced, oldest first. What was in force before is left out: nothing was bought then.
 *
 * Of prices by time of day the dearer one is taken for the whole day: we do not know when in a call a provider looks
 * at its clock, and a budget must not be overrun.
 */
export function datedPricesOf(prices: ModelInfo['prices'], nowMs: number, note: Note): DatedPrice[] {
  if (!Array.isArray(prices)) return priced(undefined, rateTablesOf(prices, note))
  const starts = [
    ...new Set(prices.flatMap(({ constraint }) => (constraint?.type === 'start_date' ? [constraint.start_date] : []))),
  ].sort()
  const spans: (string | undefined)[] = [undefined, ...starts]
  return spans.flatMap((start, index) => {
    const end = spans[index + 1]
    if (end !== undefined && Date.parse(end) <= nowMs) return []
    const price = priceDuring(prices, start, note)
    return price ? priced(start && new Date(start).toISOString(), rateTablesOf(price, note)) : []
  })
}

function priced(effectiveFrom: string | undefined, tables: readonly StoredRateTable[]): DatedPrice[] {
  return tables.length === 0 ? [] : [{ effectiveFrom, tables }]
}

/** The last price in the list whose condition holds counts (as the library reads it); a time of day may hold or not. */
function priceDuring(
  prices: readonly ConditionalPrice[],
  start: string | undefined,
  note: Note,
): ModelPrice | undefined {
  const possible: ModelPrice[] = []
  for (const { constraint, prices: price } of [...prices].reverse()) {
    if (constraint === undefined) {
      possible.push(price)
      break
    }
    if (constraint.type === 'time_of_date') {
      possible.push(price)
      note('prices by the time of day: the dearer one is taken for the whole day')
    } else if (start !== undefined && constraint.start_date <= start) {
      possible.push(price)
      break
    }
  }
  return possible.toSorted((a, b) => tokenDollars(b) - tokenDollars(a))[0]
}

function tokenDollars({ input_mtok: input, output_mtok: output }: ModelPrice): number {
  const base = (price: typeof input): number => (typeof price === 'object' ? price.base : (price ?? 0))
  return base(input) + base(output)
}
