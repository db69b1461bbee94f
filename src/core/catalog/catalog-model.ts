import type { StoredRateTable } from '../pricing/price.ts'

export type CatalogSource = 'genai-prices' | 'litellm'

/** A model as a published catalog describes it, in our words. */
export interface CatalogModel {
  /** Whose price list it stands in: see `catalog-id.ts`. */
  catalog: string
  /** The upstream's name of the model, as a request sends it. */
  name: string
  displayName: string | undefined
  /** LiteLLM's vocabulary: `chat`, `embedding`, `image_generation` and so on. */
  mode: string
  contextWindowTokens: number | undefined
  maxOutputTokens: number | undefined
  inputModalities: readonly string[]
  outputModalities: readonly string[]
  features: Features
  /** `YYYY-MM-DD`, from which the provider no longer serves it. */
  deprecationDate: string | undefined
  /** The price now in force, then those announced for later; empty when the source knows none. */
  prices: readonly DatedPrice[]
}

/** What a model can do (`tools: true`), and what else is worth knowing about it (`output_vector_size: 1536`). */
export type Features = Readonly<Record<string, boolean | number | readonly string[]>>

export interface DatedPrice {
  /** ISO 8601; undefined when the source does not say since when. */
  effectiveFrom: string | undefined
  tables: readonly StoredRateTable[]
}

/**
 * Something of a source that we do not act on. Reasons are constant sentences, since reports group by them.
 */
export interface Omission {
  /** The source's own name of the entry. */
  key: string
  reason: string
}

/** A whole source, taken apart: every entry of it is in `models` or in `skipped`. */
export interface CatalogReading {
  models: readonly CatalogModel[]
  /** Entries that were left out. */
  skipped: readonly Omission[]
  /** Of models that were taken: what of their description prices nothing. */
  notes: readonly Omission[]
}
