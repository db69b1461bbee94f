import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createKeyDigester } from './key-digest.ts'
import type { KeyStore, NewKey } from './keys.store.ts'
import { type Actor, createKeys, type Key, type KeyDraft, keyState } from './keys.ts'

const nowMs = Date.UTC(2026, 10, 23)
const operator: Actor = { kind: 'operator', id: 'ops' }

const someKey: Key = {
  id: 'k1',
  name: 'checkout',
  organization: { id: 'o1', slug: 'default' },
  team: undefined,
  displayPrefix: 'llmgw_ABCD',
  last4: 'wxyz',
  enabled: true,
  allowedModels: undefined,
  unpricedPolicy: undefined,
  expiresAtMs: undefined,
  revokedAtMs: undefined,
  createdAtMs: nowMs,
  managedBy: 'operator',
  description: undefined,
  tags: {},
  metadata: {},
  previousUntilMs: undefined,
  endsCalls: false,
}

function openBench(overrides: Partial<KeyStore> = {}) {
  const inserted: NewKey[] = []
  const announced: string[] = []
  const unused = () => Promise.reject(new Error('not part of this test'))
  const store: KeyStore = {
    async insert(key) {
      inserted.push(key)
      return { ok: true, key: { ...someKey, id: key.id, name: key.draft.name } }
    },
    change: unused,
    update: unused,
    rotate: unused,
    get: unused,
    getMany: unused,
    findByDigests: unused,
    findByName: unused,
    list: unused,
    isEmpty: unused,
    ...overrides,
  }
  let made = 0
  const keys = createKeys({
    store,
    digester: createKeyDigester([Buffer.alloc(32, 1)]),
    clock: { nowMs: () => nowMs, monotonicMs: () => 0 },
    newId: () => `id-${++made}`,
    changed: (keyId) => announced.push(keyId),
  })
  return { keys, inserted, announced }
}

describe('create', () => {
  test('hands out the secret, and gives the store its digest alone', async () => {
    const { keys, inserted, announced } = openBench()
    const created = await keys.create({ name: 'checkout' }, operator)
    if (!created.ok) throw new Error('refused')
    expect(created.secret).toMatch(/^llmgw_/)
    expect(JSON.stringify(inserted)).not.toContain(created.secret)
    expect(inserted[0]?.digests[0]?.bytes).toEqual(
      Buffer.from(createKeyDigester([Buffer.alloc(32, 1)]).digest(created.secret), 'latin1'),
    )
    expect(announced).toEqual([created.key.id])
  })

  test.each([
    ['admin_user', 'admin'],
    ['admin_token', 'admin'],
    ['operator', 'operator'],
    ['file', 'file'],
    ['system', 'system'],
  ] as const)('a key made by %s is managed by %s', async (kind, managedBy) => {
    const { keys, inserted } = openBench()
    await keys.create({ name: 'checkout' }, { kind, id: undefined })
    expect(inserted[0]?.managedBy).toBe(managedBy)
  })

  const atTheLimits: KeyDraft = {
    name: 'n'.repeat(100),
    secret: 's'.repeat(200),
    expiresAtMs: nowMs + 1,
    allowedModels: Array.from({ length: 200 }, (_, index) => `m${index}/*`),
    tags: Object.fromEntries(
      Array.from({ length: 64 }, (_, index) => [String(index).padEnd(200, 'k'), 'v'.repeat(200)]),
    ),
    description: 'd'.repeat(2_000),
  }

  test('accepts what is just within its limits', async () => {
    expect(await openBench().keys.create(atTheLimits, operator)).toMatchObject({ ok: true })
  })

  test.each<[string, Partial<KeyDraft>, readonly string[]]>([
    ['an empty name', { name: '' }, ['name']],
    ['a name of 101 characters', { name: 'n'.repeat(101) }, ['name']],
    ['a name with space around it', { name: ' checkout' }, ['name']],
    ['a name with a line break', { name: 'check\nout' }, ['name']],
    ['a short secret', { secret: 'short' }, ['secret']],
    ['a mistyped secret', { secret: `llmgw_${'0'.repeat(48)}1` }, ['secret']],
    ['an expiry that is now', { expiresAtMs: nowMs }, ['expiresAt']],
    ['an expiry that is no time', { expiresAtMs: Number.NaN }, ['expiresAt']],
    ['an expiry no calendar has', { expiresAtMs: 9e15 }, ['expiresAt']],
    ['a pattern with a regular expression', { allowedModels: ['smart', 'gpt-[4]'] }, ['allowedModels', '1']],
    ['too many patterns', { allowedModels: Array.from({ length: 201 }, () => 'smart') }, ['allowedModels']],
    ['a tag without a name', { tags: { '': 'v' } }, ['tags', '']],
    ['a tag too long', { tags: { team: 'v'.repeat(201) } }, ['tags', 'team']],
    ['a tag with a NUL', { tags: { team: 'a\0b' } }, ['tags', 'team']],
    ['too many tags', { tags: Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`t${n}`, 'v'])) }, ['tags']],
    ['a long description', { description: 'd'.repeat(2_001) }, ['description']],
  ])('refuses %s and stores nothing', async (_name, part, path) => {
    const { keys, inserted, announced } = openBench()
    const refused = await keys.create({ name: 'checkout', ...part }, operator)
    expect(refused).toEqual({ ok: false, refusals: [{ code: 'invalid', message: expect.any(String), path }] })
    expect(inserted).toEqual([])
    expect(announced).toEqual([])
  })

  test('names everything that is wrong at once', async () => {
    const refused = await openBench().keys.create({ name: '', secret: 'short', allowedModels: [''] }, operator)
    expect(refused).toMatchObject({
      ok: false,
      refusals: [{ path: ['name'] }, { path: ['secret'] }, { path: ['allowedModels', '0'] }],
    })
  })

  test('no refusal repeats the secret', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 12, maxLength: 250 }), async (secret) => {
        fc.pre(secret.trim().length > 4)
        const result = await openBench().keys.create({ name: '', secret }, operator)
        expect(result.ok ? '' : result.refusals.map(({ message }) => message).join()).not.toContain(secret)
      }),
    )
  })
})

describe('changes', () => {
  test('are announced when something changed, and only then', async () => {
    const changed = openBench({ change: async () => ({ ok: true, key: someKey, changed: true }) })
    await changed.keys.revoke('k1', operator)
    await changed.keys.setEnabled('k1', false, operator)
    expect(changed.announced).toEqual(['k1', 'k1'])
    const unchanged = openBench({ change: async () => ({ ok: true, key: someKey, changed: false }) })
    await unchanged.keys.revoke('k1', operator)
    expect(unchanged.announced).toEqual([])
  })

  test('that the store refuses are refused', async () => {
    const refusal = { code: 'not_found', message: 'There is no such key.', path: ['id'] } as const
    const { keys, announced } = openBench({ change: async () => ({ ok: false, refusal }) })
    expect(await keys.revoke('k1', operator)).toEqual({ ok: false, refusals: [refusal] })
    expect(announced).toEqual([])
  })
})

test('a page has from 1 to 100 keys', async () => {
  const limits: number[] = []
  const { keys } = openBench({
    async list({ limit }) {
      limits.push(limit)
      return { keys: [], cursors: [], next: undefined }
    },
  })
  for (const limit of [0, 20, 1_000]) await keys.list({ limit })
  expect(limits).toEqual([1, 20, 100])
})

describe('keyState', () => {
  test.each([
    [{}, 'active'],
    [{ enabled: false }, 'disabled'],
    [{ expiresAtMs: nowMs }, 'expired'],
    [{ expiresAtMs: nowMs + 1 }, 'active'],
    [{ revokedAtMs: nowMs, enabled: false, expiresAtMs: nowMs }, 'revoked'],
  ] as const)('%j is %s', (part, state) => {
    expect(keyState({ ...someKey, ...part }, nowMs)).toBe(state)
  })
})
