import { describe, expect, test } from 'vitest'
import type { Key, KeyDraft, Keys } from '../core/keys/keys.ts'
import { createKey, listKeys, revokeKey, rotateKey } from './keys.ts'

const nowMs = Date.UTC(2026, 10, 23, 12)

const keyWith = (overrides: Partial<Key>): Key => ({
  id: '0192e4a0-0000-7000-8000-000000000001',
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
  ...overrides,
})

function openBench(stored: Key[] = []) {
  const lines: string[] = []
  const drafts: KeyDraft[] = []
  const revoked: string[] = []
  const keys: Keys = {
    async create(draft) {
      drafts.push(draft)
      if (draft.name === '') return { ok: false, refusals: [{ code: 'invalid', message: 'No name.', path: ['name'] }] }
      return { ok: true, key: keyWith({ name: draft.name }), secret: 'llmgw_the-secret' }
    },
    get: async (id) => stored.find((key) => key.id === id),
    getMany: async (ids) => stored.filter((key) => ids.includes(key.id)),
    findByName: async (name) => stored.filter((key) => key.name === name),
    // One key to a page, so that paging is part of every listing.
    async list({ after }) {
      const at = after ? stored.findIndex((key) => key.id === after.id) + 1 : 0
      const page = stored.slice(at, at + 1)
      const last = at + 1 < stored.length ? page[0] : undefined
      const cursorOf = ({ createdAtMs, id }: Key) => ({ createdAt: String(createdAtMs), id })
      return { keys: page, cursors: page.map(cursorOf), next: last && cursorOf(last) }
    },
    async revoke(id) {
      const key = stored.find((each) => each.id === id)
      if (key?.managedBy === 'file') {
        return { ok: false, refusals: [{ code: 'managed_by_file', message: 'Change the file.', path: ['id'] }] }
      }
      revoked.push(id)
      return { ok: true, key: key as Key }
    },
    update: () => Promise.reject(new Error('not part of this test')),
    async rotate(id, overlapMs) {
      const key = stored.find((each) => each.id === id) as Key
      const previousUntilMs = overlapMs > 0 ? nowMs + overlapMs : undefined
      return { ok: true, key: { ...key, previousUntilMs }, secret: 'llmgw_another-secret' }
    },
    setEnabled: () => Promise.reject(new Error('not part of this test')),
  }
  const deps = {
    keys,
    clock: { nowMs: () => nowMs, monotonicMs: () => 0 },
    actor: { kind: 'operator', id: 'ops' },
    print: (line: string) => void lines.push(line),
  } as const
  return { deps, lines, drafts, revoked }
}

describe('keys create', () => {
  test('prints the secret once, and says that it is the only time', async () => {
    const { deps, lines, drafts } = openBench()
    await createKey(deps, { name: 'checkout', models: 'smart, openai/*', tag: ['team=payments', 'note=a=b'] })
    expect(drafts).toMatchObject([
      { name: 'checkout', allowedModels: ['smart', 'openai/*'], tags: { team: 'payments', note: 'a=b' } },
    ])
    expect(lines.join('\n').match(/llmgw_the-secret/g)).toHaveLength(1)
    expect(lines.at(-1)).toMatch(/only time the secret is shown/)
  })

  test('allows every model, for ever, in the default organization unless told otherwise', async () => {
    const { deps, drafts } = openBench()
    await createKey(deps, { name: 'checkout' })
    expect(drafts).toEqual([{ name: 'checkout', tags: {} }])
    await createKey(deps, { name: 'checkout', organization: 'acme', team: 'payments' })
    expect(drafts[1]).toMatchObject({ organization: { slug: 'acme' }, team: { slug: 'payments' } })
  })

  test.each([
    ['90m', nowMs + 90 * 60_000],
    ['12h', nowMs + 12 * 3_600_000],
    ['30d', nowMs + 30 * 86_400_000],
    ['2027-01-31', Date.UTC(2027, 0, 31)],
    ['2027-01-31T10:00:00+02:00', Date.UTC(2027, 0, 31, 8)],
  ])('--expires %s', async (expires, expiresAtMs) => {
    const { deps, drafts } = openBench()
    await createKey(deps, { name: 'checkout', expires })
    expect(drafts[0]?.expiresAtMs).toBe(expiresAtMs)
  })

  test.each<[string, Parameters<typeof createKey>[1], string]>([
    ['a span without a unit', { name: 'n', expires: '30' }, '"30" is no expiry'],
    ['a month by name', { name: 'n', expires: 'may' }, '"may" is no expiry'],
    ['a day that is not there', { name: 'n', expires: '2027-13-01' }, '"2027-13-01" is no expiry'],
    ['a tag without a value', { name: 'n', tag: ['prod'] }, '"prod" is no tag'],
    ['no model at all', { name: 'n', models: ' , ' }, '--models names no model'],
    ['what the rules refuse', { name: '' }, 'No name.'],
  ])('refuses %s and prints nothing', async (_name, options, message) => {
    const { deps, lines } = openBench()
    await expect(createKey(deps, options)).rejects.toMatchObject({
      name: 'KeyCommandError',
      message: expect.stringContaining(message),
    })
    expect(lines).toEqual([])
  })

  test('--json is one object on one line', async () => {
    const { deps, lines } = openBench()
    await createKey(deps, { name: 'checkout', json: true })
    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      name: 'checkout',
      secret: 'llmgw_the-secret',
      state: 'active',
    })
  })
})

describe('keys list', () => {
  const stored = [
    keyWith({ id: 'k1', name: 'checkout', allowedModels: ['smart', 'openai/*'], tags: { team: 'payments' } }),
    keyWith({ id: 'k2', name: 'a', expiresAtMs: nowMs, allowedModels: [] }),
    keyWith({ id: 'k3', name: 'old', revokedAtMs: nowMs, team: { id: 't1', slug: 'search' } }),
  ]

  test('is a table of every page, in columns', async () => {
    const { deps, lines } = openBench(stored)
    await listKeys(deps)
    expect(lines).toEqual([
      'ID  NAME      KEY              STATE    ORGANIZATION    MODELS          EXPIRES            CREATED            TAGS',
      'k1  checkout  llmgw_ABCD…wxyz  active   default         smart,openai/*  never              2026-11-23 12:00Z  team=payments',
      'k2  a         llmgw_ABCD…wxyz  expired  default         none            2026-11-23 12:00Z  2026-11-23 12:00Z',
      'k3  old       llmgw_ABCD…wxyz  revoked  default/search  all             never              2026-11-23 12:00Z',
    ])
  })

  test('--json is an array', async () => {
    const { deps, lines } = openBench(stored)
    await listKeys(deps, { json: true })
    expect(JSON.parse(lines.join(''))).toMatchObject([{ id: 'k1' }, { id: 'k2', state: 'expired' }, { id: 'k3' }])
  })

  test('says how to make the first one', async () => {
    const { deps, lines } = openBench()
    await listKeys(deps)
    expect(lines).toEqual([expect.stringContaining('llmgw keys create')])
  })
})

describe('keys revoke', () => {
  const id = '0192e4a0-0000-7000-8000-000000000001'
  const otherId = '0192e4a0-0000-7000-8000-000000000002'

  test.each([id, 'checkout'])('by %s', async (idOrName) => {
    const { deps, lines, revoked } = openBench([keyWith({ id })])
    await revokeKey(deps, idOrName)
    expect(revoked).toEqual([id])
    expect(lines).toEqual([expect.stringContaining('Revoked the key "checkout"')])
  })

  test('by a name that a revoked key had, too: the live one is meant', async () => {
    const { deps, revoked } = openBench([keyWith({ id: otherId, revokedAtMs: nowMs }), keyWith({ id })])
    await revokeKey(deps, 'checkout')
    expect(revoked).toEqual([id])
  })

  test('by a name that two live keys have: neither, and both are shown', async () => {
    const { deps, revoked } = openBench([keyWith({ id }), keyWith({ id: otherId })])
    await expect(revokeKey(deps, 'checkout')).rejects.toThrow(new RegExp(`${id}[^]*${otherId}`))
    expect(revoked).toEqual([])
  })

  test('of nothing, or of what may not be revoked here, says so', async () => {
    const { deps } = openBench([keyWith({ id, managedBy: 'file' })])
    await expect(revokeKey(deps, 'chekout')).rejects.toThrow('There is no key "chekout"')
    await expect(revokeKey(deps, 'checkout')).rejects.toThrow('Change the file.')
  })
})

describe('keys rotate', () => {
  test.each([
    [{}, 'goes on until 2026-11-24'],
    [{ overlap: '7d' }, 'goes on until 2026-11-30'],
    [{ overlap: '0' }, 'has ended'],
  ])('with %j prints the secret and what becomes of the one before', async (options, words) => {
    const { deps, lines } = openBench([keyWith({})])
    await rotateKey(deps, 'checkout', options)
    expect(lines[0]).toBe('llmgw_another-secret')
    expect(lines[1]).toContain(words)
  })

  test('refuses an overlap that is none', async () => {
    const { deps } = openBench([keyWith({})])
    await expect(rotateKey(deps, 'checkout', { overlap: 'soon' })).rejects.toThrow('"soon" is no')
  })
})
