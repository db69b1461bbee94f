import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Provider } from '../providers/provider.ts'
import type { LoadedSnapshot } from './load-snapshot.ts'
import type { ProviderEntry, RoutingSnapshot } from './snapshot.ts'
import { createSnapshots, type SnapshotsDeps } from './snapshots.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function openBench(options: Partial<SnapshotsDeps> = {}) {
  const closed: string[] = []
  const loads: Promise<LoadedSnapshot>[] = []
  const world = {
    latest: 1n as bigint | Error,
    /** Provider names, each a provider of its own. */
    providers: ['one'],
    validUntilMs: undefined as number | undefined,
    answer: undefined as undefined | (() => Promise<LoadedSnapshot>),
    nowMs: 0,
  }
  const entries = new Map<string, ProviderEntry>()
  const entryOf = (name: string): ProviderEntry => {
    const provider = {
      name,
      totalTimeoutMs: 600_000,
      close: async () => void closed.push(name),
    } as unknown as Provider // all that snapshots do with a provider
    const entry = entries.get(name) ?? {
      provider,
      name,
      passthroughModels: false,
      models: new Map(),
      findModel: () => undefined,
      fingerprint: name,
    }
    entries.set(name, entry)
    return entry
  }
  const good = async (): Promise<LoadedSnapshot> => ({
    ok: true,
    snapshot: {
      version: world.latest as bigint,
      validUntilMs: world.validUntilMs,
      providers: new Map(world.providers.map((name) => [name, entryOf(name)])),
      disabledProviders: new Set(),
      aliases: new Map(),
      providersByModel: new Map(),
    },
  })
  const snapshots = createSnapshots({
    load: () => {
      const loading = (world.answer ?? good)()
      loads.push(loading)
      return loading
    },
    async latestVersion() {
      if (world.latest instanceof Error) throw world.latest
      return world.latest
    },
    clock: { nowMs: () => world.nowMs, monotonicMs: () => world.nowMs },
    log: { debug() {}, info() {}, warn() {}, error() {} },
    random: () => 0,
    ...options,
  })
  return { snapshots, world, loads, closed, good, poll: () => vi.advanceTimersByTimeAsync(5_001) }
}

const rejection = {
  ok: false as const,
  version: 2n,
  problems: [{ path: 'aliases.x', message: 'bad', isDeclared: true }],
}

test('there is nothing to serve from before the first load, and it is said so', async () => {
  const { snapshots } = openBench()
  expect(snapshots.isLoaded()).toBe(false)
  expect(() => snapshots.current()).toThrow(
    expect.objectContaining({ code: 'no_healthy_provider', retryAfterMs: 1_000 }),
  )
  expect(await snapshots.reload()).toEqual({ status: 'active', version: 1n })
  expect(snapshots.isLoaded()).toBe(true)
  expect(snapshots.current().version).toBe(1n)
  await snapshots.close()
})

test('a new version is noticed by polling, and an old one is not loaded again', async () => {
  const { snapshots, world, loads, poll } = openBench()
  await snapshots.reload()
  await poll()
  expect(loads).toHaveLength(1)
  world.latest = 2n
  await poll()
  expect(snapshots.current().version).toBe(2n)
  await poll()
  expect(loads).toHaveLength(2)
  await snapshots.close()
})

test('replicas that poll alike do not load alike', async () => {
  const { snapshots, world, loads } = openBench({ random: () => 0.5 })
  await snapshots.reload()
  world.latest = 2n
  await vi.advanceTimersByTimeAsync(5_000 + 999)
  expect(loads).toHaveLength(1)
  await vi.advanceTimersByTimeAsync(1)
  expect(loads).toHaveLength(2)
  await snapshots.close()
})

test('a price that takes effect is loaded without a new version', async () => {
  const { snapshots, world, loads, poll } = openBench()
  world.validUntilMs = 1_000
  await snapshots.reload()
  world.nowMs = 999
  await poll()
  expect(loads).toHaveLength(1)
  world.nowMs = 1_000
  world.validUntilMs = undefined
  await poll()
  expect(loads).toHaveLength(2)
  await poll()
  expect(loads).toHaveLength(2)
  await snapshots.close()
})

test('a rejected version leaves the last good one in force, is counted, and is not tried again', async () => {
  const { snapshots, world, loads, poll, good } = openBench()
  await snapshots.reload()
  const before = snapshots.current()
  world.latest = 2n
  world.answer = async () => rejection
  await poll()
  expect(snapshots.current()).toBe(before)
  expect(snapshots.statistics()).toEqual({ version: 1n, reloads: 2, rejected: 1, failed: 0 })
  await poll()
  await poll()
  expect(loads).toHaveLength(2)
  expect(await snapshots.reload()).toEqual({ status: 'rejected', version: 2n, problems: rejection.problems })
  world.latest = 3n
  world.answer = good
  await poll()
  expect(snapshots.current().version).toBe(3n)
  await snapshots.close()
})

test('a database that does not answer changes nothing, and is asked again', async () => {
  const { snapshots, world, poll, good } = openBench()
  world.answer = () => Promise.reject(new Error('down'))
  expect(await snapshots.reload()).toEqual({ status: 'failed' })
  expect(snapshots.isLoaded()).toBe(false)
  world.latest = new Error('down')
  await poll()
  world.latest = 1n
  world.answer = good
  await poll()
  expect(snapshots.current().version).toBe(1n)
  expect(snapshots.statistics().failed).toBe(1)
  await snapshots.close()
})

test('loads run one at a time; requests that come meanwhile share the next one', async () => {
  const { snapshots, world, loads, good } = openBench()
  const gate = Promise.withResolvers<void>()
  world.answer = async () => {
    await gate.promise
    return good()
  }
  const first = snapshots.reload()
  const others = [snapshots.reload(), snapshots.reload(), snapshots.reload()]
  expect(loads).toHaveLength(1)
  world.latest = 2n
  gate.resolve()
  await first
  expect(await Promise.all(others)).toEqual(others.map(() => ({ status: 'active', version: 2n })))
  expect(loads).toHaveLength(2)
  await snapshots.close()
})

test('a provider that is no longer used is closed when its longest call must be over, others are not', async () => {
  const { snapshots, world, closed } = openBench({ graceMs: 30_000 })
  world.providers = ['one', 'two']
  await snapshots.reload()
  world.providers = ['two', 'three']
  await snapshots.reload()
  await vi.advanceTimersByTimeAsync(629_999)
  expect(closed).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  expect(closed).toEqual(['one'])
  await snapshots.close()
  expect(closed).toEqual(['one', 'two', 'three'])
})

test('closing closes every provider once, retired ones too, and stops the polling', async () => {
  const { snapshots, world, closed, loads, poll } = openBench()
  await snapshots.reload()
  world.providers = ['two']
  await snapshots.reload()
  await snapshots.close()
  expect(closed.sort()).toEqual(['one', 'two'])
  world.latest = 2n
  await poll()
  await vi.advanceTimersByTimeAsync(700_000)
  expect(loads).toHaveLength(2)
  expect(closed).toHaveLength(2)
  expect(await snapshots.reload()).toEqual({ status: 'failed' })
})

test('a call keeps the snapshot it started with', async () => {
  const { snapshots, world } = openBench()
  await snapshots.reload()
  const mine: RoutingSnapshot = snapshots.current()
  world.latest = 2n
  world.providers = []
  await snapshots.reload()
  expect(mine.providers.has('one')).toBe(true)
  expect(snapshots.current().providers.size).toBe(0)
  await snapshots.close()
})

test('asked to look now, it does not wait for the next poll', async () => {
  const { snapshots, world, loads } = openBench()
  await snapshots.reload()
  world.latest = 2n
  snapshots.pollNow()
  await vi.advanceTimersByTimeAsync(10)
  expect(snapshots.current().version).toBe(2n)
  expect(loads).toHaveLength(2)
  snapshots.pollNow()
  await vi.advanceTimersByTimeAsync(10)
  expect(loads).toHaveLength(2)
})

test('what changes while a poll is under way is seen by another one right after it', async () => {
  let answers: ((version: bigint) => void)[] = []
  const { snapshots, world } = openBench({ latestVersion: () => new Promise((resolve) => void answers.push(resolve)) })
  await snapshots.reload()
  snapshots.pollNow()
  await vi.advanceTimersByTimeAsync(1)
  expect(answers).toHaveLength(1)
  world.latest = 2n
  snapshots.pollNow()
  answers[0]?.(1n) // read before the change
  await vi.advanceTimersByTimeAsync(1)
  expect(answers).toHaveLength(2)
  answers[1]?.(2n)
  await vi.advanceTimersByTimeAsync(1)
  expect(snapshots.current().version).toBe(2n)
  answers = []
  await vi.advanceTimersByTimeAsync(4_000)
  expect(answers).toHaveLength(0)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(answers).toHaveLength(1)
})

test('being asked over and over does not put off a load that is about to begin', async () => {
  const { snapshots, world, loads } = openBench({ random: () => 0.5 })
  await snapshots.reload()
  world.latest = 2n
  for (let asked = 0; asked < 12; asked++) {
    snapshots.pollNow()
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(loads).toHaveLength(2)
  expect(snapshots.current().version).toBe(2n)
})

test('asked after it is closed, it does nothing', async () => {
  const { snapshots, world, loads } = openBench()
  await snapshots.reload()
  await snapshots.close()
  world.latest = 2n
  snapshots.pollNow()
  await vi.advanceTimersByTimeAsync(20_000)
  expect(loads).toHaveLength(1)
})
