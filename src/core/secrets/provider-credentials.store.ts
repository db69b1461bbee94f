import type { Pool, PoolClient } from 'pg'
import type { Clock } from '../clock.ts'
import { inTransaction } from '../db/transaction.ts'
import type { IdSource } from '../ids.ts'
import type { Actor } from '../keys/keys.ts'
import type { ProviderType } from '../providers/provider.ts'
import type { Secret } from '../secret.ts'
import { credentialOrigin } from './credential-origin.ts'
import { sealSecret } from './envelope.ts'
import type { Keyring } from './keyring.ts'
import { credentialPlace } from './open-credentials.ts'
import { keyEncryptionKeysLock, readRetiredKeys } from './open-keyring.store.ts'

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
        if (await isRetired(client, keyring.current.id)) return refused(retiredMessage(keyring.current.id))
        const provider = await lockProvider(client, name)
        const refusal = refusalOf(name, provider)
        if (refusal || !provider) return refused(refusal ?? '')
        const before = await readCredential(client, provider.id, field)
        const id = before?.id ?? newId()
        const origin = credentialOrigin(provider)
        const sealed = sealSecret(keyring, credentialPlace({ id, field, origin }), secret)
        const last4 = last4Of(secret)
        await client.query(
          `insert into provider_credentials
             (id, provider_id, field, origin, ciphertext, nonce, wrapped_data_key, key_encryption_key_id, last4)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           on conflict (id) do update set origin = excluded.origin, ciphertext = excluded.ciphertext,
             nonce = excluded.nonce, wrapped_data_key = excluded.wrapped_data_key,
             key_encryption_key_id = excluded.key_encryption_key_id, last4 = excluded.last4`,
          [
            id,
            provider.id,
            field,
            origin,
            sealed.ciphertext,
            sealed.nonce,
            sealed.wrappedDataKey,
            sealed.keyEncryptionKeyId,
            last4,
          ],
        )
        await record(client, newId(), actor, provider.id, {
          action: before ? 'provider.credential.replace' : 'provider.credential.create',
          before: before && { provider: name, field, origin: before.origin, last4: before.last4 },
          after: { provider: name, field, origin, last4 },
        })
        return { ok: true, existed: before !== undefined, origin }
      }),
    remove: ({ provider: name, field, actor }) =>
      inTransaction(pool, async (client) => {
        const provider = await lockProvider(client, name)
        const refusal = refusalOf(name, provider)
        if (refusal || !provider) return refused(refusal ?? '')
        const before = await readCredential(client, provider.id, field)
        if (!before) return refused(`The provider ${name} has no stored credential ${field}.`)
        await client.query('delete from provider_credentials c where c.id = $1', [before.id])
        await record(client, newId(), actor, provider.id, {
          action: 'provider.credential.delete',
          before: { provider: name, field, origin: before.origin, last4: before.last4 },
          after: undefined,
        })
        return { ok: true, existed: true, origin: before.origin }
      }),
  }
}

const refused = (message: string): CredentialRefused => ({ ok: false, message })

const retiredMessage = (id: string): string =>
  `The master key of this process (${id}) was replaced by a rotation and retired: nothing is sealed with it any more.`

/** Until the transaction ends, a rotation that would retire the key waits. */
async function isRetired(client: PoolClient, id: string): Promise<boolean> {
  await client.query(`select pg_advisory_xact_lock_shared(${keyEncryptionKeysLock})`)
  return (await readRetiredKeys(client)).has(id)
}

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

async function readCredential(
  client: PoolClient,
  providerId: string,
  field: string,
): Promise<{ id: string; origin: string; last4: string | null } | undefined> {
  const { rows } = await client.query<{ id: string; origin: string; last4: string | null }>(
    'select c.id, c.origin, c.last4 from provider_credentials c where c.provider_id = $1 and c.field = $2',
    [providerId, field],
  )
  return rows[0]
}

/** To tell keys apart by; of a short secret it would be too much of it. */
function last4Of(secret: Secret): string | null {
  const text = secret.reveal()
  return /^[\x21-\x7e]{20,}$/.test(text) ? text.slice(-4) : null
}

interface RecordedChange {
  action: string
  before: object | undefined
  after: object | undefined
}

/** Replicas watch the version; its hash only says which change made it. */
async function record(
  client: PoolClient,
  auditId: string,
  actor: Actor,
  providerId: string,
  { action, before, after }: RecordedChange,
): Promise<void> {
  await client.query(
    `insert into audit_events (id, actor_kind, actor_id, action, subject_kind, subject_id, request_id, before, after)
     values ($1, $2, $3, $4, 'provider', $5, $6, $7, $8)`,
    [
      auditId,
      actor.kind,
      actor.id ?? null,
      action,
      providerId,
      actor.requestId ?? null,
      before ? JSON.stringify(before) : null,
      after ? JSON.stringify(after) : null,
    ],
  )
  await client.query(`insert into config_versions (source, status, content_hash) values ('admin', 'active', $1)`, [
    auditId,
  ])
}
