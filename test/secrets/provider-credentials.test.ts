import { afterAll, beforeAll, expect, test } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { createKeyring } from '../../src/core/secrets/keyring.ts'
import { openCredentials } from '../../src/core/secrets/open-credentials.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { insertProvider, newId, openStore, operator, storedProvider } from './sealing.ts'

const keyring = createKeyring(Buffer.alloc(32, 'a master key'))
const text = 'sk-stored-credential-0123456789'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

const pool = () => database.pools.admin
const put = (provider: string, field = 'apiKey', secret = text) =>
  openStore(pool(), keyring).put({ provider, field, secret: new Secret(secret), actor: operator })
const remove = (provider: string, field = 'apiKey') =>
  openStore(pool(), keyring).remove({ provider, field, actor: operator })
const opened = async (provider: string) => openCredentials(keyring, await storedProvider(pool(), provider))
const versions = async () =>
  (await pool().query<{ count: number }>('select count(*)::integer as count from config_versions')).rows[0]?.count ?? 0

test('a credential is put, replaced and removed, each with its audit event and a version for the replicas', async () => {
  await insertProvider(pool(), 'kept')
  const before = await versions()
  expect(await put('kept')).toEqual({ ok: true, existed: false, origin: 'https://api.example' })
  expect(await put('kept', 'header:x-team', 'blue')).toMatchObject({ ok: true, existed: false })
  expect(await opened('kept')).toEqual({ apiKey: text, 'header:x-team': 'blue' })
  expect(await put('kept', 'apiKey', `${text}-second`)).toMatchObject({ ok: true, existed: true })
  expect(await opened('kept')).toEqual({ apiKey: `${text}-second`, 'header:x-team': 'blue' })
  expect(await remove('kept')).toMatchObject({ ok: true })
  expect(await remove('kept')).toEqual({ ok: false, message: 'The provider kept has no stored credential apiKey.' })
  expect(await opened('kept')).toEqual({ 'header:x-team': 'blue' })

  expect(await versions()).toBe(before + 4)
  const { rows } = await pool().query(
    `select action, before, after from audit_events where subject_kind = 'provider' order by id`,
  )
  expect(rows.map(({ action }) => action)).toEqual([
    'provider.credential.create',
    'provider.credential.create',
    'provider.credential.replace',
    'provider.credential.delete',
  ])
  expect(rows[0].after).toEqual({ provider: 'kept', field: 'apiKey', origin: 'https://api.example', last4: '6789' })
  // Of a short secret the last four characters would be too much.
  expect(rows[1].after).toMatchObject({ field: 'header:x-team', last4: null })
})

test('nothing in the database has the secret in it', async () => {
  await insertProvider(pool(), 'dumped')
  await put('dumped')
  const { rows: tables } = await pool().query<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`,
  )
  let dumped = ''
  for (const { name } of tables) {
    const { rows } = await pool().query(`select * from "${name}"`)
    dumped += JSON.stringify(rows, (_key, value) =>
      value?.type === 'Buffer' ? Buffer.from(value.data).toString('latin1') : value,
    )
  }
  expect(dumped).toContain('dumped')
  expect(dumped).not.toContain(text)
})

test('a credential is not used at another origin than it was entered for', async () => {
  await insertProvider(pool(), 'moved')
  await put('moved')
  await pool().query(`update providers set base_url = 'https://api.example/v2' where name = 'moved'`)
  expect(await opened('moved')).toEqual({ apiKey: text })
  for (const baseUrl of ['http://api.example/v1', 'https://api.example:8443/v1', 'https://evil.example/v1']) {
    await pool().query(`update providers set base_url = $1 where name = 'moved'`, [baseUrl])
    await expect(opened('moved')).rejects.toThrow(
      `The credential apiKey was entered for https://api.example, and the provider is at ${new URL(baseUrl).origin} now. ` +
        'Enter it again: llmgw providers set-credential moved apiKey',
    )
  }
  // Whoever can write to the database can change what it says of the origin, too.
  await pool().query(
    `update provider_credentials c set origin = 'https://evil.example' from providers p
     where p.id = c.provider_id and p.name = 'moved'`,
  )
  await expect(opened('moved')).rejects.toThrow('The credential apiKey cannot be opened. It does not open')
  await put('moved')
  expect(await opened('moved')).toEqual({ apiKey: text })
})

test('a row is of no use to another provider, or as another field', async () => {
  await insertProvider(pool(), 'victim')
  await insertProvider(pool(), 'thief')
  await put('victim')
  const steal = (field: string) =>
    pool().query(
      `insert into provider_credentials
         (id, provider_id, field, origin, ciphertext, nonce, wrapped_data_key, key_encryption_key_id)
       select $1, t.id, $2, c.origin, c.ciphertext, c.nonce, c.wrapped_data_key, c.key_encryption_key_id
       from provider_credentials c join providers v on v.id = c.provider_id and v.name = 'victim', providers t
       where t.name = 'thief'`,
      [newId(), field],
    )
  await steal('apiKey')
  await expect(opened('thief')).rejects.toThrow('sealed for another row')
  await pool().query(`update provider_credentials set field = 'header:x-stolen' where field = 'apiKey' and provider_id =
    (select p.id from providers p where p.name = 'victim')`)
  await expect(opened('victim')).rejects.toThrow('sealed for another row')
})

test('credentials that are declared elsewhere are changed there', async () => {
  await insertProvider(pool(), 'filed', { managedBy: 'file' })
  await insertProvider(pool(), 'surrounding', { managedBy: 'environment' })
  await insertProvider(pool(), 'built', { managedBy: 'builtin' })
  for (const [name, words] of [
    ['filed', 'is declared in the config file'],
    ['surrounding', 'comes of the environment'],
    ['built', 'is built in'],
    ['nobody', 'There is no provider nobody'],
  ] as const) {
    for (const outcome of [await put(name), await remove(name)]) {
      expect(outcome).toMatchObject({ ok: false, message: expect.stringContaining(words) })
    }
  }
})
