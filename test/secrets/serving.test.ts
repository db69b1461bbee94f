import { afterEach, beforeEach, expect, test } from 'vitest'
import { Secret } from '../../src/core/secret.ts'
import { createKeyring, deriveKeyEncryptionKey } from '../../src/core/secrets/keyring.ts'
import { openTestGateway, type TestGateway, testMasterKey, upstreamCredential } from '../support/gateway.ts'
import { insertProvider, openStore, operator } from './sealing.ts'

const otherMaster = Buffer.alloc(32, 'another master key')
const first = 'sk-stored-credential-0123456789'
const second = 'sk-stored-credential-9876543210'

let gateway: TestGateway
beforeEach(async () => {
  gateway = await openTestGateway()
  await insertProvider(gateway.pool, 'stored', { baseUrl: gateway.upstream.baseUrl })
  await put(first)
  expect(await gateway.reload({})).toEqual([])
})
afterEach(() => gateway.close())

async function put(secret: string, master = testMasterKey): Promise<void> {
  const store = openStore(gateway.pool, createKeyring(master))
  const outcome = await store.put({ provider: 'stored', field: 'apiKey', secret: new Secret(secret), actor: operator })
  expect(outcome).toMatchObject({ ok: true })
}

async function credentialSent(model: string): Promise<unknown> {
  const response = await gateway.chat({ model })
  await response.arrayBuffer()
  expect(response.status).toBe(200)
  return gateway.upstream.requests.at(-1)?.headers.authorization
}

const moveTo = (name: string, baseUrl: string) =>
  gateway.pool.query('update providers set base_url = $2 where name = $1', [name, baseUrl])

test('a provider is called with its stored credential, and with the next once that is there', async () => {
  expect(await credentialSent('stored/m')).toBe(`Bearer ${first}`)
  await put(second)
  expect(await gateway.reload({})).toEqual([])
  expect(await credentialSent('stored/m')).toBe(`Bearer ${second}`)
  expect(await credentialSent('openai/m')).toBe(`Bearer ${upstreamCredential}`)
  expect(JSON.stringify(gateway.logLines)).not.toMatch(/sk-stored/)
})

test('a provider that is moved behind our back gets no credential, stored or declared', async () => {
  for (const [name, words] of [
    ['stored', 'The credential apiKey was entered for'],
    ['openai', 'The credentials that this process was given are for'],
  ] as const) {
    await moveTo(name, gateway.spare.baseUrl)
    expect(await gateway.reload({})).toMatchObject([
      { path: `providers.${name}`, message: expect.stringContaining(words) },
    ])
    expect(await credentialSent(`${name}/m`)).toContain('Bearer sk-')
    await moveTo(name, gateway.upstream.baseUrl)
  }
  expect(gateway.spare.requests).toEqual([])
})

test('a start is refused when it lacks the key of a stored credential, and taken with it', async () => {
  await put(second, otherMaster)
  await gateway.app.close()
  const refusal = await openTestGateway({ beside: gateway }).catch((error: Error) => error)
  expect(refusal).toMatchObject({ reason: 'key_encryption_key_missing', exitCode: 78 })
  expect(String(refusal)).toContain(`1 under ${deriveKeyEncryptionKey(otherMaster).id}`)
  expect(String(refusal)).not.toContain(second)
  const environment = { LLMGW_PREVIOUS_MASTER_KEYS: otherMaster.toString('base64') }
  await using next = await openTestGateway({ beside: gateway, environment })
  await (await next.chat({ model: 'stored/m' })).arrayBuffer()
  expect(gateway.upstream.requests.at(-1)?.headers.authorization).toBe(`Bearer ${second}`)
})
