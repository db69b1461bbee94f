import type pg from 'pg'
import { StartRefusal } from '../start-refusal.ts'
import { createKeyring, deriveKeyEncryptionKey, type Keyring } from './keyring.ts'

/** As the process is given them, 32 bytes each. */
export interface MasterKeys {
  readonly current: Buffer
  /** Earlier ones, or the one that will follow. */
  readonly others: readonly Buffer[]
}

/** Held shared by whoever seals something, and alone by the end of a rotation, so that nothing is sealed under a key as it retires. */
export const keyEncryptionKeysLock = 'hashtext($$llmgw key-encryption keys$$)'

/**
 * The keys this process may use: those it is given, without those that a rotation has ended.
 *
 * @throws StartRefusal (exit code 78) when the current one has been retired, or when secrets are sealed under a key that
 *   is not there: with their number, and the ids of the keys
 */
export async function openKeyring(database: pg.Pool | pg.ClientBase, masters: MasterKeys): Promise<Keyring> {
  const retired = await readRetiredKeys(database)
  const current = deriveKeyEncryptionKey(masters.current)
  if (retired.has(current.id)) {
    throw new StartRefusal(
      'master_key_retired',
      `The master key at hand (${current.id}) was replaced by a rotation and retired. Give the gateway the one that ` +
        'replaced it (LLMGW_MASTER_KEY, or secrets/master-key in its data folder).',
    )
  }
  const others = masters.others.filter((master) => !retired.has(deriveKeyEncryptionKey(master).id))
  const keyring = createKeyring(masters.current, others)
  const missing = await countSealedUnderOthers(database, keyring.ids)
  if (missing.length > 0) {
    const count = missing.reduce((sum, each) => sum + each.count, 0)
    throw new StartRefusal(
      'key_encryption_key_missing',
      `${count} stored ${count === 1 ? 'credential is' : 'credentials are'} sealed under a key-encryption key that this ` +
        `process does not have: ${missing.map((each) => `${each.count} under ${each.id}`).join(', ')}. Give it the ` +
        'master key they were sealed with, in LLMGW_PREVIOUS_MASTER_KEYS; or, when that is lost, delete these ' +
        'credentials and enter them again.',
    )
  }
  return keyring
}

export async function readRetiredKeys(database: pg.Pool | pg.ClientBase): Promise<ReadonlySet<string>> {
  const { rows } = await database.query<{ id: string }>('select k.id from retired_key_encryption_keys k')
  return new Set(rows.map(({ id }) => id))
}

async function countSealedUnderOthers(
  database: pg.Pool | pg.ClientBase,
  ids: readonly string[],
): Promise<{ id: string; count: number }[]> {
  const { rows } = await database.query<{ id: string; count: number }>(
    `select c.key_encryption_key_id as id, count(*)::integer as count
     from provider_credentials c
     where c.key_encryption_key_id <> all ($1)
     group by c.key_encryption_key_id
     order by c.key_encryption_key_id`,
    [ids],
  )
  return rows
}
