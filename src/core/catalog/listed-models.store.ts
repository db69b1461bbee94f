import type { Pool } from 'pg'
import { searchPattern } from '../db/search-pattern.ts'
import type { StoredRateTable } from '../pricing/price.ts'

/** Models as people look at them, each with its price in force. */
export interface ListedModels {
  /** By catalog, then by name. */
  list(query: ModelQuery): Promise<ListedModel[]>
  byId(ids: readonly string[]): Promise<ListedModel[]>
  /** Of each model, the latest first. */
  priceHistory(query: PriceHistoryQuery): Promise<(ListedPrice & { modelId: string })[]>
}

export interface ModelQuery {
  search: string | undefined
  catalog: string | undefined
  /** Names in `models.features`. */
  features: readonly string[]
  after: { catalog: string; name: string; id: string } | undefined
  limit: number
}

export interface PriceHistoryQuery {
  modelIds: readonly string[]
  /** The version that the page before ended with. */
  before: number | undefined
  /** Of each model. */
  limit: number
}

export interface ListedModel {
  id: string
  catalog: string
  name: string
  displayName: string | null
  mode: string
  contextWindowTokens: number | null
  maxOutputTokens: number | null
  inputModalities: readonly string[]
  outputModalities: readonly string[]
  features: Readonly<Record<string, unknown>>
  deprecationDate: string | null
  managedBy: 'catalog' | 'file' | 'admin'
  providerId: string | null
  missingSince: Date | null
  createdAt: Date
  price: ListedPrice | null
}

export interface ListedPrice {
  id: string
  version: number
  source: 'genai-prices' | 'litellm' | 'file' | 'admin'
  effectiveFrom: string
  effectiveUntil: string | null
  rates: { tables: StoredRateTable[] }
}

const priceJson = `json_build_object('id', p.id, 'version', p.version, 'source', p.source, 'effectiveFrom', p.effective_from,
        'effectiveUntil', p.effective_until, 'rates', p.rates)`

/** Of several prices in force, the one that routing takes: see `readPricedModels`. */
const selectModels = `
  select m.id, m.catalog, m.name, m.display_name as "displayName", m.mode,
    m.context_window_tokens as "contextWindowTokens", m.max_output_tokens as "maxOutputTokens",
    m.input_modalities as "inputModalities", m.output_modalities as "outputModalities", m.features,
    m.deprecation_date::text as "deprecationDate", m.managed_by as "managedBy", m.created_at as "createdAt",
    m.provider_id as "providerId", m.missing_since as "missingSince",
    (
      select ${priceJson}
      from model_prices p
      where p.model_id = m.id and p.effective_from <= clock_timestamp()
        and (p.effective_until is null or p.effective_until > clock_timestamp())
      order by case p.source when 'admin' then 0 when 'file' then 1 else 2 end, p.version desc limit 1
    ) as price
  from models m`

export function createListedModels(pool: Pool): ListedModels {
  return {
    async list({ search, catalog, features, after, limit }) {
      const { rows } = await pool.query<ListedModel>(
        `${selectModels}
         where ($1::text is null or m.name ilike $1) and ($2::text is null or m.catalog = $2)
           and m.features @> $3::jsonb and ($4::text is null or (m.catalog, m.name, m.id) > ($4, $5, $6::uuid))
         order by m.catalog, m.name, m.id limit $7`,
        [
          searchPattern(search),
          catalog ?? null,
          JSON.stringify(Object.fromEntries(features.map((name) => [name, true]))),
          after?.catalog ?? null,
          after?.name ?? null,
          after?.id ?? null,
          limit,
        ],
      )
      return rows
    },
    async byId(ids) {
      const { rows } = await pool.query<ListedModel>(`${selectModels} where m.id = any ($1)`, [ids])
      return rows
    },
    async priceHistory({ modelIds, before, limit }) {
      const { rows } = await pool.query<{ modelId: string; price: ListedPrice }>(
        `select wanted.id as "modelId", h.price
         from unnest($1::uuid[]) as wanted (id)
         cross join lateral (
           select p.version, ${priceJson} as price from model_prices p
           where p.model_id = wanted.id and ($2::integer is null or p.version < $2)
           order by p.version desc limit $3) h
         order by wanted.id, h.version desc`,
        [modelIds, before ?? null, limit],
      )
      return rows.map(({ modelId, price }) => ({ ...price, modelId }))
    },
  }
}
