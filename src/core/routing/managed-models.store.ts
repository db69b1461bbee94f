import type { StoredRateTable } from '../pricing/price.ts'
import { canonicalRates } from '../pricing/stored-price.ts'
import { refused } from '../refusal.ts'
import { operatorCatalog } from './declared-models.store.ts'
import type { RoutingChange, RoutingOutcome } from './routing-change.store.ts'

export type StoredRateTables = readonly StoredRateTable[]

/** A model of one provider, as an administrator describes it. */
export interface ModelDraft {
  providerId: string
  name: string
  mode: 'chat' | 'embedding'
  contextWindowTokens: number | undefined
  maxOutputTokens: number | undefined
  /** Undefined leaves the price to the catalog, or as it is. */
  tables: StoredRateTables | undefined
}

interface ModelRow {
  id: string
  mode: string
  contextWindowTokens: number | null
  maxOutputTokens: number | null
  managedBy: string
  isMissing: boolean
}

export async function declareModel(change: RoutingChange, draft: ModelDraft): Promise<RoutingOutcome<string>> {
  const { client } = change
  const { providerId, name, mode, contextWindowTokens, maxOutputTokens, tables } = draft
  const problem = /^[\x21-\x7e]{1,200}$/.test(name) ? undefined : 'A model name has 1 to 200 visible ASCII characters.'
  if (problem) return refused('invalid', problem, 'name')
  for (const [field, tokens] of Object.entries({ contextWindowTokens, maxOutputTokens })) {
    if (tokens !== undefined && (tokens < 1 || tokens > tokensMax)) {
      return refused('invalid', `Expected a number of tokens from 1 to ${tokensMax}.`, field)
    }
  }
  const { rows: providers } = await client.query<{ name: string }>('select p.name from providers p where p.id = $1', [
    providerId,
  ])
  const [provider] = providers
  if (!provider) return refused('not_found', 'There is no such provider.', 'providerId')
  const { rows } = await client.query<ModelRow>(
    `select m.id, m.mode, m.context_window_tokens as "contextWindowTokens", m.max_output_tokens as "maxOutputTokens",
       m.managed_by as "managedBy", m.missing_since is not null as "isMissing"
     from models m where m.provider_id = $1 and m.name = $2 for update`,
    [providerId, name],
  )
  const [stored] = rows
  if (stored && stored.managedBy === 'file' && !stored.isMissing) {
    return refused(
      'managed_by_file',
      `The model "${name}" is declared in the configuration file; change it there.`,
      'name',
    )
  }
  const id = stored?.id ?? change.newId()
  await client.query(
    `insert into models (id, catalog, name, provider_id, mode, context_window_tokens, max_output_tokens, managed_by)
     values ($1, $2, $3, $4, $5, $6, $7, 'admin')
     on conflict (id) do update set mode = excluded.mode, context_window_tokens = excluded.context_window_tokens,
       max_output_tokens = excluded.max_output_tokens, missing_since = null, managed_by = 'admin'`,
    [id, operatorCatalog, name, providerId, mode, contextWindowTokens ?? null, maxOutputTokens ?? null],
  )
  const shown = { mode, contextWindowTokens: contextWindowTokens ?? null, maxOutputTokens: maxOutputTokens ?? null }
  const { id: _id, managedBy: _managedBy, isMissing, ...before } = stored ?? {}
  await change.audit({
    action: stored && !isMissing ? 'model.update' : 'model.create',
    subjectKind: 'model',
    subjectId: id,
    before: stored && !isMissing ? { provider: provider.name, name, ...before } : undefined,
    after: { provider: provider.name, name, ...shown },
  })
  if (tables) {
    const priced = await setPrice(change, id, tables)
    if (!priced.ok) return priced
  }
  return { ok: true, value: id }
}

export async function withdrawModel(change: RoutingChange, id: string): Promise<RoutingOutcome<string>> {
  const { client } = change
  const { rows } = await client.query<{ name: string; provider: string; managedBy: string; isMissing: boolean }>(
    `select m.name, p.name as provider, m.managed_by as "managedBy", m.missing_since is not null as "isMissing"
     from models m join providers p on p.id = m.provider_id where m.id = $1 for update of m`,
    [id],
  )
  const [model] = rows
  if (!model) return refused('not_found', 'There is no such model that somebody has declared.', 'modelId')
  if (model.managedBy === 'file') {
    return refused(
      'managed_by_file',
      `The model "${model.name}" is declared in the configuration file; change it there.`,
      'modelId',
    )
  }
  if (model.isMissing) return { ok: true, value: id }
  await client.query('update models set missing_since = clock_timestamp() where id = $1', [id])
  await closePrice(change, id)
  const { provider, name } = model
  await change.audit({ action: 'model.withdraw', subjectKind: 'model', subjectId: id, before: { provider, name } })
  return { ok: true, value: id }
}

/** A price never changes: the one in force ends, and another version begins. */
export async function setPrice(
  change: RoutingChange,
  modelId: string,
  tables: StoredRateTables | undefined,
): Promise<RoutingOutcome<string>> {
  const { client } = change
  const problem = tables && tablesProblem(tables)
  if (problem) return refused('invalid', problem, 'price')
  const { rows: models } = await client.query<{ name: string }>(
    'select m.name from models m where m.id = $1 for update',
    [modelId],
  )
  const [model] = models
  if (!model) return refused('not_found', 'There is no such model.', 'modelId')
  const { rows } = await client.query<{ rates: { tables: StoredRateTables } }>(
    `select p.rates from model_prices p where p.model_id = $1 and p.source = 'admin' and p.effective_until is null`,
    [modelId],
  )
  const before = rows[0]?.rates
  if (canonicalRates(before ?? { tables: [] }) === canonicalRates({ tables: tables ?? [] }))
    return { ok: true, value: modelId }
  const from = await closePrice(change, modelId)
  if (tables) {
    await client.query(
      `insert into model_prices (id, model_id, version, source, rates, effective_from)
       select $1::uuid, $2::uuid, coalesce(max(p.version), 0) + 1, 'admin', $3::jsonb,
         greatest($4::timestamptz, clock_timestamp())
       from model_prices p where p.model_id = $2`,
      [change.newId(), modelId, JSON.stringify({ tables }), from ?? null],
    )
  }
  const named = (rates: object | undefined): object | undefined => rates && { name: model.name, ...rates }
  await change.audit({
    action: tables ? 'price.set' : 'price.remove',
    subjectKind: 'model',
    subjectId: modelId,
    before: named(before),
    after: named(tables && { tables }),
  })
  return { ok: true, value: modelId }
}

/** @returns when the one in force has ended; undefined when there was none */
async function closePrice({ client }: RoutingChange, modelId: string): Promise<Date | undefined> {
  const { rows } = await client.query<{ until: Date }>(
    `update model_prices set effective_until = greatest(clock_timestamp(), effective_from + interval '1 millisecond')
     where model_id = $1 and source = 'admin' and effective_until is null returning effective_until as until`,
    [modelId],
  )
  return rows[0]?.until
}

const tokensMax = 1_000_000_000
const tablesMax = 80

function tablesProblem(tables: StoredRateTables): string | undefined {
  if (tables.length > tablesMax) return `A price has at most ${tablesMax} tables.`
  const names = tables.map(({ serviceTier, aboveInputTokens }) => `${serviceTier} ${aboveInputTokens}`)
  if (new Set(names).size < names.length) return 'Two tables are for the same service tier and size of prompt.'
  const base = tables.find(({ serviceTier, aboveInputTokens }) => serviceTier === 'default' && aboveInputTokens === 0)
  if (!base) return 'Give the table of the service tier DEFAULT for prompts of more than 0 tokens; others may follow.'
  if (tables.some(({ rates }) => Object.keys(rates).length === 0))
    return 'A table without a rate says nothing: a price that is not given is unknown, not free.'
  if (tables.some(({ aboveInputTokens }) => aboveInputTokens < 0 || aboveInputTokens > tokensMax)) {
    return `aboveInputTokens is from 0 to ${tokensMax}.`
  }
  return undefined
}
