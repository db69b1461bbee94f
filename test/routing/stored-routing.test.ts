import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type LoadSnapshotDeps, loadRoutingSnapshot } from '../../src/core/routing/load-snapshot.ts'
import { readActiveVersion, readStoredRouting, type StoredProvider } from '../../src/core/routing/snapshot.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())
beforeEach(() => run('truncate providers, model_aliases, config_versions cascade'))

async function run(sql: string, values: unknown[] = []): Promise<void> {
  await database.pools.admin.query(sql, values)
}

async function addProvider(name: string, columns: Partial<StoredProvider> = {}): Promise<string> {
  const id = randomUUID()
  await run(
    `insert into providers (id, name, type, base_url, settings, passthrough_models, enabled, managed_by)
    values ($1, $2, $3, $4, $5, $6, $7, 'admin')`,
    [
      id,
      name,
      columns.type ?? 'demo',
      columns.baseUrl ?? null,
      JSON.stringify(columns.settings ?? {}),
      columns.passthroughModels ?? false,
      columns.enabled ?? true,
    ],
  )
  return id
}

async function addAlias(
  name: string,
  targets: [providerId: string, model: string, priority: number][],
  enabled = true,
) {
  const id = randomUUID()
  await run("insert into model_aliases (id, name, enabled, managed_by) values ($1, $2, $3, 'admin')", [
    id,
    name,
    enabled,
  ])
  for (const [providerId, model, priority] of targets) {
    await run(
      'insert into alias_targets (id, alias_id, provider_id, model, priority, weight) values ($1, $2, $3, $4, $5, 3)',
      [randomUUID(), id, providerId, model, priority],
    )
  }
}

async function addVersion(status: 'active' | 'rejected'): Promise<void> {
  await run("insert into config_versions (source, status, content_hash) values ('admin', $1, 'h')", [status])
}

test('an empty database is a configuration, too', async () => {
  expect(await readStoredRouting(database.pools.request)).toEqual({ version: 0n, providers: [], aliases: [] })
  expect(await readActiveVersion(database.pools.request)).toBe(0n)
})

test('all of it is read in one statement', async () => {
  const openai = await addProvider('openai', {
    type: 'openai',
    baseUrl: 'https://api.openai.com/v1',
    settings: { organization: 'org', timeouts: { idleMs: 1 } },
    passthroughModels: true,
  })
  await addProvider('azure', { enabled: false })
  const sealed = {
    ciphertext: Buffer.from([0, 255, 10]),
    nonce: Buffer.alloc(12, 7),
    wrappedDataKey: Buffer.alloc(100, 3),
  }
  const credentialId = randomUUID()
  await run(
    `insert into provider_credentials
      (id, provider_id, field, origin, ciphertext, nonce, wrapped_data_key, key_encryption_key_id)
    values ($1, $2, 'apiKey', 'https://api.openai.com', $3, $4, $5, 'k1')`,
    [credentialId, openai, sealed.ciphertext, sealed.nonce, sealed.wrappedDataKey],
  )
  await addAlias('smart', [
    [openai, 'b', 1],
    [openai, 'a', 0],
  ])
  await addAlias('off', [[openai, 'a', 0]], false)
  await addVersion('active')
  const { version, providers, aliases } = await readStoredRouting(database.pools.request)
  expect(version).toBe(await readActiveVersion(database.pools.request))
  expect(providers).toEqual([
    expect.objectContaining({ name: 'azure', enabled: false, credentials: [] }),
    {
      id: openai,
      name: 'openai',
      type: 'openai',
      baseUrl: 'https://api.openai.com/v1',
      settings: { organization: 'org', timeouts: { idleMs: 1 } },
      passthroughModels: true,
      enabled: true,
      managedBy: 'admin',
      credentials: [
        { id: credentialId, field: 'apiKey', origin: 'https://api.openai.com', ...sealed, keyEncryptionKeyId: 'k1' },
      ],
    },
  ])
  expect(aliases).toEqual([
    {
      name: 'smart',
      managedBy: 'admin',
      billingKeyId: null,
      createdS: expect.toSatisfy((seconds) => Number.isInteger(seconds) && Math.abs(seconds - Date.now() / 1000) < 600),
      settings: {},
      targets: [
        { providerId: openai, model: 'a', weight: 3, priority: 0, region: null },
        { providerId: openai, model: 'b', weight: 3, priority: 1, region: null },
      ],
    },
  ])
})

test('the version is that of the newest configuration that was taken', async () => {
  await addVersion('active')
  const taken = await readActiveVersion(database.pools.request)
  await addVersion('rejected')
  expect(await readActiveVersion(database.pools.request)).toBe(taken)
  await addVersion('active')
  expect(await readActiveVersion(database.pools.request)).toBeGreaterThan(taken)
})

test('what is stored becomes a snapshot that a call can be routed by', async () => {
  const one = await addProvider('one')
  await addAlias('smart', [[one, 'small', 0]])
  const deps: LoadSnapshotDeps = {
    prices: async () => ({
      nextChangeMs: undefined,
      findModel: () => undefined,
      modelsOf: () => [
        { name: 'small', mode: 'chat', contextWindowTokens: 1, maxOutputTokens: 1, price: undefined, createdS: 0 },
      ],
    }),
    credentials: () => ({}),
    createProvider: ({ name, type }) => ({
      name,
      type,
      totalTimeoutMs: 1,
      exchange: () => Promise.reject(new Error('not part of this test')),
      close: async () => {},
    }),
  }
  const loaded = await loadRoutingSnapshot(deps, await readStoredRouting(database.pools.request), undefined)
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  expect(loaded.snapshot.aliases.get('smart')?.targets[0]?.provider.provider.name).toBe('one')
  expect(loaded.snapshot.providersByModel.get('small')).toHaveLength(1)
})
