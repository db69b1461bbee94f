import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkSecretCanaries } from '../../src/core/data-folder/secret-canaries.store.ts'
import { readActiveVersion } from '../../src/core/routing/snapshot.store.ts'
import { Secret } from '../../src/core/secret.ts'
import { createKeyring, deriveKeyEncryptionKey } from '../../src/core/secrets/keyring.ts'
import { openCredentials } from '../../src/core/secrets/open-credentials.ts'
import { openKeyring } from '../../src/core/secrets/open-keyring.store.ts'
import { type RotateDeps, rotateSecrets } from '../../src/core/secrets/rotate.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { insertProvider, newId, openStore, operator, storedProvider } from './sealing.ts'

const [first, second, third] = ['first', 'second', 'third'].map((name) => Buffer.alloc(32, name)) as [
  Buffer,
  Buffer,
  Buffer,
]
const pepper = Buffer.alloc(32, 'pepper')

let database: TestDatabase
beforeEach(async () => {
  database = await createTestDatabase()
  await start(first)
})
afterEach(() => database.drop())

const pool = () => database.pools.admin

/** What a start checks, in its order. */
async function start(current: Buffer, ...others: Buffer[]) {
  await checkSecretCanaries(pool(), { 'master-key': current, 'key-pepper': pepper }, others)
  return openKeyring(pool(), { current, others })
}

async function store(provider: string, master: Buffer): Promise<void> {
  await insertProvider(pool(), provider)
  const secret = new Secret(`sk-of-${provider}`)
  await openStore(pool(), createKeyring(master)).put({ provider, field: 'apiKey', secret, actor: operator })
}

async function rotate(current: Buffer, others: Buffer[], more: Partial<RotateDeps> = {}) {
  const keyring = await start(current, ...others)
  return rotateSecrets({ pool: pool(), keyring, masters: { current, others }, actor: operator, newId, ...more })
}

const open = async (provider: string, ...masters: [Buffer, ...Buffer[]]) =>
  openCredentials(createKeyring(masters[0], masters.slice(1)), await storedProvider(pool(), provider)).apiKey

test('all data keys come under the new key, and then the earlier one opens nothing and starts nothing', async () => {
  for (let index = 0; index < 7; index++) await store(`p${index}`, first)
  const sizes: number[] = []
  const rotated = await rotate(second, [first], { batchSize: 3, progress: (done) => sizes.push(done) })
  const retired = deriveKeyEncryptionKey(first).id
  expect(rotated).toEqual({ rewrapped: 7, alreadyCurrent: 0, unreadable: [], retired })
  expect(sizes).toEqual([3, 6, 7])

  await start(second)
  for (let index = 0; index < 7; index++) expect(await open(`p${index}`, second)).toBe(`sk-of-p${index}`)
  await expect(open('p0', first)).rejects.toThrow('does not have')
  await expect(start(first)).rejects.toMatchObject({ reason: 'secret_mismatch', exitCode: 78 })
  await expect(start(first, second)).rejects.toMatchObject({ reason: 'master_key_retired', exitCode: 78 })
  expect((await start(second, first)).ids).toEqual([deriveKeyEncryptionKey(second).id])

  expect(await rotate(second, [first])).toEqual({ rewrapped: 0, alreadyCurrent: 7, unreadable: [], retired: undefined })
  const { rows } = await pool().query(`select after from audit_events where action = 'secrets.rotate'`)
  expect(rows).toEqual([{ after: { replacedBy: deriveKeyEncryptionKey(second).id, rewrapped: 7 } }])
})

test('nothing is kept under the earlier key, and replicas are told to read anew', async () => {
  await store('p', first)
  await start(second, first)
  await pool().query(`insert into last_good_routing (version, providers, aliases) values (1, '[]', '[]')`)
  const before = await readActiveVersion(pool())
  await rotate(second, [first])
  expect((await pool().query('select * from last_good_routing')).rows).toEqual([])
  expect(await readActiveVersion(pool())).toBeGreaterThan(before)
})

test('a run that was cut short is completed by the next', async () => {
  for (let index = 0; index < 5; index++) await store(`p${index}`, first)
  const stop = () => {
    throw new Error('killed')
  }
  await expect(rotate(second, [first], { batchSize: 2, progress: stop })).rejects.toThrow('killed')
  // Both keys are in use, and both starts find all they need.
  expect(await open('p0', second)).toBe('sk-of-p0')
  await start(first, second)
  expect(await rotate(second, [first])).toMatchObject({ rewrapped: 3, alreadyCurrent: 2, retired: expect.any(String) })
  for (let index = 0; index < 5; index++) expect(await open(`p${index}`, second)).toBe(`sk-of-p${index}`)
})

test('what is sealed while it runs is not lost, and nothing is sealed under the retired key after it', async () => {
  await store('before', first)
  await start(second, first)
  const keyring = createKeyring(second, [first])
  await store('early', second)
  const deps: RotateDeps = {
    pool: pool(),
    keyring,
    masters: { current: second, others: [first] },
    actor: operator,
    newId,
    progress: () => {},
  }
  await rotateSecrets(deps)
  await insertProvider(pool(), 'late')
  const late = await openStore(pool(), createKeyring(first)).put({
    provider: 'late',
    field: 'apiKey',
    secret: new Secret('sk-late'),
    actor: operator,
  })
  expect(late).toMatchObject({ ok: false, message: expect.stringContaining('retired') })
  expect([await open('before', second), await open('early', second)]).toEqual(['sk-of-before', 'sk-of-early'])
})

test('a credential that does not open is named, and the earlier key stays', async () => {
  await store('good', first)
  await store('bad', first)
  await pool().query(`update provider_credentials c set origin = 'https://evil.example' from providers p
    where p.id = c.provider_id and p.name = 'bad'`)
  const rotated = await rotate(second, [first], { batchSize: 1 })
  expect(rotated).toMatchObject({
    rewrapped: 1,
    unreadable: [{ provider: 'bad', field: 'apiKey', reason: expect.stringContaining('does not open') }],
    retired: undefined,
  })
  await start(first, second)
})

test('before the new master key is the current one anywhere, a run changes nothing for good', async () => {
  await store('p', first)
  await store('q', second)
  expect(await rotate(first, [second])).toMatchObject({ rewrapped: 1, alreadyCurrent: 1, retired: undefined })
  await start(second, first)
  await start(first)
})

test('a start without a key that something is sealed under is refused, with a count and no secret', async () => {
  await store('p', first)
  await store('q', second)
  await store('r', second)
  const refusal = await start(first).catch((error: Error) => error)
  expect(refusal).toMatchObject({ reason: 'key_encryption_key_missing', exitCode: 78 })
  const message = String(refusal)
  expect(message).toContain(
    '2 stored credentials are sealed under a key-encryption key that this process does not have',
  )
  expect(message).toContain(`2 under ${deriveKeyEncryptionKey(second).id}`)
  for (const secret of [first, second, Buffer.from('sk-of')]) {
    for (const form of ['base64', 'hex', 'latin1'] as const) expect(message).not.toContain(secret.toString(form))
  }
  await start(first, second)
  await expect(start(third)).rejects.toMatchObject({ reason: 'secret_mismatch' })
  await expect(start(third, second)).rejects.toMatchObject({ reason: 'secret_mismatch' })
})
