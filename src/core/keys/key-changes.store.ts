import { isDeepStrictEqual } from 'node:util'
import type { PoolClient } from 'pg'
import type { KeyDigest } from './key-digest.ts'
import {
  auditKey,
  isTaken,
  lockedKey,
  refusal,
  type StoreRefusal,
  secretTaken,
  writeMetadata,
} from './key-rows.store.ts'
import type { Actor, Key, KeyPatch } from './keys.ts'

export interface KeyChange {
  id: string
  action: KeyAction
  actor: Actor
  auditId: string
}

export type KeyAction = 'key.revoke' | 'key.terminate' | 'key.enable' | 'key.disable'

export interface KeyUpdate {
  id: string
  patch: KeyPatch
  actor: Actor
  auditId: string
}

export interface KeySecretRotation {
  id: string
  digests: readonly KeyDigest[]
  display: { displayPrefix: string; last4: string }
  overlapMs: number
  actor: Actor
  auditId: string
}

export async function changeKey(
  client: PoolClient,
  { id, action, actor, auditId }: KeyChange,
): Promise<{ ok: true; key: Key; changed: boolean } | StoreRefusal> {
  const found = await changeableKey(client, id, actor, action === 'key.revoke' || action === 'key.terminate')
  if (!found.ok) return found
  const before = found.key
  if (isDone(before, action)) return { ok: true, key: before, changed: false }
  await client.query(changeSql[action], [id])
  const after = await lockedKey(client, id)
  if (!after) throw new Error('The key that was just changed is not there.')
  await auditKey(client, { id: auditId, actor }, action, before, after)
  return { ok: true, key: after, changed: true }
}

function isDone({ revokedAtMs, endsCalls, enabled }: Key, action: KeyAction): boolean {
  if (action === 'key.terminate') return endsCalls
  return action === 'key.revoke' ? revokedAtMs !== undefined : enabled === (action === 'key.enable')
}

/** One that the actor may change, locked. */
async function changeableKey(
  client: PoolClient,
  id: string,
  actor: Actor,
  maybeRevoked: boolean,
): Promise<{ ok: true; key: Key } | StoreRefusal> {
  const key = await lockedKey(client, id)
  if (!key) return refusal('not_found', 'There is no such key.', 'id')
  if (key.managedBy === 'file' && actor.kind !== 'file') {
    return refusal(
      'managed_by_file',
      `The key "${key.name}" is declared in the configuration file; change it there.`,
      'id',
    )
  }
  if (!maybeRevoked && key.revokedAtMs !== undefined) {
    return refusal('conflict', `The key "${key.name}" was revoked, and that is for good. Make a new one.`, 'id')
  }
  return { ok: true, key }
}

export async function updateKey(
  client: PoolClient,
  { id, patch, actor, auditId }: KeyUpdate,
): Promise<{ ok: true; key: Key; changed: boolean } | StoreRefusal> {
  const found = await changeableKey(client, id, actor, false)
  if (!found.ok) return found
  const before = found.key
  const wanted = { ...before, ...withoutUndefined(patch) }
  await client.query(
    `update api_keys set name = $2, allowed_models = $3, unpriced_policy = $4, expires_at = $5 where id = $1`,
    [
      ...[id, wanted.name, wanted.allowedModels ?? null, wanted.unpricedPolicy ?? null],
      wanted.expiresAtMs == null ? null : new Date(wanted.expiresAtMs).toISOString(),
    ],
  )
  await writeMetadata(client, id, wanted)
  const after = await lockedKey(client, id)
  if (!after) throw new Error('The key that was just changed is not there.')
  if (isDeepStrictEqual(before, after)) return { ok: true, key: after, changed: false }
  await auditKey(client, { id: auditId, actor }, 'key.update', before, after)
  return { ok: true, key: after, changed: true }
}

export async function rotateKey(
  client: PoolClient,
  { id, digests, display, overlapMs, actor, auditId }: KeySecretRotation,
): Promise<{ ok: true; key: Key } | StoreRefusal> {
  const found = await changeableKey(client, id, actor, false)
  if (!found.ok) return found
  if (await isTaken(client, digests)) return secretTaken()
  const [current] = digests
  if (!current) throw new RangeError('A key is stored under at least one pepper.')
  const hasOverlap = overlapMs > 0
  await client.query(
    `update api_keys set secret_digest = $2, pepper_id = $3, display_prefix = $4, last4 = $5,
       previous_secret_digest = case when $6 then secret_digest end,
       previous_valid_until = case when $6 then clock_timestamp() + $7 * interval '1 millisecond' end
     where id = $1`,
    [id, current.bytes, current.pepperId, display.displayPrefix, display.last4, hasOverlap, overlapMs],
  )
  const after = await lockedKey(client, id)
  if (!after) throw new Error('The key that was just changed is not there.')
  await auditKey(client, { id: auditId, actor }, 'key.rotate', found.key, after)
  return { ok: true, key: after }
}

const withoutUndefined = <T extends object>(patch: T): Partial<T> =>
  Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined)) as Partial<T>

const changeSql = {
  'key.revoke': 'update api_keys set revoked_at = clock_timestamp() where id = $1',
  'key.terminate':
    'update api_keys set revoked_at = coalesce(revoked_at, clock_timestamp()), ends_calls = true where id = $1',
  'key.enable': 'update api_keys set enabled = true where id = $1',
  'key.disable': 'update api_keys set enabled = false where id = $1',
} as const
