import type { Pool, PoolClient } from 'pg'
import type { StoredRates } from './stored-price.ts'

export interface PricedModels {
  models: PricedModelRow[]
  /** When the next price takes effect or ends, in milliseconds since the epoch; undefined when none is known to. */
  nextChangeMs: number | undefined
}

/** A model and the price in force. Of several versions an admin's counts, then the file's, then the newest. */
export interface PricedModelRow {
  provider_id: string | null
  catalog: string
  name: string
  mode: string
  context_window_tokens: number | null
  max_output_tokens: number | null
  created_s: number
  price_id: string | null
  rates: StoredRates | null
}

/** Everything that has a price list entry, in one statement; models an operator no longer declares are left out. */
export async function readPricedModels(database: Pool | PoolClient, nowMs: number): Promise<PricedModels> {
  const { rows } = await database.query<PricedModelRow & { next_change_ms: string | null }>(
    `with in_force as (
       select distinct on (p.model_id) p.model_id, p.id, p.rates
       from model_prices p
       where p.effective_from <= $1 and (p.effective_until is null or p.effective_until > $1)
       order by p.model_id, case p.source when 'admin' then 0 when 'file' then 1 else 2 end, p.version desc
     ), next_change as (
       select floor(extract(epoch from least(
         min(p.effective_from) filter (where p.effective_from > $1),
         min(p.effective_until) filter (where p.effective_until > $1)
       )) * 1000)::bigint as at_ms
       from model_prices p
     )
     select m.provider_id, m.catalog, m.name, m.mode, m.context_window_tokens, m.max_output_tokens,
       floor(extract(epoch from m.created_at))::integer as created_s, f.id as price_id, f.rates,
       n.at_ms as next_change_ms
     from next_change n
     left join (models m left join in_force f on f.model_id = m.id)
       on m.provider_id is null or m.missing_since is null`,
    [new Date(nowMs)],
  )
  const next = rows[0]?.next_change_ms ?? undefined
  return {
    // Without any model there is one row still, for the date; it names none.
    models: rows.filter(({ name }) => name !== null),
    nextChangeMs: next === undefined ? undefined : Number(next),
  }
}
