import type { StoredRateTable } from '../pricing/price.ts'
import { canonicalJson, type DeclaredChange, recordAudit } from './declared-change.ts'
import type { DeclaredModel } from './declared-configuration.ts'

/** `models.catalog` of models that belong to one provider because an operator said so. */
export const operatorCatalog = 'operator'

/** A model that is no longer declared is marked missing and its price closed: usage rows still name that price. */
export async function applyModels(
  change: DeclaredChange,
  declared: readonly DeclaredModel[],
  providerIds: ReadonlyMap<string, string>,
): Promise<void> {
  const stored = await loadModels(change)
  const kept = new Set<string>()
  for (const model of declared) {
    const providerId = providerIds.get(model.provider) as string // resolved when the configuration was checked
    const row = stored.find(({ provider_id, name }) => provider_id === providerId && name === model.name)
    const id = row?.id ?? change.newId()
    kept.add(id)
    const before = row && { ...modelContent(row), rates: row.rates?.tables ?? null }
    const after = {
      mode: model.mode,
      context_window_tokens: model.contextWindowTokens ?? null,
      max_output_tokens: model.maxOutputTokens ?? null,
      is_missing: false,
      rates: model.rateTables ?? null,
    }
    if (canonicalJson(before) === canonicalJson(after)) continue
    await change.client.query(
      `insert into models (id, catalog, name, provider_id, mode, context_window_tokens, max_output_tokens, managed_by)
       values ($1, $2, $3, $4, $5, $6, $7, 'file')
       on conflict (id) do update set mode = excluded.mode, context_window_tokens = excluded.context_window_tokens,
         max_output_tokens = excluded.max_output_tokens, missing_since = null`,
      [id, operatorCatalog, model.name, providerId, model.mode, after.context_window_tokens, after.max_output_tokens],
    )
    if (canonicalJson(before?.rates ?? null) !== canonicalJson(after.rates)) {
      await writePrice(change, id, model.rateTables)
    }
    await auditModel(change, row ? 'model.update' : 'model.create', id, model.provider, model.name, before, after)
  }
  for (const row of stored) {
    if (kept.has(row.id) || row.is_missing) continue
    await change.client.query('update models set missing_since = $2 where id = $1', [row.id, change.at])
    await closePrice(change, row.id)
    const before = { ...modelContent(row), rates: row.rates?.tables ?? null }
    await auditModel(change, 'model.remove', row.id, row.provider, row.name, before, undefined)
  }
}

interface ModelContent {
  mode: string
  context_window_tokens: number | null
  max_output_tokens: number | null
  is_missing: boolean
}

interface ModelRow extends ModelContent {
  id: string
  provider_id: string
  provider: string
  name: string
  rates: { tables: StoredRateTable[] } | null
}

const modelContent = ({ mode, context_window_tokens, max_output_tokens, is_missing }: ModelRow): ModelContent => ({
  mode,
  context_window_tokens,
  max_output_tokens,
  is_missing,
})

async function loadModels({ client }: DeclaredChange): Promise<ModelRow[]> {
  const { rows } = await client.query<ModelRow>(
    `select m.id, m.provider_id, p.name as provider, m.name, m.mode, m.context_window_tokens, m.max_output_tokens,
       m.missing_since is not null as is_missing, price.rates
     from models m
     join providers p on p.id = m.provider_id
     left join model_prices price on price.model_id = m.id and price.effective_until is null
     where m.managed_by = 'file'`,
  )
  return rows
}

async function writePrice(
  change: DeclaredChange,
  modelId: string,
  tables: readonly StoredRateTable[] | undefined,
): Promise<void> {
  const from = await closePrice(change, modelId)
  if (!tables) return
  await change.client.query(
    `insert into model_prices (id, model_id, version, source, rates, effective_from)
     select $1::uuid, $2::uuid, coalesce(max(p.version), 0) + 1, 'file', $3::jsonb, $4::timestamptz from model_prices p where p.model_id = $2`,
    [change.newId(), modelId, JSON.stringify({ tables }), from],
  )
}

/** @returns from when another price may apply: later than the closed one's beginning, even if both are of one moment */
async function closePrice({ client, at }: DeclaredChange, modelId: string): Promise<Date> {
  const { rows } = await client.query<{ effective_until: Date }>(
    `update model_prices set effective_until = greatest($2::timestamptz, effective_from + interval '1 millisecond')
     where model_id = $1 and effective_until is null returning effective_until`,
    [modelId, at],
  )
  return rows[0]?.effective_until ?? at
}

function auditModel(
  change: DeclaredChange,
  action: string,
  id: string,
  provider: string,
  name: string,
  before: object | undefined,
  after: object | undefined,
): Promise<void> {
  const named = (content: object | undefined): object | undefined => content && { provider, name, ...content }
  return recordAudit(change, {
    actor: 'file',
    action,
    subjectKind: 'model',
    subjectId: id,
    before: named(before),
    after: named(after),
  })
}
