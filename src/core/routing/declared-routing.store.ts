import { isDeepStrictEqual } from 'node:util'
import { canonicalJson, type DeclaredChange, type DeclaredNotice, recordAudit } from './declared-change.ts'
import type {
  AliasSettings,
  DeclaredAlias,
  DeclaredBy,
  DeclaredConfiguration,
  DeclaredKey,
  DeclaredProvider,
} from './declared-configuration.ts'

/**
 * Names that an administrator has taken, and keys to bill that nobody has made: what the file declares with them is not
 * applied, and nothing else of it.
 */
export async function routingRefusals(
  { client }: DeclaredChange,
  { providers, aliases, keys }: DeclaredConfiguration,
): Promise<DeclaredNotice[]> {
  const { rows } = await client.query<{ kind: 'provider' | 'alias'; name: string }>(
    `select 'provider' as kind, p.name from providers p where p.managed_by = 'admin'
     union all select 'alias', a.name from model_aliases a where a.managed_by = 'admin'`,
  )
  const isTaken = (kind: 'provider' | 'alias', name: string): boolean =>
    rows.some((row) => row.kind === kind && row.name === name)
  const refusals: DeclaredNotice[] = []
  for (const { name, managedBy } of providers) {
    const path = `providers[${name}]`
    if (managedBy === 'file' && isTaken('provider', name)) refusals.push({ path, message: takenMessage('a provider') })
    if (managedBy === 'file' && isTaken('alias', name)) refusals.push({ path, message: takenMessage('an alias') })
  }
  for (const { name } of aliases) {
    const path = `aliases[${name}]`
    if (isTaken('alias', name)) refusals.push({ path, message: takenMessage('an alias') })
    if (isTaken('provider', name)) refusals.push({ path, message: takenMessage('a provider') })
  }
  return [...refusals, ...(await billingRefusals(client, aliases, keys))]
}

async function billingRefusals(
  client: DeclaredChange['client'],
  aliases: readonly DeclaredAlias[],
  keys: readonly DeclaredKey[],
): Promise<DeclaredNotice[]> {
  const declared = new Set(keys.map(({ name }) => name))
  const elsewhere = aliases.flatMap(({ name, billingKey }) =>
    billingKey === undefined || declared.has(billingKey) ? [] : [{ name, billingKey }],
  )
  if (elsewhere.length === 0) return []
  const { rows } = await client.query<{ name: string; count: number }>(
    `select k.name, count(*)::integer as count from api_keys k
     where k.name = any ($1) and k.managed_by <> 'file' and k.revoked_at is null group by k.name`,
    [elsewhere.map(({ billingKey }) => billingKey)],
  )
  return elsewhere.flatMap(({ name, billingKey }): DeclaredNotice[] => {
    const count = rows.find((row) => row.name === billingKey)?.count ?? 0
    if (count === 1) return []
    const message = count === 0 ? 'names no key' : `names ${count} keys; expected a name that one key has`
    return [{ path: `aliases[${name}].billingKey`, message }]
  })
}

/** By name; the file's keys come before others of the same name, and living ones before those that were revoked. */
async function billingKeyIds(
  { client }: DeclaredChange,
  aliases: readonly DeclaredAlias[],
): Promise<ReadonlyMap<string, string>> {
  const names = aliases.flatMap(({ billingKey }) => billingKey ?? [])
  if (names.length === 0) return new Map()
  const { rows } = await client.query<{ name: string; id: string }>(
    `select distinct on (k.name) k.name, k.id from api_keys k where k.name = any ($1)
     order by k.name, k.revoked_at is null desc, k.managed_by = 'file' desc, k.created_at desc`,
    [names],
  )
  return new Map(rows.map(({ name, id }) => [name, id]))
}

const takenMessage = (kind: string): string =>
  `is the name of ${kind} that an administrator manages; rename it in the file, or delete it in the admin API`

/**
 * @returns the ids of all declared names; a provider of the environment gives way to an administrator's of the same
 *   name, with a warning
 */
export async function applyProviders(
  change: DeclaredChange,
  declared: readonly DeclaredProvider[],
): Promise<{ idByName: ReadonlyMap<string, string>; warnings: DeclaredNotice[] }> {
  const stored = await loadProviders(change)
  const idByName = new Map<string, string>()
  const warnings: DeclaredNotice[] = []
  for (const provider of declared) {
    const row = stored.find(({ name }) => name === provider.name)
    if (row?.managed_by === 'admin') {
      idByName.set(provider.name, row.id)
      warnings.push({
        path: `providers[${provider.name}]`,
        message: 'is managed by an administrator; the one declared here is left out',
      })
      continue
    }
    idByName.set(provider.name, await writeProvider(change, row, provider))
  }
  for (const { id, name, managed_by, ...before } of stored) {
    if (managed_by === 'admin' || idByName.has(name) || !before.enabled) continue
    await change.client.query('update providers set enabled = false where id = $1', [id])
    await recordAudit(change, {
      actor: managed_by,
      action: 'provider.disable',
      subjectKind: 'provider',
      subjectId: id,
      before: { name, enabled: true },
      after: { name, enabled: false },
    })
  }
  return { idByName, warnings }
}

interface ProviderContent {
  type: string
  base_url: string | null
  settings: object
  passthrough_models: boolean
  enabled: boolean
}

interface ProviderRow extends ProviderContent {
  id: string
  name: string
  managed_by: DeclaredBy | 'admin'
}

async function loadProviders({ client }: DeclaredChange): Promise<ProviderRow[]> {
  const { rows } = await client.query<ProviderRow>(
    `select p.id, p.name, p.managed_by, p.type, p.base_url, p.settings, p.passthrough_models, p.enabled
     from providers p order by p.name`,
  )
  return rows
}

async function writeProvider(
  change: DeclaredChange,
  row: ProviderRow | undefined,
  provider: DeclaredProvider,
): Promise<string> {
  const content = contentOf(provider)
  const { name, managedBy } = provider
  const id = row?.id ?? change.newId()
  const before = row && { name, managed_by: row.managed_by, ...providerContent(row) }
  const after = { name, managed_by: managedBy, ...content }
  if (isDeepStrictEqual(before, after)) return id
  await change.client.query(
    `insert into providers (id, name, managed_by, type, base_url, settings, passthrough_models, enabled)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (id) do update set managed_by = excluded.managed_by, type = excluded.type,
       base_url = excluded.base_url, settings = excluded.settings,
       passthrough_models = excluded.passthrough_models, enabled = excluded.enabled`,
    [
      id,
      name,
      managedBy,
      content.type,
      content.base_url,
      JSON.stringify(content.settings),
      content.passthrough_models,
      content.enabled,
    ],
  )
  const action = row ? 'provider.update' : 'provider.create'
  await recordAudit(change, { actor: managedBy, action, subjectKind: 'provider', subjectId: id, before, after })
  return id
}

const providerContent = ({ type, base_url, settings, passthrough_models, enabled }: ProviderRow): ProviderContent => ({
  type,
  base_url,
  settings,
  passthrough_models,
  enabled,
})

/** What of a provider stands in the database: everything but its secrets, of which only the presence is noted. */
function contentOf(provider: DeclaredProvider): ProviderContent {
  const { type, baseUrl, settings, timeouts, credentials, passthroughModels, enabled } = provider
  const credentialFields = Object.keys(credentials).sort()
  return {
    type,
    base_url: baseUrl,
    settings: { ...settings, timeouts: { ...timeouts }, credentialFields },
    passthrough_models: passthroughModels,
    enabled,
  }
}

/** Needs the keys: an alias may name one that pays for its calls. */
export async function applyAliases(
  change: DeclaredChange,
  declared: readonly DeclaredAlias[],
  providerIds: ReadonlyMap<string, string>,
): Promise<void> {
  const stored = await loadAliases(change)
  const billing = await billingKeyIds(change, declared)
  const kept = new Set<string>()
  for (const alias of declared) {
    const row = stored.find(({ name }) => name === alias.name)
    const id = row?.id ?? change.newId()
    kept.add(id)
    const before = row?.content
    const { settings } = alias
    const targets = alias.targets.map((target) => ({ ...target, region: target.region ?? null }))
    const description = alias.description ?? null
    const billing_key_id = (alias.billingKey && billing.get(alias.billingKey)) ?? null
    const after: AliasContent = { description, enabled: true, settings, billing_key_id, targets: inOrder(targets) }
    if (canonicalJson(before) === canonicalJson(after)) continue
    await change.client.query(
      `insert into model_aliases (id, name, description, settings, billing_key_id, managed_by)
       values ($1, $2, $3, $4, $5, 'file')
       on conflict (id) do update set description = excluded.description, settings = excluded.settings,
         billing_key_id = excluded.billing_key_id, enabled = true`,
      [id, alias.name, description, JSON.stringify(settings), billing_key_id],
    )
    await change.client.query('delete from alias_targets where alias_id = $1', [id])
    for (const { provider, model, weight, priority, region } of targets) {
      await change.client.query(
        `insert into alias_targets (id, alias_id, provider_id, model, weight, priority, region)
         values ($1, $2, $3, $4, $5, $6, $7)`,
        [change.newId(), id, providerIds.get(provider), model, weight, priority, region],
      )
    }
    await auditAlias(change, row ? 'alias.update' : 'alias.create', id, alias.name, before, after)
  }
  for (const { id, name, content } of stored) {
    if (kept.has(id) || !content.enabled) continue
    await change.client.query('update model_aliases set enabled = false where id = $1', [id])
    await auditAlias(change, 'alias.disable', id, name, content, { ...content, enabled: false })
  }
}

interface AliasContent {
  description: string | null
  enabled: boolean
  settings: AliasSettings
  billing_key_id: string | null
  targets: readonly { provider: string; model: string; weight: number; priority: number; region: string | null }[]
}

async function loadAliases({ client }: DeclaredChange): Promise<{ id: string; name: string; content: AliasContent }[]> {
  const { rows } = await client.query<{ id: string; name: string } & AliasContent>(
    `select a.id, a.name, a.description, a.enabled, a.settings, a.billing_key_id,
       coalesce((
         select json_agg(json_build_object('provider', p.name, 'model', t.model, 'weight', t.weight, 'priority', t.priority,
           'region', t.region))
         from alias_targets t join providers p on p.id = t.provider_id where t.alias_id = a.id
       ), '[]') as targets
     from model_aliases a where a.managed_by = 'file'`,
  )
  return rows.map(({ id, name, targets, ...content }) => ({
    id,
    name,
    content: { ...content, targets: inOrder(targets) },
  }))
}

const inOrder = (targets: AliasContent['targets']): AliasContent['targets'] =>
  [...targets].sort((a, b) => a.priority - b.priority || (targetName(a) < targetName(b) ? -1 : 1))

const targetName = ({ provider, model }: { provider: string; model: string }): string => `${provider}/${model}`

function auditAlias(
  change: DeclaredChange,
  action: string,
  id: string,
  name: string,
  before: AliasContent | undefined,
  after: AliasContent,
): Promise<void> {
  return recordAudit(change, {
    actor: 'file',
    action,
    subjectKind: 'alias',
    subjectId: id,
    before: before && { name, ...before },
    after: { name, ...after },
  })
}
