import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createUuidV7Source } from '../../src/core/ids.ts'
import { createAuthenticator, createKeyLoad, warm } from '../../src/core/keys/authenticate.ts'
import { ensureDemoKey } from '../../src/core/keys/demo-key.ts'
import { createKeyCache } from '../../src/core/keys/key-cache.ts'
import { createKeyDigester } from '../../src/core/keys/key-digest.ts'
import { createKeyLookUp } from '../../src/core/keys/key-look-up.store.ts'
import { openKeyWatch } from '../../src/core/keys/key-watch.ts'
import { createKeyStore } from '../../src/core/keys/keys.store.ts'
import { type Actor, createKeys, type KeyDraft } from '../../src/core/keys/keys.ts'
import { readLimitsOfKey } from '../../src/core/limits/rate-limits.store.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { silent } from '../support/log.ts'

const operator: Actor = { kind: 'operator', id: 'ops' }
const pepper = Buffer.alloc(32, 1)
let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database.drop())
beforeEach(async () => {
  await database.pools.admin.query('truncate api_keys, audit_events, organizations, usage_hourly cascade')
})

/** A gateway's keys, as the composition root puts them together; `announce` is off where an event gets lost. */
function openGateway({ peppers = [pepper], announce = true }: { peppers?: Buffer[]; announce?: boolean } = {}) {
  const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }
  const digester = createKeyDigester(peppers)
  const lookUp = createKeyLookUp(database.pools.request)
  const cache = createKeyCache({ load: createKeyLoad(lookUp, digester), clock, log: silent })
  const store = createKeyStore(database.pools.admin)
  const keys = createKeys({
    store,
    digester,
    clock,
    newId: createUuidV7Source(),
    changed: (keyId) => {
      if (announce) cache.invalidate(keyId)
    },
  })
  return {
    keys,
    store,
    digester,
    lookUp,
    cache,
    authenticate: createAuthenticator({ digester, cache, clock }),
    async create(draft: Partial<KeyDraft> = {}) {
      const created = await keys.create({ name: 'checkout', ...draft }, operator)
      if (!created.ok) throw new Error(JSON.stringify(created.refusals))
      return created
    },
  }
}

describe('a key', () => {
  test('is its caller, with all that a call needs to know', async () => {
    const { authenticate, create } = openGateway()
    const expiresAtMs = Date.UTC(2030, 0, 1, 0, 0, 0, 7)
    const { key, secret } = await create({
      allowedModels: ['smart'],
      unpricedPolicy: 'allow',
      expiresAtMs,
      tags: { team: 'payments' },
    })
    expect(await authenticate(secret)).toEqual({
      keyId: key.id,
      keyName: 'checkout',
      organizationId: key.organization.id,
      teamId: null,
      allowedModels: ['smart'],
      expiresAtMs,
      unpricedPolicy: 'allow',
      tags: { team: 'payments' },
      rateLimits: [],
      budgets: [],
    })
  })

  test("carries the limits and budgets of its own, of its organization and of its tags, and nobody else's", async () => {
    const { authenticate, create } = openGateway()
    const { key, secret } = await create({ tags: { team: 'payments', env: 'prod' } })
    const organization = key.organization.id
    await database.pools.admin.query(
      `insert into rate_limits (id, api_key_id, organization_id, requests_per_minute, max_concurrent, strict) values
         ($1, $2, null, 60, null, true), ($3, null, $4, null, 5, false)`,
      [randomUUID(), key.id, randomUUID(), organization],
    )
    const budgets = {
      key: [key.id, null, null, null],
      organization: [null, organization, null, null],
      tag: [null, null, 'env', 'prod'],
      tagOfOrganization: [null, organization, 'team', 'payments'],
      otherTag: [null, null, 'env', 'test'],
      otherTagOfOrganization: [null, organization, 'team', 'search'],
    }
    const ids: Record<string, string> = {}
    for (const [name, owner] of Object.entries(budgets)) {
      const id = randomUUID()
      ids[name] = id
      await database.pools.admin.query(
        `insert into budgets (id, api_key_id, organization_id, tag_key, tag_value, amount_nano, period, mode, managed_by)
         values ($1, $2, $3, $4, $5, 100, 'month', 'hard', 'admin')`,
        [id, ...owner],
      )
    }
    const caller = await authenticate(secret)
    const unlimited = { requestsPerMinute: undefined, tokensPerMinute: undefined, maxConcurrent: undefined }
    expect(caller.rateLimits.toSorted((a, b) => a.scope.localeCompare(b.scope))).toEqual([
      { ...unlimited, scope: 'key', scopeId: key.id, requestsPerMinute: 60, algorithm: 'sliding_window', strict: true },
      {
        ...unlimited,
        scope: 'organization',
        scopeId: organization,
        maxConcurrent: 5,
        algorithm: 'sliding_window',
        strict: false,
      },
    ])
    expect(await readLimitsOfKey(database.pools.admin, key.id), 'the key first').toEqual(
      caller.rateLimits.toSorted((a, b) => a.scope.localeCompare(b.scope)),
    )
    expect(caller.budgets.map(({ id }) => id).toSorted()).toEqual(
      [ids.key, ids.organization, ids.tag, ids.tagOfOrganization].toSorted(),
    )
    expect(caller.budgets[0]).toMatchObject({ period: 'month', timeZone: 'UTC', mode: 'hard' })
  })

  test('is looked up anew when a budget changed that is not its own', async () => {
    const { lookUp, create } = openGateway()
    const { key } = await create()
    const { policyVersion } = await lookUp.changedSince(undefined)
    const insert = `insert into budgets (id, organization_id, amount_nano, period, mode, managed_by)
      values ($1, $2, 100, 'month', 'hard', 'admin')`
    await database.pools.admin.query(insert, [randomUUID(), key.organization.id])
    const changed = (await lookUp.changedSince(undefined)).policyVersion
    expect(changed).not.toBe(policyVersion)
    await database.pools.admin.query('delete from budgets')
    expect((await lookUp.changedSince(undefined)).policyVersion).not.toBe(changed)
  })

  test('that restricts nothing, and one that allows nothing, come out as they are', async () => {
    const { authenticate, create } = openGateway()
    expect((await authenticate((await create()).secret)).allowedModels).toBeUndefined()
    expect((await authenticate((await create({ allowedModels: [] })).secret)).allowedModels).toEqual([])
  })

  test('stops with its revocation, and works again once it is enabled', async () => {
    const { authenticate, create, keys } = openGateway()
    const { key, secret } = await create()
    await authenticate(secret)
    await keys.setEnabled(key.id, false, operator)
    await expect(authenticate(secret)).rejects.toMatchObject({ code: 'key_revoked' })
    await keys.setEnabled(key.id, true, operator)
    expect(await authenticate(secret)).toMatchObject({ keyId: key.id })
    await keys.revoke(key.id, operator)
    await expect(authenticate(secret)).rejects.toMatchObject({ code: 'key_revoked' })
  })

  test('that somebody tried before it was made works as soon as it is', async () => {
    const { authenticate, create } = openGateway()
    const secret = 'sk-brought-along-0123456789'
    await expect(authenticate(secret)).rejects.toMatchObject({ code: 'invalid_api_key' })
    const { key } = await create({ secret })
    expect(await authenticate(secret)).toMatchObject({ keyId: key.id })
  })

  test('survives a new pepper as long as the old one is given, too', async () => {
    const { secret } = await openGateway().create()
    const newPepper = Buffer.alloc(32, 2)
    expect(await openGateway({ peppers: [newPepper, pepper] }).authenticate(secret)).toMatchObject({
      keyName: 'checkout',
    })
    await expect(openGateway({ peppers: [newPepper] }).authenticate(secret)).rejects.toMatchObject({
      code: 'invalid_api_key',
    })
  })

  test('cannot be verified by a database that is not there, and is not called unknown', async () => {
    const other = await createTestDatabase()
    const { pools } = other
    const digester = createKeyDigester([pepper])
    const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }
    const load = createKeyLoad(createKeyLookUp(pools.request), digester)
    const authenticate = createAuthenticator({ digester, clock, cache: createKeyCache({ load, clock, log: silent }) })
    await other.drop()
    await expect(authenticate('sk-brought-along-0123456789')).rejects.toMatchObject({ code: 'auth_unavailable' })
  })
})

describe('changes that nobody announced', () => {
  test('are found by polling', async () => {
    const { authenticate, create, keys, cache, lookUp } = openGateway({ announce: false })
    const { key, secret } = await create()
    await authenticate(secret)
    await keys.revoke(key.id, operator)
    expect(authenticate(secret)).toMatchObject({ keyId: key.id })
    const invalidated = Promise.withResolvers<string>()
    const watch = openKeyWatch({
      lookUp,
      cache: {
        invalidate(keyId) {
          cache.invalidate(keyId)
          invalidated.resolve(keyId)
        },
        distrustAll: cache.distrustAll,
      },
      log: silent,
      pollMs: 5,
    })
    expect(await invalidated.promise).toBe(key.id)
    await watch.close()
    await expect((async () => authenticate(secret))()).rejects.toMatchObject({ code: 'key_revoked' })
  })

  test('are reported from a little before the given moment, older ones not', async () => {
    const { create, lookUp } = openGateway()
    const { key } = await create({ name: 'old' })
    await database.pools.admin.query('alter table api_keys disable trigger set_updated_at')
    await database.pools.admin.query("update api_keys set updated_at = now() - interval '1 minute' where id = $1", [
      key.id,
    ])
    await database.pools.admin.query('alter table api_keys enable trigger set_updated_at')
    const { key: recent } = await create({ name: 'recent' })
    const first = await lookUp.changedSince(undefined)
    expect(first.changes).toEqual([])
    const second = await lookUp.changedSince(first.until)
    expect(second.changes.map(({ id }) => id)).toEqual([recent.id])
  })
})

test('keys used of late are known before their first call, the latest first and dead ones left out', async () => {
  const gateway = openGateway()
  const made = [
    await gateway.create({ name: 'old' }),
    await gateway.create({ name: 'new' }),
    await gateway.create({ name: 'dead' }),
  ]
  const [old, recent, dead] = made as [(typeof made)[0], (typeof made)[0], (typeof made)[0]]
  await gateway.keys.revoke(dead.key.id, operator)
  for (const [index, { key }] of [old, recent, dead].entries()) {
    await database.pools.admin.query(
      `insert into usage_hourly (bucket, organization_id, key_id, provider, model)
      values (date_trunc('hour', now()) - make_interval(hours => $1), $2, $3, 'demo', 'm')`,
      [3 - index, key.organization.id, key.id],
    )
  }
  const used = await gateway.lookUp.recentlyUsed(gateway.digester.pepperId, 10)
  expect(used.map(({ record }) => record.caller.keyName)).toEqual(['new', 'old'])
  expect(await gateway.lookUp.recentlyUsed(gateway.digester.pepperId, 1)).toHaveLength(1)
  await warm(gateway)
  expect(gateway.authenticate(recent.secret)).toMatchObject({ keyName: 'new' })
  expect(gateway.authenticate(old.secret)).toMatchObject({ keyName: 'old' })
})

test('the demo key of the first start works, also for later starts, until it is revoked', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'demo-key-'))
  try {
    const gateway = openGateway()
    const start = () => ensureDemoKey({ ...gateway, secretFile: join(folder, 'demo-key') })
    const secret = (await start()) as string
    const caller = await gateway.authenticate(secret)
    expect(caller).toMatchObject({ keyName: 'demo', allowedModels: ['demo/*'] })
    expect(await start()).toBe(secret)
    await gateway.keys.revoke(caller.keyId, operator)
    expect(await start()).toBeUndefined()
    await rm(join(folder, 'demo-key'))
    expect(await start()).toBeUndefined()
  } finally {
    await rm(folder, { recursive: true })
  }
})
