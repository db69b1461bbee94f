import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Log } from '../log.ts'
import { createKeyCache, type KeyCache, type KeyCacheOptions, type KeyRecord } from './key-cache.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

function recordOf(keyId: string, overrides: Partial<KeyRecord> = {}): KeyRecord {
  return {
    caller: {
      keyId,
      keyName: keyId,
      organizationId: 'org',
      teamId: null,
      allowedModels: undefined,
      expiresAtMs: undefined,
      unpricedPolicy: undefined,
      tags: {},
      rateLimits: [],
      budgets: [],
    },
    status: 'active',
    ...overrides,
  }
}

interface Bench {
  cache: KeyCache
  /** What the store holds, by secret; `down` makes it fail. */
  store: Map<string, KeyRecord>
  loads: string[]
  set down(down: boolean)
  pass(ms: number): void
  /** Holds every read until released; a read sees the store as it was when the read began. */
  hold(): { release(): void }
}

function openBench(options: Partial<KeyCacheOptions> = {}): Bench {
  let nowMs = 1_000_000
  let down = false
  let gate: Promise<void> | undefined
  const store = new Map<string, KeyRecord>()
  const loads: string[] = []
  const cache = createKeyCache({
    async load(secret) {
      loads.push(secret)
      const seen = store.get(secret)
      if (down) throw new Error('connection refused')
      await gate
      return seen
    },
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
    log: silent,
    random: () => 0.5,
    ...options,
  })
  return {
    cache,
    store,
    loads,
    set down(value: boolean) {
      down = value
    },
    pass(ms) {
      nowMs += ms
    },
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      return {
        release() {
          gate = undefined
          resolve()
        },
      }
    },
  }
}

/** Lets reads in the background finish: they wait for nothing but the store above. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('a key that is known', () => {
  test('is answered at once while it is fresh, and read only once', async () => {
    const { cache, store, loads, pass } = openBench()
    store.set('s1', recordOf('k1'))
    expect(await cache.get('d1', 's1')).toBe(store.get('s1'))
    pass(59_999)
    expect(cache.get('d1', 's1')).toBe(store.get('s1'))
    expect(loads).toEqual(['s1'])
    expect(cache.statistics()).toMatchObject({ hits: 1, misses: 1, size: 1 })
  })

  test('is served stale for a minute while it is read again behind the scenes', async () => {
    const { cache, store, loads, pass } = openBench()
    const before = recordOf('k1')
    store.set('s1', before)
    await cache.get('d1', 's1')
    const after = recordOf('k1', { status: 'revoked' })
    store.set('s1', after)
    pass(60_000)
    expect(cache.get('d1', 's1')).toBe(before)
    await settled()
    expect(cache.get('d1', 's1')).toBe(after)
    expect(loads).toHaveLength(2)
    expect(cache.statistics()).toMatchObject({ hits: 1, staleServes: 1 })
  })

  test('is read again before it is used when it was idle for longer', async () => {
    const { cache, store, pass } = openBench()
    store.set('s1', recordOf('k1'))
    await cache.get('d1', 's1')
    const after = recordOf('k1', { status: 'revoked' })
    store.set('s1', after)
    pass(120_000)
    expect(await cache.get('d1', 's1')).toBe(after)
  })

  test('entries read together do not go stale together', async () => {
    let next = 0
    const { cache, store, pass } = openBench({ random: () => [0, 0.999][next++ % 2] as number })
    for (const n of [1, 2]) {
      store.set(`s${n}`, recordOf(`k${n}`))
      await cache.get(`d${n}`, `s${n}`)
    }
    pass(60_000)
    void cache.get('d1', 's1')
    void cache.get('d2', 's2')
    expect(cache.statistics()).toMatchObject({ staleServes: 1, hits: 1 })
  })
})

describe('while the store is down', () => {
  test('a known key is served for fifteen minutes after it was read, and not a moment longer', async () => {
    const bench = openBench()
    const { cache, store, pass } = bench
    store.set('s1', recordOf('k1'))
    await cache.get('d1', 's1')
    bench.down = true
    pass(15 * 60_000 - 1)
    expect(await cache.get('d1', 's1')).toBe(store.get('s1'))
    pass(1)
    await expect(cache.get('d1', 's1')).rejects.toMatchObject({ code: 'auth_unavailable' })
  })

  test('a key nobody knows is unverifiable, which is not the same as unknown, and is asked for again', async () => {
    const bench = openBench()
    const { cache, store } = bench
    bench.down = true
    await expect(cache.get('d1', 's1')).rejects.toMatchObject({ code: 'auth_unavailable', retryAfterMs: 1_000 })
    bench.down = false
    store.set('s1', recordOf('k1'))
    expect(await cache.get('d1', 's1')).toBe(store.get('s1'))
  })

  test('known keys are answered at once after a failure, with one try a second', async () => {
    const bench = openBench()
    const { cache, store, loads, pass } = bench
    store.set('s1', recordOf('k1'))
    await cache.get('d1', 's1')
    bench.down = true
    pass(5 * 60_000)
    await cache.get('d1', 's1')
    expect(loads).toHaveLength(2)
    pass(999)
    expect(cache.get('d1', 's1')).toBe(store.get('s1'))
    expect(loads).toHaveLength(2)
    pass(1)
    await cache.get('d1', 's1')
    expect(loads).toHaveLength(3)
    expect(cache.statistics()).toMatchObject({ failingForMs: 1_000, loadFailures: 2, staleServes: 3 })
    bench.down = false
    pass(1_000)
    await cache.get('d1', 's1')
    expect(cache.statistics().failingForMs).toBe(0)
  })

  test('an invalidated key is not served out of the cache', async () => {
    const bench = openBench()
    const { cache, store, pass } = bench
    store.set('s1', recordOf('k1'))
    await cache.get('d1', 's1')
    bench.down = true
    cache.invalidate('k1')
    await expect(cache.get('d1', 's1')).rejects.toMatchObject({ code: 'auth_unavailable' })
    pass(1)
    await expect(cache.get('d1', 's1')).rejects.toMatchObject({ code: 'auth_unavailable' })
  })

  test('a change that the entry has seen already leaves it, and any other does not', async () => {
    const bench = openBench()
    const { cache, store } = bench
    store.set('s1', { ...recordOf('k1'), changedAt: '2026-11-27 08:00:00.5+00' })
    const record = await cache.get('d1', 's1')
    bench.down = true
    cache.invalidate('k1', '2026-11-27 08:00:00.5+00')
    expect(cache.get('d1', 's1')).toBe(record)
    cache.invalidate('k1', '2026-11-27 08:00:00.6+00')
    await expect(cache.get('d1', 's1')).rejects.toMatchObject({ code: 'auth_unavailable' })
  })

  test('a key invalidated while its read was failing is not served either', async () => {
    const { promise, reject } = Promise.withResolvers<never>()
    const answers: Promise<KeyRecord>[] = [Promise.resolve(recordOf('k1')), promise]
    const { cache, pass } = openBench({ load: () => answers.shift() as Promise<KeyRecord> })
    await cache.get('d1', 's1')
    pass(3 * 60_000)
    const answer = cache.get('d1', 's1')
    cache.invalidate('k1')
    reject(new Error('timeout'))
    await expect(answer).rejects.toMatchObject({ code: 'auth_unavailable' })
  })

  test('distrusted keys are still served', async () => {
    const bench = openBench()
    const { cache, store, pass } = bench
    store.set('s1', recordOf('k1'))
    await cache.get('d1', 's1')
    bench.down = true
    pass(1)
    cache.distrustAll()
    expect(await cache.get('d1', 's1')).toBe(store.get('s1'))
  })
})

describe('a secret that belongs to no key', () => {
  test('is remembered for five seconds', async () => {
    const { cache, loads, pass } = openBench()
    expect(await cache.get('d1', 's1')).toBeNull()
    pass(4_999)
    expect(cache.get('d1', 's1')).toBeNull()
    expect(cache.statistics()).toMatchObject({ negativeHits: 1, misses: 1, size: 0 })
    pass(1)
    expect(await cache.get('d1', 's1')).toBeNull()
    expect(loads).toHaveLength(2)
  })

  test('is known as soon as a key with it is announced', async () => {
    const { cache, store } = openBench()
    await cache.get('d1', 's1')
    store.set('s1', recordOf('k1'))
    cache.invalidate('k1')
    expect(await cache.get('d1', 's1')).toBe(store.get('s1'))
  })

  test('does not push out keys, and the table of such secrets is bounded', async () => {
    const { cache, store, loads } = openBench({ entriesMax: 10, negativeEntriesMax: 10 })
    store.set('s1', recordOf('k1'))
    await cache.get('d1', 's1')
    for (let n = 0; n < 100; n++) await cache.get(`wrong${n}`, `wrong${n}`)
    expect(cache.get('d1', 's1')).toBe(store.get('s1'))
    const before = loads.length
    void cache.get('wrong99', 'wrong99')
    expect(loads).toHaveLength(before)
    await cache.get('wrong0', 'wrong0')
    expect(loads).toHaveLength(before + 1)
  })
})

describe('one read for many', () => {
  test('callers with the same secret share a read', async () => {
    const { cache, store, loads } = openBench()
    store.set('s1', recordOf('k1'))
    const answers = await Promise.all(Array.from({ length: 50 }, () => cache.get('d1', 's1')))
    expect(new Set(answers)).toEqual(new Set([store.get('s1')]))
    expect(loads).toHaveLength(1)
  })

  test('more reads at once than the bound are refused as unverifiable', async () => {
    const { cache, hold } = openBench({ loadsMax: 2 })
    const gate = hold()
    const first = [cache.get('d1', 's1'), cache.get('d2', 's2')]
    await expect(cache.get('d3', 's3')).rejects.toMatchObject({ code: 'auth_unavailable' })
    gate.release()
    expect(await Promise.all(first)).toEqual([null, null])
    expect(await cache.get('d3', 's3')).toBeNull()
  })
})

describe('invalidation', () => {
  test.each(['invalidate', 'invalidateAll', 'distrustAll'] as const)(
    '%s takes effect with the next call',
    async (how) => {
      const { cache, store, pass } = openBench()
      store.set('s1', recordOf('k1'))
      await cache.get('d1', 's1')
      const after = recordOf('k1', { status: 'revoked' })
      store.set('s1', after)
      pass(1)
      cache[how]('k1')
      expect(await cache.get('d1', 's1')).toBe(after)
      expect(cache.get('d1', 's1')).toBe(after)
    },
  )

  test.each(['invalidate', 'invalidateAll', 'distrustAll'] as const)(
    '%s beats a read that began before it: the old value is neither kept nor handed out',
    async (how) => {
      const { cache, store, hold } = openBench()
      store.set('s1', recordOf('k1'))
      const gate = hold()
      const early = cache.get('d1', 's1')
      const after = recordOf('k1', { status: 'revoked' })
      store.set('s1', after)
      cache[how]('k1')
      const late = cache.get('d1', 's1')
      gate.release()
      expect(await early).toBe(after)
      expect(await late).toBe(after)
      expect(cache.get('d1', 's1')).toBe(after)
    },
  )

  test('beats a warm-up that began before it', async () => {
    const { cache, store } = openBench()
    const old = { digest: 'd1', record: recordOf('k1') }
    const { promise, resolve } = Promise.withResolvers<(typeof old)[]>()
    const warmed = cache.warm(() => promise)
    cache.invalidate('k1')
    resolve([old])
    await warmed
    const after = recordOf('k1', { status: 'revoked' })
    store.set('s1', after)
    expect(await cache.get('d1', 's1')).toBe(after)
  })

  test('leaves other keys alone', async () => {
    const { cache, store } = openBench()
    for (const n of [1, 2]) {
      store.set(`s${n}`, recordOf(`k${n}`))
      await cache.get(`d${n}`, `s${n}`)
    }
    cache.invalidate('k1')
    cache.invalidate('never-heard-of')
    expect(cache.get('d2', 's2')).toBe(store.get('s2'))
  })

  test('whatever happens in whatever order, no answer is older than the last invalidation of its key', async () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('get' as const), key: fc.nat(2) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('change' as const), key: fc.nat(2) }) },
      {
        weight: 1,
        arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(1, 61_000, 130_000) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const bench = openBench({ entriesMax: 2 })
        const { cache, store } = bench
        const announced = [0, 0, 0]
        const versionOf = (record: KeyRecord | null) => Number(record?.caller.keyName)
        for (const key of [0, 1, 2]) store.set(`s${key}`, withVersion(key, 0))
        const answers: Promise<void>[] = []
        for (const each of steps) {
          if (each.kind === 'pass') bench.pass(each.ms)
          else if (each.kind === 'turn') await settled()
          else if (each.kind === 'change') {
            const version = (announced[each.key] as number) + 1
            store.set(`s${each.key}`, withVersion(each.key, version))
            cache.invalidate(`k${each.key}`)
            announced[each.key] = version
          } else {
            const atLeast = announced[each.key] as number
            const answer = Promise.resolve(cache.get(`d${each.key}`, `s${each.key}`))
            answers.push(answer.then((record) => expect(versionOf(record)).toBeGreaterThanOrEqual(atLeast)))
          }
        }
        await Promise.all(answers)
        await settled()
        for (const key of [0, 1, 2]) {
          expect(versionOf(await cache.get(`d${key}`, `s${key}`))).toBe(announced[key])
        }
      }),
      { numRuns: 200 },
    )
  })
})

test('the cache is bounded: the key unused for longest goes first and is simply read again', async () => {
  const { cache, store, loads } = openBench({ entriesMax: 2 })
  for (const n of [1, 2]) {
    store.set(`s${n}`, recordOf(`k${n}`))
    await cache.get(`d${n}`, `s${n}`)
  }
  void cache.get('d1', 's1')
  store.set('s3', recordOf('k3'))
  await cache.get('d3', 's3')
  expect(cache.statistics()).toMatchObject({ size: 2, evictions: 1 })
  expect(cache.get('d1', 's1')).toBe(store.get('s1'))
  await cache.get('d2', 's2')
  expect(loads).toEqual(['s1', 's2', 's3', 's2'])
})

test('warm keys are answered at once', async () => {
  const { cache, loads } = openBench()
  const record = recordOf('k1')
  await cache.warm(async () => [{ digest: 'd1', record }])
  expect(cache.get('d1', 's1')).toBe(record)
  expect(loads).toEqual([])
})

function withVersion(key: number, version: number): KeyRecord {
  const record = recordOf(`k${key}`)
  return { ...record, caller: { ...record.caller, keyName: String(version) } }
}
