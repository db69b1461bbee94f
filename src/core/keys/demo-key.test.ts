import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensureDemoKey } from './demo-key.ts'
import { createKeyDigester } from './key-digest.ts'
import type { Key, KeyDraft, Keys } from './keys.ts'

const digester = createKeyDigester([Buffer.alloc(32, 1)])
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'demo-key-'))
})
afterEach(() => rm(folder, { recursive: true }))

function openGateway() {
  const keysByDigest = new Map<string, Key>()
  const drafts: KeyDraft[] = []
  const unused = () => Promise.reject(new Error('not part of this test'))
  let crashing = false
  const keys: Keys = {
    async create(draft) {
      if (crashing) throw new Error('killed')
      drafts.push(draft)
      const secret = draft.secret ?? ''
      const key: Key = {
        id: `k${drafts.length}`,
        name: draft.name,
        organization: { id: 'o1', slug: 'default' },
        team: undefined,
        displayPrefix: '',
        last4: '',
        enabled: true,
        allowedModels: draft.allowedModels,
        unpricedPolicy: undefined,
        expiresAtMs: undefined,
        revokedAtMs: undefined,
        createdAtMs: 0,
        managedBy: 'system',
        description: undefined,
        tags: {},
        metadata: {},
        previousUntilMs: undefined,
        endsCalls: false,
      }
      keysByDigest.set(digester.digest(secret), key)
      return { ok: true, key, secret }
    },
    update: unused,
    rotate: unused,
    get: unused,
    getMany: unused,
    findByName: unused,
    list: unused,
    revoke: unused,
    setEnabled: unused,
  }
  return {
    drafts,
    keysByDigest,
    crash(value: boolean) {
      crashing = value
    },
    start: () =>
      ensureDemoKey({
        keys,
        digester,
        secretFile: join(folder, 'demo-key'),
        store: {
          isEmpty: async () => keysByDigest.size === 0,
          findByDigests: async (digests) => keysByDigest.get(digests[0]?.bytes.toString('latin1') ?? ''),
        },
      }),
  }
}

test('the first start makes a key for the demo models alone, and later starts know its secret', async () => {
  const { start, drafts } = openGateway()
  const secret = await start()
  expect(secret).toMatch(/^llmgw_/)
  expect(drafts).toMatchObject([{ name: 'demo', allowedModels: ['demo/*'], secret }])
  expect(await start()).toBe(secret)
  expect(drafts).toHaveLength(1)
})

test('the secret can be read by its owner alone, also after somebody loosened it', async () => {
  const { start } = openGateway()
  const file = join(folder, 'demo-key')
  await start()
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  await chmod(file, 0o644)
  await start()
  expect((await stat(file)).mode & 0o777).toBe(0o600)
})

test('a demo key that was revoked or disabled stays so', async () => {
  const { start, drafts, keysByDigest } = openGateway()
  await start()
  const [[digest, key]] = [...keysByDigest] as [[string, Key]]
  keysByDigest.set(digest, { ...key, revokedAtMs: 1 })
  expect(await start()).toBeUndefined()
  keysByDigest.set(digest, { ...key, enabled: false })
  expect(await start()).toBeUndefined()
  expect(drafts).toHaveLength(1)
})

test('a gateway that has keys gets no demo key', async () => {
  const { start, drafts, keysByDigest } = openGateway()
  keysByDigest.set('of another key', {} as Key)
  expect(await start()).toBeUndefined()
  await writeFile(join(folder, 'demo-key'), 'not a secret\n')
  expect(await start()).toBeUndefined()
  expect(drafts).toEqual([])
})

test('a start that died between file and database is completed by the next one', async () => {
  const gateway = openGateway()
  gateway.crash(true)
  await expect(gateway.start()).rejects.toThrow('killed')
  const kept = (await readFile(join(folder, 'demo-key'), 'utf8')).trim()
  gateway.crash(false)
  expect(await gateway.start()).toBe(kept)
  expect(gateway.drafts).toHaveLength(1)
})
