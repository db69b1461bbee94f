import type { PoolClient } from 'pg'
import { type Refused, refused } from '../refusal.ts'
import type { AliasSettings } from './declared-configuration.ts'
import type { AliasDraft, AliasPatch, CheckAlias, ManagedTarget } from './managed-routing.ts'
import type { RoutingChange, RoutingOutcome } from './routing-change.store.ts'

export async function createAlias(
  change: RoutingChange,
  check: CheckAlias,
  draft: AliasDraft,
): Promise<RoutingOutcome<string>> {
  const refusal =
    check(draft) ?? (await nameRefusal(change.client, draft.name)) ?? (await linkRefusal(change.client, draft))
  if (refusal) return refusal
  const id = change.newId()
  const content = contentOf(draft, true)
  await write(change, id, draft.name, content)
  await change.audit({
    action: 'alias.create',
    subjectKind: 'alias',
    subjectId: id,
    after: { name: draft.name, ...content },
  })
  return { ok: true, value: id }
}

export async function updateAlias(
  change: RoutingChange,
  check: CheckAlias,
  id: string,
  patch: AliasPatch,
): Promise<RoutingOutcome<string>> {
  const found = await lockedAlias(change.client, id)
  if (!found.ok) return found
  const { name, content: before } = found.value
  const after: AliasContent = {
    description: patch.description === undefined ? before.description : patch.description,
    enabled: patch.enabled ?? before.enabled,
    settings: patch.settings ?? before.settings,
    billingKeyId: patch.billingKeyId === undefined ? before.billingKeyId : patch.billingKeyId,
    targets: patch.targets ?? before.targets,
  }
  const draft: AliasDraft = {
    ...after,
    name,
    description: after.description ?? undefined,
    billingKeyId: after.billingKeyId ?? undefined,
  }
  const refusal = check(draft) ?? (await linkRefusal(change.client, draft))
  if (refusal) return refusal
  await write(change, id, name, after)
  await change.audit({
    action: 'alias.update',
    subjectKind: 'alias',
    subjectId: id,
    before: { name, ...before },
    after: { name, ...after },
  })
  return { ok: true, value: id }
}

export async function deleteAlias(change: RoutingChange, id: string): Promise<RoutingOutcome<string>> {
  const found = await lockedAlias(change.client, id)
  if (!found.ok) return found
  const { name, content } = found.value
  await change.client.query('delete from model_aliases where id = $1', [id])
  await change.audit({ action: 'alias.delete', subjectKind: 'alias', subjectId: id, before: { name, ...content } })
  return { ok: true, value: id }
}

interface AliasContent {
  description: string | null
  enabled: boolean
  settings: AliasSettings
  billingKeyId: string | null
  targets: readonly ManagedTarget[]
}

const contentOf = ({ description, settings, billingKeyId, targets }: AliasDraft, enabled: boolean): AliasContent => ({
  description: description ?? null,
  enabled,
  settings,
  billingKeyId: billingKeyId ?? null,
  targets,
})

async function lockedAlias(
  client: PoolClient,
  id: string,
): Promise<{ ok: true; value: { name: string; content: AliasContent } } | Refused> {
  const { rows } = await client.query<{ name: string; managedBy: string; content: AliasContent }>(
    `select a.name, a.managed_by as "managedBy", json_build_object('description', a.description, 'enabled', a.enabled,
       'settings', a.settings, 'billingKeyId', a.billing_key_id, 'targets', (
         select coalesce(json_agg(json_build_object('providerId', t.provider_id, 'model', t.model, 'weight', t.weight,
           'priority', t.priority, 'region', t.region) order by t.priority, t.created_at, t.id), '[]')
         from alias_targets t where t.alias_id = a.id)) as content
     from model_aliases a where a.id = $1 for update`,
    [id],
  )
  const [row] = rows
  if (!row) return refused('not_found', 'There is no such alias.', 'aliasId')
  if (row.managedBy !== 'admin') {
    const message = `The alias "${row.name}" is declared in the configuration file; change it there.`
    return refused('managed_by_file', message, 'aliasId')
  }
  const targets = row.content.targets.map((target) => ({ ...target, region: target.region ?? undefined }))
  return { ok: true, value: { name: row.name, content: { ...row.content, targets } } }
}

async function write(
  { client, newId }: RoutingChange,
  id: string,
  name: string,
  { description, enabled, settings, billingKeyId, targets }: AliasContent,
): Promise<void> {
  await client.query(
    `insert into model_aliases (id, name, description, settings, billing_key_id, enabled, managed_by)
     values ($1, $2, $3, $4, $5, $6, 'admin')
     on conflict (id) do update set description = excluded.description, settings = excluded.settings,
       billing_key_id = excluded.billing_key_id, enabled = excluded.enabled`,
    [id, name, description, JSON.stringify(settings), billingKeyId, enabled],
  )
  await client.query('delete from alias_targets where alias_id = $1', [id])
  for (const { providerId, model, weight, priority, region } of targets) {
    await client.query(
      `insert into alias_targets (id, alias_id, provider_id, model, weight, priority, region)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      [newId(), id, providerId, model, weight, priority, region ?? null],
    )
  }
}

async function nameRefusal(client: PoolClient, name: string): Promise<Refused | undefined> {
  const { rows } = await client.query<{ kind: string }>(
    `select 'There is an alias of this name already.' as kind from model_aliases a where a.name = $1
     union all select 'This is the name of a provider, too; take another one.' from providers p where p.name = $1
     union all select 'This reads as a model of a provider (provider/model); take another name.'
       from providers p where starts_with($1, p.name || '/')`,
    [name],
  )
  return rows[0] && refused('conflict', rows[0].kind, 'name')
}

/** What it names has to be there. */
async function linkRefusal(client: PoolClient, { targets, billingKeyId }: AliasDraft): Promise<Refused | undefined> {
  const { rows } = await client.query<{ id: string }>('select p.id from providers p where p.id = any ($1)', [
    targets.map(({ providerId }) => providerId),
  ])
  const known = new Set(rows.map(({ id }) => id))
  const lost = targets.findIndex(({ providerId }) => !known.has(providerId))
  if (lost >= 0) return refused('not_found', 'There is no such provider.', 'targets', String(lost), 'providerId')
  const names = targets.map(({ providerId, model, region }) => JSON.stringify([providerId, model, region]))
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index)
  if (twice >= 0) return refused('invalid', 'This target stands there twice.', 'targets', String(twice))
  if (billingKeyId === undefined) return undefined
  const { rowCount } = await client.query('select from api_keys k where k.id = $1 and k.revoked_at is null', [
    billingKeyId,
  ])
  return rowCount === 0 ? refused('not_found', 'There is no such key, or it was revoked.', 'billingKeyId') : undefined
}
