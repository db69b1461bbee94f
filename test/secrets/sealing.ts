import type { Pool } from 'pg'
import { createDatabaseClock } from '../../src/core/clock.ts'
import { createUuidV7Source } from '../../src/core/ids.ts'
import { readStoredRouting, type StoredProvider } from '../../src/core/routing/snapshot.store.ts'
import type { Keyring } from '../../src/core/secrets/keyring.ts'
import { type CredentialStore, createCredentialStore } from '../../src/core/secrets/provider-credentials.store.ts'

const ids = createUuidV7Source()
export const newId = (): string => ids(Date.now())
export const operator = { kind: 'operator', id: undefined } as const

export const openStore = (pool: Pool, keyring: Keyring): CredentialStore =>
  createCredentialStore({ pool, keyring, ids, clock: createDatabaseClock() })

/** A provider as an administrator makes one; its credentials are entered apart from it. */
export async function insertProvider(
  pool: Pool,
  name: string,
  { type = 'openai', baseUrl = 'https://api.example/v1', managedBy = 'admin' } = {},
): Promise<void> {
  await pool.query(
    `insert into providers (id, name, type, base_url, passthrough_models, managed_by) values ($1, $2, $3, $4, true, $5)`,
    [newId(), name, type, baseUrl, managedBy],
  )
}

export async function storedProvider(pool: Pool, name: string): Promise<StoredProvider> {
  const found = (await readStoredRouting(pool)).providers.find((provider) => provider.name === name)
  if (!found) throw new Error(`There is no provider ${name}.`)
  return found
}
