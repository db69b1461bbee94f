import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createUuidV7Source } from '../../src/core/ids.ts'
import { createKeyDigester, type KeyDigester } from '../../src/core/keys/key-digest.ts'
import { createKeyStore } from '../../src/core/keys/keys.store.ts'
import { type Actor, createKeys, type Key, type KeyDraft, type Keys } from '../../src/core/keys/keys.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const previousPepper = Buffer.alloc(32, 1)
const currentPepper = Buffer.alloc(32, 2)
const admin: Actor = { kind: 'admin_user', id: 'u1', requestId: randomUUID() }
const operator: Actor = { kind: 'operator', id: 'ops' }

let database: TestDatabase
let keys: Keys
let announced: string[]

beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())
beforeEach(async () => {
  await database.pools.admin.query('truncate api_keys, audit_events, organizations cascade')
  announced = []
  keys = openKeys(createKeyDigester([currentPepper, previousPepper]))
})

function openKeys(digester: KeyDigester): Keys {
  return createKeys({
    store: createKeyStore(database.pools.admin),
    digester,
    clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
    newId: createUuidV7Source(),
    changed: (keyId) => announced.push(keyId),
  })
}

async function create(draft: Partial<KeyDraft> = {}, actor: Actor = operator): Promise<{ key: Key; secret: string }> {
  const created = await keys.create({ name: 'checkout', ...draft }, actor)
  if (!created.ok) throw new Error(JSON.stringify(created.refusals))
  return created
}

async function rows(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  return (await database.pools.admin.query(sql, values)).rows
}

async function addOrganization(slug: string, teams: string[] = []): Promise<{ id: string }> {
  const id = randomUUID()
  await rows('insert into organizations (id, slug, name) values ($1, $2, $2)', [id, slug])
  for (const team of teams) {
    await rows('insert into teams (id, organization_id, slug, name) values ($1, $2, $3, $3)', [randomUUID(), id, team])
  }
  return { id }
}

describe('a new key', () => {
  test('is stored whole, and without its secret', async () => {
    const expiresAtMs = Date.UTC(2030, 0, 1, 0, 0, 0, 123)
    const { key, secret } = await create({
      allowedModels: ['smart', 'openai/*'],
      unpricedPolicy: 'block',
      expiresAtMs,
      description: 'For the shop.',
      tags: { team: 'payments', '"odd"': '\\ü' },
    })
    expect(await keys.get(key.id)).toEqual(key)
    expect(key).toEqual({
      id: expect.any(String),
      name: 'checkout',
      organization: { id: expect.any(String), slug: 'default' },
      team: undefined,
      displayPrefix: secret.slice(0, 10),
      last4: secret.slice(-4),
      enabled: true,
      allowedModels: ['smart', 'openai/*'],
      unpricedPolicy: 'block',
      expiresAtMs,
      revokedAtMs: undefined,
      metadata: {},
      previousUntilMs: undefined,
      endsCalls: false,
      createdAtMs: expect.any(Number),
      managedBy: 'operator',
      description: 'For the shop.',
      tags: { team: 'payments', '"odd"': '\\ü' },
    })
    const [dump] = await rows(`
      select jsonb_agg(k)::text || (select jsonb_agg(a)::text from audit_events a) as text from api_keys k`)
    expect(dump?.text).not.toContain(secret)
    expect(dump?.text).not.toContain(secret.slice(10, -4))
  })

  test('that allows nothing is not one that allows everything', async () => {
    expect((await create({ allowedModels: [] })).key.allowedModels).toEqual([])
    expect((await create()).key.allowedModels).toBeUndefined()
  })

  test('belongs to the organization and team it names', async () => {
    const { id } = await addOrganization('acme', ['payments'])
    const bySlug = await create({ organization: { slug: 'acme' }, team: { slug: 'payments' } })
    const byId = await create({ organization: { id } })
    expect(bySlug.key).toMatchObject({ organization: { id, slug: 'acme' }, team: { slug: 'payments' } })
    expect(byId.key).toMatchObject({ organization: { id }, team: undefined })
  })

  test('cannot join the team of another organization', async () => {
    await addOrganization('acme')
    await addOrganization('rival', ['payments'])
    const refused = await keys.create({ name: 'n', organization: { slug: 'acme' }, team: { slug: 'payments' } }, admin)
    expect(refused).toMatchObject({ ok: false, refusals: [{ code: 'not_found', path: ['team'] }] })
    const lost = await keys.create({ name: 'n', organization: { id: randomUUID() } }, admin)
    expect(lost).toMatchObject({ ok: false, refusals: [{ code: 'not_found', path: ['organization'] }] })
    expect(await rows('select from api_keys')).toEqual([])
    expect(await rows('select from audit_events')).toEqual([])
  })

  test('needs a secret that was never a key, under the previous pepper either', async () => {
    const secret = 'sk-brought-along-0123456789'
    const before = openKeys(createKeyDigester([previousPepper]))
    const created = await before.create({ name: 'old', secret }, operator)
    expect(created).toMatchObject({ ok: true, secret })
    expect(await keys.create({ name: 'new', secret }, operator)).toMatchObject({
      ok: false,
      refusals: [{ code: 'conflict', path: ['secret'] }],
    })
  })

  test('of two made at once with one secret, one is', async () => {
    await addOrganization('default')
    const secret = 'sk-brought-along-0123456789'
    const results = await Promise.all(
      Array.from({ length: 4 }, (_, index) => keys.create({ name: `n${index}`, secret }, operator)),
    )
    expect(results.filter(({ ok }) => ok)).toHaveLength(1)
    for (const result of results) if (!result.ok) expect(result.refusals[0]?.code).toBe('conflict')
    expect(await rows('select from api_keys')).toHaveLength(1)
    expect(await rows('select from audit_events')).toHaveLength(1)
  })

  test('of many made at once in an empty database, all share the default organization', async () => {
    await Promise.all(Array.from({ length: 4 }, (_, index) => create({ name: `n${index}` })))
    expect(await rows('select slug from organizations')).toEqual([{ slug: 'default' }])
  })
})

describe('the end of a key', () => {
  test('revoking is for good, happens once, and is audited with what was and is', async () => {
    const { key } = await create()
    const revoked = await keys.revoke(key.id, admin)
    expect(revoked).toMatchObject({ ok: true, key: { revokedAtMs: expect.any(Number) } })
    expect(await keys.revoke(key.id, admin)).toEqual(revoked)
    expect(await keys.setEnabled(key.id, false, admin)).toMatchObject({ ok: false, refusals: [{ code: 'conflict' }] })
    expect(announced).toEqual([key.id, key.id])
    const audit = await rows(
      'select actor_kind, actor_id, action, subject_id, request_id, organization_id, before, after from audit_events order by id',
    )
    expect(audit).toMatchObject([
      { actor_kind: 'operator', actor_id: 'ops', action: 'key.create', subject_id: key.id, before: null },
      {
        actor_kind: 'admin_user',
        action: 'key.revoke',
        subject_id: key.id,
        request_id: admin.requestId,
        organization_id: key.organization.id,
        before: { name: 'checkout' },
        after: { revokedAtMs: expect.any(Number) },
      },
    ])
    expect(audit[1]?.before).not.toHaveProperty('revokedAtMs')
  })

  test('a disabled key can be enabled again', async () => {
    const { key } = await create()
    expect(await keys.setEnabled(key.id, false, admin)).toMatchObject({ ok: true, key: { enabled: false } })
    expect(await keys.setEnabled(key.id, false, admin)).toMatchObject({ ok: true, key: { enabled: false } })
    expect(await keys.setEnabled(key.id, true, admin)).toMatchObject({ ok: true, key: { enabled: true } })
    const actions = await rows('select action from audit_events order by id')
    expect(actions.map(({ action }) => action)).toEqual(['key.create', 'key.disable', 'key.enable'])
  })

  test('of a key from the file is the business of the file', async () => {
    const { key } = await create({}, { kind: 'file', id: undefined })
    expect(await keys.revoke(key.id, admin)).toMatchObject({ ok: false, refusals: [{ code: 'managed_by_file' }] })
    expect(await keys.revoke(key.id, { kind: 'file', id: undefined })).toMatchObject({ ok: true })
  })

  test('of a key that is not there is refused', async () => {
    expect(await keys.revoke(randomUUID(), admin)).toMatchObject({ ok: false, refusals: [{ code: 'not_found' }] })
  })

  test('does not happen when it cannot be audited', async () => {
    const { key } = await create()
    const noUuid: Actor = { ...admin, requestId: 'not a uuid' }
    await expect(keys.revoke(key.id, noUuid)).rejects.toThrow()
    expect(await keys.get(key.id)).toEqual(key)
    expect(announced).toEqual([key.id])
  })
})

describe('the list', () => {
  test('pages by key: every key once, the newest first, also when they were made in the same instant', async () => {
    for (let index = 0; index < 7; index++) await create({ name: `n${index}` })
    await rows("update api_keys set created_at = '2026-11-23T00:00:00.123456Z' where name in ('n2', 'n3', 'n4')")
    const seen: string[] = []
    let after: Parameters<Keys['list']>[0]['after']
    let pages = 0
    do {
      const page = await keys.list({ limit: 2, after })
      seen.push(...page.keys.map(({ name }) => name))
      after = page.next
      pages++
    } while (after)
    expect(seen).toEqual(['n6', 'n5', 'n1', 'n0', 'n4', 'n3', 'n2'])
    expect(pages).toBe(4)
  })

  test('can be narrowed down, and text to search for is literal', async () => {
    const { id } = await addOrganization('acme', ['payments'])
    await create({ name: '100% sure', organization: { id }, team: { slug: 'payments' }, tags: { env: 'prod' } })
    await create({ name: '100 times', tags: { env: 'test' } })
    const names = async (query: object) => (await keys.list({ limit: 10, ...query })).keys.map(({ name }) => name)
    expect(await names({ organizationId: id })).toEqual(['100% sure'])
    expect(await names({ search: '100' })).toEqual(['100 times', '100% sure'])
    expect(await names({ search: '0% S' })).toEqual(['100% sure'])
    expect(await names({ search: '1_0' })).toEqual([])
    expect(await names({ search: '\\' })).toEqual([])
    expect(await names({ tag: { key: 'env', value: 'prod' } })).toEqual(['100% sure'])
    const [team] = await rows('select id from teams')
    expect(await names({ teamId: team?.id })).toEqual(['100% sure'])
  })

  test('finds keys by exact name', async () => {
    const { key } = await create({ name: 'twin' })
    await keys.revoke(key.id, operator)
    const { key: live } = await create({ name: 'twin' })
    expect((await keys.findByName('twin')).map(({ id }) => id)).toEqual([live.id, key.id])
    expect(await keys.findByName('twi')).toEqual([])
  })
})
