import type pg from 'pg'
import type { Clock } from '../core/clock.ts'
import { createUuidV7Source } from '../core/ids.ts'
import type { Price } from '../core/pricing/price.ts'
import { loadPriceBook } from '../core/pricing/price-book.ts'
import { parsePrice } from '../core/pricing/stored-price.ts'
import { createPriceInForce } from '../core/routing/price-in-force.ts'
import { readStoredRouting } from '../core/routing/snapshot.store.ts'
import { createRerateStore, type RerateStore } from '../core/usage/rerate.store.ts'
import type { RerateDeps } from '../core/usage/rerate.ts'

export interface ReratingOptions {
  client: pg.ClientBase
  pool: pg.Pool
  /** Says which price is in force. */
  clock: Clock
  model: string
  /** The price version to use for all calls, instead of the one in force for each provider's model. */
  priceVersion?: string | undefined
}

/**
 * Everything that rerating a model needs, from the database.
 *
 * @throws Error when there is no such price version
 */
export async function openRerating({ client, pool, clock, model, priceVersion }: ReratingOptions): Promise<RerateDeps> {
  const store = createRerateStore(client)
  const known = new Map<string, Promise<Price | undefined>>()
  const priceById = (id: string): Promise<Price | undefined> => {
    const reading = known.get(id) ?? readPrice(store, id)
    known.set(id, reading)
    return reading
  }
  return {
    store,
    priceOf:
      priceVersion === undefined ? await pricesInForce(pool, clock, model) : await given(priceById, priceVersion),
    priceById,
    newId: createUuidV7Source(),
    nowMs: () => clock.nowMs(),
  }
}

async function pricesInForce(pool: pg.Pool, clock: Clock, model: string): Promise<RerateDeps['priceOf']> {
  const { providers } = await readStoredRouting(pool)
  // The catalog takes its time to load, and most commands do without it.
  const { bundledNameResolver } = await import('../core/catalog/genai-prices.ts')
  const book = await loadPriceBook(pool, clock.nowMs(), { resolveName: bundledNameResolver() })
  const priceInForce = createPriceInForce(providers, book)
  // Costs of one price are worked out once, so each provider has the same object for all its calls.
  const found = new Map<string, Price | undefined>()
  return (provider) => {
    if (!found.has(provider)) found.set(provider, priceInForce(provider, model))
    return found.get(provider)
  }
}

async function given(
  priceById: (id: string) => Promise<Price | undefined>,
  id: string,
): Promise<RerateDeps['priceOf']> {
  const price = uuid.test(id) ? await priceById(id) : undefined
  if (!price) throw new Error(`There is no price version "${id}". Its id is in model_prices, and in usage records.`)
  return () => price
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

async function readPrice(store: RerateStore, id: string): Promise<Price | undefined> {
  const stored = await store.price(id)
  return stored && parsePrice(stored.id, stored.rates)
}
