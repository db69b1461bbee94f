import type { Price } from '../pricing/price.ts'
import type { PriceBook } from '../pricing/price-book.ts'
import { catalogOf } from './load-snapshot.ts'
import type { StoredProvider } from './snapshot.store.ts'

/**
 * Finds prices as routing does, but for providers that are switched off, too: the price that a call to this provider's
 * model would have at the moment of the price book. Names are as usage records have them.
 */
export function createPriceInForce(
  providers: readonly StoredProvider[],
  book: PriceBook,
): (providerName: string, model: string) => Price | undefined {
  return (providerName, model) => {
    const provider = providers.find(({ name }) => name === providerName)
    if (!provider) return undefined
    const catalog = catalogOf(provider)
    for (const entry of book.modelsOf({ id: provider.id, catalog })) if (entry.name === model) return entry.price
    return book.findModel(catalog, model)?.price
  }
}
