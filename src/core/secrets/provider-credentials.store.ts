import type { Pool, PoolClient } from 'pg'
import { type AuditEntry, type AuditedChange, recordAudit } from '../access/audit-trail.store.ts'
import type { Clock } from '../clock.ts'
import { inTransaction } from '../db/transaction.ts'
import type { IdSource } from '../ids.ts'
import type { Actor } from '../keys/keys.ts'
import type { ProviderType } from '../providers/provider.ts'
import type { Secret } from '../secret.ts'
import type { Keyring } from './keyring.ts'
import { putCredential, removeCredential, sealingRefusal } from './sealed-credentials.store.ts'

/** The sealed credentials of providers in SQL. A change, its audit event and the new version commit together. */
export interface CredentialStore {
  /** Seals a secret for the origin that the provider has now, in place of the one that may be there. */
  put(wanted: CredentialToPut): Promise<CredentialChanged | CredentialRefused>
  remove(wanted: CredentialToRemove): Promise<CredentialChanged | CredentialRefused>
}

export interface CredentialToRemove {
  /** Its name. */
  provider: string
  field: string
  actor: Actor
}

export interface CredentialToPut extends CredentialToRemove {
  secret: Secret
}

export interface CredentialChanged {
  ok: true
  /** Whether there was one before. */
  existed: boolean
  origin: string
}

export interface CredentialRefused {
  ok: false
  /** A sentence to show. */
  message: string
}

export interface CredentialStoreDeps {
  pool: Pool
  keyring: Keyring
  ids: IdSource
  clock: Clock
}

export function createCredentialStore({ pool, keyring, ids, clock }: CredentialStoreDeps): CredentialStore {
  const newId = (): string => ids(clock.nowMs())
  return {
    put: ({ provider: name, field, secret, actor }) =>
      inTransaction(pool, async (client) => {
        const sealing = await sealingRefusal(client, keyring)
        if (sealing) return refused(sealing)
        const provider = await lockProvider(client, name)
        const refusal = refusalOf(name, provider)
        if (refusal || !provider) return refused(refusal ?? '')
        const { before, after } = await putCredential(client, { keyring, newId }, provider, field, secret)
        await record(client, { id: newId(), actor }, provider.id, {
          action: before ? 'provider.credential.replace' : 'provider.credential.create',
          before: before && { provider: name, ...before },
          after: { provider: name, ...after },
        })
        return { ok: true, existed: before !== undefined, origin: after.origin }
      }),
    remove: ({ provider: name, field, actor }) =>
      inTransaction(pool, async (client) => {
        const provider = await lockProvider(client, name)
        const refusal = refusalOf(name, provider)
        if (refusal || !provider) return refused(refusal ?? '')
        const before = await removeCredential(client, provider.id, field)
        if (!before) return refused(`The provider ${name} has no stored credential ${field}.`)
        await record(client, { id: newId(), actor }, provider.id, {
          action: 'provider.credential.delete',
          before: { provider: name, ...before },
        })
        return { ok: true, existed: true, origin: before.origin }
      }),
  }
}

const refused = (message: string): CredentialRefused => ({ ok: false, message })

interface LockedProvider {
  id: string
  type: ProviderType
  baseUrl: string | null
  settings: Readonly<Record<string, unknown>>
  managedBy: 'builtin' | 'environment' | 'file' | 'admin'
}

/** Its base URL stays what it is until the credential for it is stored. */
async function lockProvider(client: PoolClient, name: string): Promise<LockedProvider | undefined> {
  const { rows } = await client.query<LockedProvider>(
    `select p.id, p.type, p.base_url as "baseUrl", p.settings, p.managed_by as "managedBy"
     from providers p where p.name = $1 for update`,
    [name],
  )
  return rows[0]
}

function refusalOf(name: string, provider: LockedProvider | undefined): string | undefined {
  switch (provider?.managedBy) {
    case undefined:
      return `There is no provider ${name}. List them with: llmgw providers list`
    case 'file':
      return `The provider ${name} is declared in the config file, and its credentials are too: change them there.`
    case 'environment':
      return `The provider ${name} comes of the environment, and its credentials do too: change them there.`
    case 'builtin':
      return `The provider ${name} is built in and has no credentials.`
    default:
      return undefined
  }
}

/** Replicas watch the version; its hash only says which change made it. */
async function record(
  client: PoolClient,
  entry: AuditEntry,
  providerId: string,
  change: Pick<AuditedChange, 'action' | 'before' | 'after'>,
): Promise<void> {
  await recordAudit(client, entry, { ...change, subjectKind: 'provider', subjectId: providerId })
  await client.query(`insert into config_versions (source, status, content_hash) values ('admin', 'active', $1)`, [
    entry.id,
  ])
}
