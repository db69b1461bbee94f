import type { CatalogModel, DatedPrice } from '../../src/core/catalog/catalog-model.ts'
import type { CatalogSyncDeps, CatalogSyncInput, CatalogSyncResult } from '../../src/core/catalog/sync.ts'
import { syncCatalog } from '../../src/core/catalog/sync.ts'
import { createDatabaseClock } from '../../src/core/clock.ts'
import { createUuidV7Source } from '../../src/core/ids.ts'
import type { StoredRateTable } from '../../src/core/pricing/price.ts'
import type { TestDatabase } from '../support/database.ts'

export function syncDepsOf(database: TestDatabase): CatalogSyncDeps {
  return { pool: database.pools.admin, newId: createUuidV7Source(), clock: createDatabaseClock() }
}

export const ratesOf = (input: string): StoredRateTable[] => [
  { serviceTier: 'default', aboveInputTokens: 0, rates: { input, output: '9' } },
]

export const priceOf = (input: string, effectiveFrom?: string): DatedPrice => ({
  effectiveFrom,
  tables: ratesOf(input),
})

export function modelOf(name: string, over: Partial<CatalogModel> = {}): CatalogModel {
  return {
    catalog: 'acme',
    name,
    displayName: undefined,
    mode: 'chat',
    contextWindowTokens: 1_000,
    maxOutputTokens: 100,
    inputModalities: ['text', 'image'],
    outputModalities: ['text'],
    features: { tools: true },
    deprecationDate: undefined,
    prices: [priceOf('1')],
    ...over,
  }
}

type Succeeded = Extract<CatalogSyncResult, { status: 'succeeded' }>

export function sync(
  deps: CatalogSyncDeps,
  models: readonly CatalogModel[],
  over: Partial<CatalogSyncInput> = {},
): Promise<CatalogSyncResult> {
  const input = { source: 'litellm', location: 'test', sourceVersion: '1', skipped: [], notes: [] } as const
  return syncCatalog(deps, { ...input, models, ...over })
}

export async function synced(...parameters: Parameters<typeof sync>): Promise<Succeeded> {
  const result = await sync(...parameters)
  if (result.status !== 'succeeded') throw new Error(`The sync was not done: ${JSON.stringify(result)}`)
  return result
}
