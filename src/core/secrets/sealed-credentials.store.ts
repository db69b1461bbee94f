import type { PoolClient } from 'pg'
import type { Secret } from '../secret.ts'
import { type CredentialAudience, credentialOrigin } from './credential-origin.ts'
import { sealSecret } from './envelope.ts'
import type { Keyring } from './keyring.ts'
import { credentialPlace } from './open-credentials.ts'
import { keyEncryptionKeysLock, readRetiredKeys } from './open-keyring.store.ts'

/** A stored secret as it goes on record: what tells it apart, and nothing of it. */
export interface SealedCredential {
  field: string
  /** Whom it may be sent to. */
  origin: string
  last4: string | null
}

/** Why nothing may be sealed with the current key any more. @returns a sentence to show; undefined when it may */
export async function sealingRefusal(client: PoolClient, { current }: Keyring): Promise<string | undefined> {
  // Until the transaction ends, a rotation that would retire the key waits.
  await client.query(`select pg_advisory_xact_lock_shared(${keyEncryptionKeysLock})`)
  if (!(await readRetiredKeys(client)).has(current.id)) return undefined
  return `The master key of this process (${current.id}) was replaced by a rotation and retired: nothing is sealed with it any more.`
}

/**
 * Seals a secret for the origin that the provider has now, in place of the one that may be there.
 *
 * @returns what is stored now, and what was before
 */
export async function putCredential(
  client: PoolClient,
  { keyring, newId }: { keyring: Keyring; newId(): string },
  provider: CredentialAudience & { id: string },
  field: string,
  secret: Secret,
): Promise<{ before: SealedCredential | undefined; after: SealedCredential }> {
  const stored = await readCredential(client, provider.id, field)
  const id = stored?.id ?? newId()
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
      ...[id, provider.id, field, origin, sealed.ciphertext, sealed.nonce, sealed.wrappedDataKey],
      ...[sealed.keyEncryptionKeyId, last4],
    ],
  )
  return { before: stored && shownOf(stored), after: { field, origin, last4 } }
}

/** @returns what was there; undefined when nothing was */
export async function removeCredential(
  client: PoolClient,
  providerId: string,
  field: string,
): Promise<SealedCredential | undefined> {
  const stored = await readCredential(client, providerId, field)
  if (!stored) return undefined
  await client.query('delete from provider_credentials c where c.id = $1', [stored.id])
  return shownOf(stored)
}

async function readCredential(
  client: PoolClient,
  providerId: string,
  field: string,
): Promise<(SealedCredential & { id: string }) | undefined> {
  const { rows } = await client.query<SealedCredential & { id: string }>(
    'select c.id, c.field, c.origin, c.last4 from provider_credentials c where c.provider_id = $1 and c.field = $2',
    [providerId, field],
  )
  return rows[0]
}

const shownOf = ({ field, origin, last4 }: SealedCredential): SealedCredential => ({ field, origin, last4 })

/** To tell keys apart by; of a short secret it would be too much of it. */
function last4Of(secret: Secret): string | null {
  const text = secret.reveal()
  return /^[\x21-\x7e]{20,}$/.test(text) ? text.slice(-4) : null
}
