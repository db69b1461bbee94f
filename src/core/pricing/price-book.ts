import type { Pool, PoolClient } from 'pg'
import type { ModelEntry } from '../routing/snapshot.ts'
import type { Price } from './price.ts'
import { type PricedModelRow, readPricedModels } from './price-book.store.ts'
import { parsePrice } from './stored-price.ts'

/** All models and their prices at one moment. Immutable; a routing snapshot is built from it. */
export interface PriceBook {
  /** By catalog, then by the name as a request sends it. */
  readonly catalogs: ReadonlyMap<string, ReadonlyMap<string, ModelEntry>>
  /** What an operator declared for one provider: by the provider's id, then by name. */
  readonly declared: ReadonlyMap<string, ReadonlyMap<string, ModelEntry>>
  /** When a price next takes effect or ends, in milliseconds since the epoch: load again then. */
  readonly nextChangeMs: number | undefined
  /** Ids of prices that could not be read; their models are unpriced. */
  readonly unreadablePrices: readonly string[]
  /**
   * The model that a name stands for in a catalog: of that very name, else the one that the catalog's rules for names
   * say (a dated snapshot, a deployment). The entry keeps the catalog's name of the model.
   *
   * @param region - where the provider runs it; its price there is preferred, where the catalog has one
   */
  findModel(catalog: string, name: string, region?: string): ModelEntry | undefined
  /**
   * What a provider serves: the models of its catalog, and those declared for it, which win. A declaration that leaves
   * its price or its limits open has the catalog's.
   */
  modelsOf(provider: { id: string; catalog: string }): Iterable<ModelEntry>
}

export interface PriceBookOptions {
  /** Names the catalogs know by rule; see `bundledNameResolver`. Without it only exact names are found. */
  resolveName?: (catalog: string, name: string) => string | undefined
}

/** Reads the prices in force at a moment of the database's clock, in one query. */
export async function loadPriceBook(
  database: Pool | PoolClient,
  nowMs: number,
  options: PriceBookOptions = {},
): Promise<PriceBook> {
  const { models, nextChangeMs } = await readPricedModels(database, nowMs)
  return { ...createPriceBook(models, options), nextChangeMs }
}

/** The names that stand for a price in a region, not for a model: `eu/gpt-4o`, `us-gov-west-1/anthropic.claude-v1`. */
const regionalName = /^(?:us|eu|global|global-standard|[a-z]{2}(?:-[a-z]+)+-\d)\//

function createPriceBook(
  rows: readonly PricedModelRow[],
  { resolveName }: PriceBookOptions,
): Omit<PriceBook, 'nextChangeMs'> {
  const catalogs = new Map<string, Map<string, ModelEntry>>()
  const declared = new Map<string, Map<string, ModelEntry>>()
  const unreadablePrices: string[] = []
  for (const row of rows) {
    const entry = entryOf(row, unreadablePrices)
    if (row.provider_id === null) put(catalogs, row.catalog, entry)
    else put(declared, row.provider_id, entry)
  }
  const findModel: PriceBook['findModel'] = (catalog, name, region) => {
    const models = catalogs.get(catalog)
    if (!models) return undefined
    const exact = (region && models.get(`${region}/${name}`)) || models.get(name)
    if (exact) return exact
    const resolved = resolveName?.(catalog, name)
    if (resolved === undefined) return undefined
    return (region && models.get(`${region}/${resolved}`)) || models.get(resolved)
  }
  return {
    catalogs,
    declared,
    unreadablePrices,
    findModel,
    *modelsOf({ id, catalog }) {
      const own = declared.get(id)
      for (const entry of catalogs.get(catalog)?.values() ?? []) {
        if (!own?.has(entry.name) && !regionalName.test(entry.name)) yield entry
      }
      for (const entry of own?.values() ?? []) yield completed(entry, findModel(catalog, entry.name))
    },
  }
}

function entryOf(row: PricedModelRow, unreadablePrices: string[]): ModelEntry {
  return {
    name: row.name,
    mode: row.mode,
    contextWindowTokens: row.context_window_tokens ?? undefined,
    maxOutputTokens: row.max_output_tokens ?? undefined,
    price: priceOf(row, unreadablePrices),
    createdS: row.created_s,
  }
}

/** One price that was damaged by hand must not take all the others away. */
function priceOf({ price_id, rates }: PricedModelRow, unreadablePrices: string[]): Price | undefined {
  if (price_id === null || rates === null) return undefined
  try {
    return parsePrice(price_id, rates)
  } catch {
    unreadablePrices.push(price_id)
    return undefined
  }
}

function completed(entry: ModelEntry, known: ModelEntry | undefined): ModelEntry {
  if (!known) return entry
  return {
    ...entry,
    contextWindowTokens: entry.contextWindowTokens ?? known.contextWindowTokens,
    maxOutputTokens: entry.maxOutputTokens ?? known.maxOutputTokens,
    price: entry.price ?? known.price,
  }
}

function put(maps: Map<string, Map<string, ModelEntry>>, key: string, entry: ModelEntry): void {
  const map = maps.get(key)
  if (map) map.set(entry.name, entry)
  else maps.set(key, new Map([[entry.name, entry]]))
}
