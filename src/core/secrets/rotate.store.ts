import type { Pool, PoolClient } from 'pg'
import { secretFingerprint } from '../data-folder/secret-canaries.store.ts'
import { inTransaction } from '../db/transaction.ts'
import type { Actor } from '../keys/keys.ts'
import { rewrapSecret, type SealedSecret, SealedSecretError } from './envelope.ts'
import { deriveKeyEncryptionKey, type Keyring } from './keyring.ts'
import { credentialPlace } from './open-credentials.ts'
import { keyEncryptionKeysLock, type MasterKeys } from './open-keyring.store.ts'

export interface RotateDeps {
  pool: Pool
  keyring: Keyring
  masters: MasterKeys
  actor: Actor
  newId(): string
  /** Told after every batch. */
  progress?(rewrapped: number): void
  /** Rows a transaction; fewer than a running gateway would notice. */
  batchSize?: number
}

export interface Rotated {
  /** Data keys that this run wrapped anew. */
  rewrapped: number
  /** What was under the current key before. */
  alreadyCurrent: number
  /** Credentials that do not open, and stay as they are; the earlier key is not retired then. */
  unreadable: readonly { provider: string; field: string; reason: string }[]
  /** The key-encryption key that this run has ended; undefined when the current one was in force already. */
  retired: string | undefined
}

const batchSizeDefault = 100

/**
 * Wraps the data keys of all sealed secrets under the current key-encryption key, beside gateways that serve, and then
 * retires the earlier one: its master key opens nothing any more and no start takes it. A run that was cut short has
 * done a part of it, and the next goes on from there.
 */
export async function rotateSecrets(deps: RotateDeps): Promise<Rotated> {
  const { pool, keyring, progress } = deps
  const unreadable: { id: string; provider: string; field: string; reason: string }[] = []
  let rewrapped = 0
  const { rows } = await pool.query<{ count: number }>(
    'select count(*)::integer as count from provider_credentials c where c.key_encryption_key_id = $1',
    [keyring.current.id],
  )
  while (true) {
    const batch = await inTransaction(pool, (client) =>
      rewrapBatch(
        client,
        deps,
        unreadable.map(({ id }) => id),
      ),
    )
    unreadable.push(...batch.unreadable)
    if (batch.rewrapped + batch.unreadable.length === 0) break
    rewrapped += batch.rewrapped
    progress?.(rewrapped)
  }
  const retired =
    unreadable.length > 0 ? undefined : await inTransaction(pool, (client) => retire(client, deps, rewrapped))
  return {
    rewrapped,
    alreadyCurrent: rows[0]?.count ?? 0,
    unreadable: unreadable.map(({ provider, field, reason }) => ({ provider, field, reason })),
    retired,
  }
}

interface SealedRow extends SealedSecret {
  id: string
  provider: string
  field: string
  origin: string
}

async function rewrapBatch(
  client: PoolClient,
  { keyring, batchSize = batchSizeDefault }: RotateDeps,
  passedOver: readonly string[],
): Promise<{ rewrapped: number; unreadable: { id: string; provider: string; field: string; reason: string }[] }> {
  const { rows } = await client.query<SealedRow>(
    `select c.id, p.name as provider, c.field, c.origin, c.ciphertext, c.nonce, c.wrapped_data_key as "wrappedDataKey",
       c.key_encryption_key_id as "keyEncryptionKeyId"
     from provider_credentials c join providers p on p.id = c.provider_id
     where c.key_encryption_key_id <> $1 and c.id <> all ($2)
     order by c.id limit $3 for update of c`,
    [keyring.current.id, passedOver, batchSize],
  )
  const unreadable: { id: string; provider: string; field: string; reason: string }[] = []
  let rewrapped = 0
  for (const row of rows) {
    try {
      const { wrappedDataKey, keyEncryptionKeyId } = rewrapSecret(keyring, credentialPlace(row), row)
      await client.query(
        'update provider_credentials set wrapped_data_key = $2, key_encryption_key_id = $3 where id = $1',
        [row.id, wrappedDataKey, keyEncryptionKeyId],
      )
      rewrapped++
    } catch (error) {
      if (!(error instanceof SealedSecretError)) throw error
      unreadable.push({ id: row.id, provider: row.provider, field: row.field, reason: error.message })
    }
  }
  return { rewrapped, unreadable }
}

/** Ends the key of the master that the database was used with before, and remembers the current one in its place. */
async function retire(client: PoolClient, deps: RotateDeps, rewrapped: number): Promise<string | undefined> {
  const { keyring, masters, actor, newId } = deps
  await client.query(`select pg_advisory_xact_lock(${keyEncryptionKeysLock})`)
  const { rows } = await client.query<{ fingerprint: string; stragglers: number }>(
    `select k.fingerprint,
       (select count(*)::integer from provider_credentials c where c.key_encryption_key_id <> $1) as stragglers
     from secret_canaries k where k.name = 'master-key' for update`,
    [keyring.current.id],
  )
  const { fingerprint, stragglers = 0 } = rows[0] ?? {}
  if (stragglers > 0) throw new Error(stragglersMessage(stragglers))
  const former = masters.others.find((master) => secretFingerprint('master-key', master) === fingerprint)
  if (!former || former.equals(masters.current)) return undefined
  const { id } = deriveKeyEncryptionKey(former)
  await client.query('insert into retired_key_encryption_keys (id) values ($1) on conflict do nothing', [id])
  const auditId = newId()
  // What is kept for a bad day is still under the earlier key; the new version makes the replicas keep it anew.
  await client.query('delete from last_good_routing')
  await client.query(`insert into config_versions (source, status, content_hash) values ('admin', 'active', $1)`, [
    auditId,
  ])
  await client.query(`update secret_canaries set fingerprint = $1 where name = 'master-key'`, [
    secretFingerprint('master-key', masters.current),
  ])
  await client.query(
    `insert into audit_events (id, actor_kind, actor_id, action, subject_kind, subject_id, after)
     values ($1, $2, $3, 'secrets.rotate', 'key_encryption_key', $4, $5)`,
    [auditId, actor.kind, actor.id ?? null, id, JSON.stringify({ replacedBy: keyring.current.id, rewrapped })],
  )
  return id
}

const stragglersMessage = (count: number): string =>
  `While the data keys were wrapped anew, ${count} more came under an earlier key: a gateway still runs with the earlier ` +
  'master key as its own. Restart it with the new one, and run the command again.'
