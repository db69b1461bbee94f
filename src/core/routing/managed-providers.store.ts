import type { PoolClient } from 'pg'
import type { ProviderType } from '../providers/provider.ts'
import { refused } from '../refusal.ts'
import { Secret } from '../secret.ts'
import { credentialOrigin } from '../secrets/credential-origin.ts'
import type { Keyring } from '../secrets/keyring.ts'
import { openCredentials } from '../secrets/open-credentials.ts'
import {
  putCredential,
  removeCredential,
  type SealedCredential,
  sealingRefusal,
} from '../secrets/sealed-credentials.store.ts'
import type { DeclaredProvider } from './declared-configuration.ts'
import { declareModel } from './managed-models.store.ts'
import type { ProviderDraft, ProviderPatch, ReadProvider } from './managed-routing.ts'
import type { RoutingChange, RoutingOutcome } from './routing-change.store.ts'
import { readStoredRouting, type StoredProvider } from './snapshot.store.ts'

export interface ManagedProvidersDeps {
  keyring: Keyring
  readProvider: ReadProvider
}

export async function createProvider(
  change: RoutingChange,
  { keyring, readProvider }: ManagedProvidersDeps,
  draft: ProviderDraft,
): Promise<RoutingOutcome<string>> {
  const read = readProvider(draft)
  if (!read.ok) return read
  const taken = await nameProblem(change.client, draft.name)
  if (taken) return refused('conflict', taken, 'name')
  const sealing = await sealingRefusal(change.client, keyring)
  if (sealing) return refused('conflict', sealing)
  const id = change.newId()
  const content = contentOf(draft, read.provider)
  await writeContent(change.client, id, draft.name, content)
  const credentials: SealedCredential[] = []
  for (const [field, secret] of Object.entries(read.provider.credentials)) {
    const { after } = await putCredential(
      change.client,
      { keyring, newId: change.newId },
      { id, ...content },
      field,
      secret,
    )
    credentials.push(after)
  }
  await change.audit({
    action: 'provider.create',
    subjectKind: 'provider',
    subjectId: id,
    after: { name: draft.name, ...content, credentials },
  })
  for (const { rateTables, ...model } of read.models) {
    const declared = await declareModel(change, { ...model, providerId: id, tables: rateTables })
    if (!declared.ok) return declared
  }
  return { ok: true, value: id }
}

export async function updateProvider(
  change: RoutingChange,
  { keyring, readProvider }: ManagedProvidersDeps,
  id: string,
  patch: ProviderPatch,
): Promise<RoutingOutcome<string>> {
  const { client } = change
  const { providers } = await readStoredRouting(client)
  const stored = providers.find((provider) => provider.id === id)
  if (!stored) return refused('not_found', 'There is no such provider.', 'providerId')
  if (stored.managedBy !== 'admin') return refused('managed_by_file', managedElsewhere(stored), 'providerId')
  const kept = keptCredentials(keyring, stored)
  const secrets = Object.fromEntries(
    Object.entries({ ...kept.opened, ...patch.credentials }).filter(
      (entry): entry is [string, Secret] => entry[1] !== null,
    ),
  )
  const own = draftOf(stored)
  const timeouts = { ...own.timeouts, ...patch.timeouts }
  const draft: ProviderDraft = { ...own, ...given(patch), timeouts, credentials: secrets }
  // An address that was made of the settings follows them, unless one is given in the same breath.
  if (patch.settings && patch.baseUrl === undefined && isMadeOfSettings(readProvider, stored, secrets)) {
    draft.baseUrl = undefined
  }
  const read = readProvider(draft)
  if (!read.ok) return read
  const before = contentOf(own, { ...stored, timeouts: timeoutsOf(stored) })
  const after = contentOf(draft, read.provider)
  const origin = credentialOrigin(after)
  const astray = stored.credentials.find(
    (credential) => credential.origin !== origin && !(credential.field in patch.credentials),
  )
  if (astray) {
    const message = `The credential ${astray.field} was entered for ${astray.origin}, and the provider would be at ${origin}: enter it again in the same change.`
    return refused('invalid', message, 'credentials')
  }
  if (kept.problem !== undefined) return refused('invalid', kept.problem, 'credentials')
  const sealing = await sealingRefusal(client, keyring)
  if (sealing) return refused('conflict', sealing)
  await writeContent(client, id, stored.name, after)
  const credentials = await changeCredentials(change, keyring, { id, ...after }, patch.credentials)
  await change.audit({
    action: 'provider.update',
    subjectKind: 'provider',
    subjectId: id,
    before: { name: stored.name, ...before, credentials: credentials.before },
    after: { name: stored.name, ...after, credentials: credentials.after },
  })
  return { ok: true, value: id }
}

function isMadeOfSettings(
  read: ReadProvider,
  stored: StoredProvider,
  credentials: ProviderDraft['credentials'],
): boolean {
  const made = read({ ...draftOf(stored), baseUrl: undefined, credentials })
  return made.ok && made.provider.baseUrl === stored.baseUrl
}

interface ProviderContent {
  type: ProviderType
  baseUrl: string | null
  settings: Readonly<Record<string, unknown>>
  passthroughModels: boolean
  enabled: boolean
}

type Read = Pick<DeclaredProvider, 'type' | 'baseUrl' | 'settings' | 'timeouts'>

function contentOf(
  { passthroughModels, enabled }: Pick<ProviderDraft, 'passthroughModels' | 'enabled'>,
  { type, baseUrl, settings, timeouts }: Read,
): ProviderContent {
  return { type, baseUrl, settings: { ...settings, timeouts: { ...timeouts } }, passthroughModels, enabled }
}

function draftOf({
  name,
  type,
  baseUrl,
  enabled,
  passthroughModels,
  settings,
}: StoredProvider): Omit<ProviderDraft, 'credentials'> {
  const { timeouts, ...own } = settings
  return {
    name,
    type,
    baseUrl: baseUrl ?? undefined,
    enabled,
    passthroughModels,
    timeouts: timeouts as ProviderDraft['timeouts'],
    settings: own,
  }
}

const timeoutsOf = ({ settings }: StoredProvider): DeclaredProvider['timeouts'] =>
  settings.timeouts as DeclaredProvider['timeouts']

function given({ credentials: _credentials, timeouts: _timeouts, ...patch }: ProviderPatch): Partial<ProviderDraft> {
  return Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined))
}

/** Those that can be used where the provider is now. */
function keptCredentials(
  keyring: Keyring,
  stored: StoredProvider,
): { opened: Record<string, Secret>; problem: string | undefined } {
  try {
    const opened = Object.entries(openCredentials(keyring, stored))
    return { opened: Object.fromEntries(opened.map(([field, text]) => [field, new Secret(text)])), problem: undefined }
  } catch (error) {
    return { opened: {}, problem: (error as Error).message } // fit to show
  }
}

async function changeCredentials(
  { client, newId }: RoutingChange,
  keyring: Keyring,
  provider: ProviderContent & { id: string },
  wanted: ProviderPatch['credentials'],
): Promise<{ before: SealedCredential[]; after: SealedCredential[] }> {
  const before: SealedCredential[] = []
  const after: SealedCredential[] = []
  for (const [field, secret] of Object.entries(wanted)) {
    const changed =
      secret === null
        ? { before: await removeCredential(client, provider.id, field), after: undefined }
        : await putCredential(client, { keyring, newId }, provider, field, secret)
    if (changed.before) before.push(changed.before)
    if (changed.after) after.push(changed.after)
  }
  return { before, after }
}

async function writeContent(client: PoolClient, id: string, name: string, content: ProviderContent): Promise<void> {
  const { type, baseUrl, settings, passthroughModels, enabled } = content
  await client.query(
    `insert into providers (id, name, managed_by, type, base_url, settings, passthrough_models, enabled)
     values ($1, $2, 'admin', $3, $4, $5, $6, $7)
     on conflict (id) do update set base_url = excluded.base_url, settings = excluded.settings,
       passthrough_models = excluded.passthrough_models, enabled = excluded.enabled`,
    [id, name, type, baseUrl, JSON.stringify(settings), passthroughModels, enabled],
  )
}

/** Providers and aliases share the names that clients may send. */
async function nameProblem(client: PoolClient, name: string): Promise<string | undefined> {
  const { rows } = await client.query<{ kind: string }>(
    `select 'a provider' as kind from providers p where p.name = $1
     union all select 'an alias' from model_aliases a where a.name = $1 or starts_with(a.name, $1 || '/')`,
    [name],
  )
  return rows[0] && `There is ${rows[0].kind} of this name already, or one that reads as a model of it.`
}

function managedElsewhere({ name, managedBy }: StoredProvider): string {
  switch (managedBy) {
    case 'environment':
      return `The provider "${name}" comes of the environment; change it there.`
    case 'builtin':
      return `The provider "${name}" is built in and goes when another one is declared in the configuration file.`
    default:
      return `The provider "${name}" is declared in the configuration file; change it there.`
  }
}
