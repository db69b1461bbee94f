import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { checkSecretCanaries, secretFingerprint } from '../../src/core/data-folder/secret-canaries.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())

test('the first start leaves fingerprints, later ones must match them', async () => {
  const secrets = { 'master-key': randomBytes(32), 'key-pepper': randomBytes(32) }
  await Promise.all([
    checkSecretCanaries(database.pools.admin, secrets),
    checkSecretCanaries(database.pools.admin, secrets),
  ])
  await checkSecretCanaries(database.pools.admin, secrets)
  const { rows } = await database.pools.admin.query('select name, fingerprint from secret_canaries order by name')
  expect(rows).toEqual([
    { name: 'key-pepper', fingerprint: secretFingerprint('key-pepper', secrets['key-pepper']) },
    { name: 'master-key', fingerprint: secretFingerprint('master-key', secrets['master-key']) },
  ])

  const other = { ...secrets, 'master-key': randomBytes(32) }
  const refusal = await checkSecretCanaries(database.pools.admin, other).catch((error) => error)
  expect(refusal).toMatchObject({ reason: 'secret_mismatch', exitCode: 78 })
  expect(refusal.message).toMatch(/^This database was used with another master-key\. .*LLMGW_MASTER_KEY/)
  for (const form of ['hex', 'base64'] as const) {
    expect(refusal.message).not.toContain(other['master-key'].toString(form))
    expect(refusal.message).not.toContain(secrets['master-key'].toString(form))
  }
})

test('a fingerprint is of the secret and its name', () => {
  const secret = randomBytes(32)
  const fingerprint = secretFingerprint('master-key', secret)
  expect(fingerprint).toMatch(/^[0-9a-f]{32}$/)
  expect(secretFingerprint('key-pepper', secret)).not.toBe(fingerprint)
  expect(secretFingerprint('master-key', randomBytes(32))).not.toBe(fingerprint)
})
