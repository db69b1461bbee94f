import { describe, expect, test } from 'vitest'
import { createAuthenticator, createKeyLoad, warm } from './authenticate.ts'
import type { Caller } from './caller.ts'
import { createKeyCache, type KeyRecord, type KeyStatus } from './key-cache.ts'
import { createKeyDigester } from './key-digest.ts'
import { generateSecret } from './key-format.ts'
import type { KeyLookUp } from './key-look-up.store.ts'

const currentPepper = Buffer.alloc(32, 1)
const previousPepper = Buffer.alloc(32, 2)
const secret = generateSecret()

function openBench() {
  const time = { databaseMs: Date.UTC(2026, 10, 23), monotonicMs: 0 }
  const keys = new Map<string, KeyRecord>()
  const asked: string[] = []
  const digester = createKeyDigester([currentPepper, previousPepper])
  const lookUp: Pick<KeyLookUp, 'findByDigests' | 'recentlyUsed'> = {
    async findByDigests(digests) {
      asked.push(digests.map((digest) => digest.toString('hex').slice(0, 8)).join())
      const found = digests.find((digest) => keys.has(digest.toString('latin1')))
      return found && keys.get(found.toString('latin1'))
    },
    recentlyUsed: async (pepperId) =>
      pepperId === digester.pepperId ? [...keys].map(([digest, record]) => ({ digest, record })) : [],
  }
  const clock = { nowMs: () => time.databaseMs, monotonicMs: () => time.monotonicMs }
  const cache = createKeyCache({
    load: createKeyLoad(lookUp, digester),
    clock,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  })
  return {
    time,
    asked,
    cache,
    digester,
    lookUp,
    authenticate: createAuthenticator({ digester, cache, clock }),
    /** Stores a key as the given pepper left it. */
    add(of: string, { status = 'active', pepper = currentPepper, ...caller }: AddedKey = {}) {
      keys.set(createKeyDigester([pepper]).digest(of), { caller: { ...someCaller, ...caller }, status })
    },
  }
}

type AddedKey = Partial<Caller> & { status?: KeyStatus; pepper?: Buffer }

const someCaller: Caller = {
  keyId: 'k1',
  keyName: 'checkout',
  organizationId: 'org',
  teamId: null,
  allowedModels: undefined,
  expiresAtMs: undefined,
  unpricedPolicy: undefined,
  tags: {},
  rateLimits: [],
  budgets: [],
}

describe('a live key', () => {
  test('is its caller, and from the second call on without a promise', async () => {
    const { authenticate, add } = openBench()
    add(secret)
    expect(await authenticate(secret)).toEqual(someCaller)
    expect(authenticate(secret)).toEqual(someCaller)
  })

  test('may be any secret that an operator brought along', async () => {
    const { authenticate, add } = openBench()
    add('sk-0123456789abcdefghij')
    expect(await authenticate('sk-0123456789abcdefghij')).toEqual(someCaller)
  })

  test('is still known after the pepper was rotated', async () => {
    const { authenticate, add } = openBench()
    add(secret, { pepper: previousPepper })
    expect(await authenticate(secret)).toEqual(someCaller)
    expect(authenticate(secret)).toEqual(someCaller)
  })

  test('that was used of late is known before its first call', async () => {
    const bench = openBench()
    bench.add(secret)
    await warm(bench)
    expect(bench.authenticate(secret)).toEqual(someCaller)
    expect(bench.asked).toEqual([])
  })
})

describe('what is turned away without a look-up', () => {
  test.each([
    ['nothing', undefined, 'No API key was sent'],
    ['something too short', 'sk-short', 'cannot be one'],
    ['something with a space', `Bearer ${'x'.repeat(30)}`, 'cannot be one'],
    ['a cut key', secret.slice(0, -3), 'incomplete or mistyped'],
    ['a mistyped key', secret.replace(/.$/, secret.endsWith('a') ? 'b' : 'a'), 'incomplete or mistyped'],
  ])('%s', (_name, credential, message) => {
    const { authenticate, asked } = openBench()
    expect(() => authenticate(credential)).toThrow(
      expect.objectContaining({ code: 'invalid_api_key', message: expect.stringContaining(message) }),
    )
    expect(asked).toEqual([])
  })
})

describe('a key that does not work', () => {
  test('unknown: says so, and says it at once when it is tried again', async () => {
    const { authenticate, asked } = openBench()
    await expect(authenticate(secret)).rejects.toMatchObject({ code: 'invalid_api_key' })
    expect(() => authenticate(secret)).toThrow('No such API key')
    expect(asked).toHaveLength(1)
  })

  test.each([
    ['revoked', 'was revoked'],
    ['disabled', 'is disabled'],
  ] as const)('%s: key_revoked with what to do about it', async (status, message) => {
    const { authenticate, add } = openBench()
    add(secret, { status })
    const refusal = { code: 'key_revoked', message: expect.stringContaining(`"checkout" ${message}`) }
    await expect(authenticate(secret)).rejects.toMatchObject(refusal)
    expect(() => authenticate(secret)).toThrow(expect.objectContaining(refusal))
  })

  test('expired: from the very millisecond on, by the clock of the database, though it is cached', async () => {
    const { authenticate, add, time } = openBench()
    add(secret, { expiresAtMs: time.databaseMs + 1_000 })
    await authenticate(secret)
    time.databaseMs += 999
    expect(authenticate(secret)).toMatchObject({ keyId: 'k1' })
    time.databaseMs += 1
    expect(() => authenticate(secret)).toThrow(
      expect.objectContaining({ code: 'key_expired', message: expect.stringContaining('2026-11-23T00:00:01.000Z') }),
    )
  })

  test('revoked while it is cached: refused with the next call after the invalidation', async () => {
    const { authenticate, add, cache } = openBench()
    add(secret)
    await authenticate(secret)
    add(secret, { status: 'revoked' })
    cache.invalidate('k1')
    await expect(authenticate(secret)).rejects.toMatchObject({ code: 'key_revoked' })
  })

  test('no message repeats the secret', async () => {
    const { authenticate, add } = openBench()
    add(secret, { status: 'revoked' })
    for (const credential of [secret, secret.slice(0, -1), 'sk-0123456789abcdefghij', 'sk-short']) {
      const error = await Promise.resolve()
        .then(() => authenticate(credential))
        .catch((thrown: Error) => thrown)
      expect(error).toBeInstanceOf(Error)
      expect(JSON.stringify([(error as Error).message, (error as Error).stack])).not.toContain(credential)
    }
  })
})
