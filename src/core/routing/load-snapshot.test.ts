import { describe, expect, test } from 'vitest'
import type { Credentials } from '../providers/credentials.ts'
import type { Provider } from '../providers/provider.ts'
import { type LoadSnapshotDeps, loadRoutingSnapshot, unusedProviders } from './load-snapshot.ts'
import type { StoredAlias, StoredProvider, StoredRouting } from './snapshot.store.ts'
import type { ModelEntry, RoutingSnapshot } from './snapshot.ts'

const providerWith = (overrides: Partial<StoredProvider> = {}): StoredProvider => ({
  id: `id-${overrides.name ?? 'one'}`,
  name: 'one',
  type: 'demo',
  baseUrl: null,
  settings: {},
  passthroughModels: false,
  enabled: true,
  managedBy: 'admin',
  credentials: [],
  ...overrides,
})

const aliasWith = (overrides: Partial<StoredAlias> = {}): StoredAlias => ({
  name: 'smart',
  managedBy: 'admin',
  createdS: 1_800_000_000,
  billingKeyId: null,
  settings: {},
  targets: [{ providerId: 'id-one', model: 'small', weight: 1, priority: 0, region: null }],
  ...overrides,
})

const modelOf = (name: string): ModelEntry => ({
  name,
  mode: 'chat',
  contextWindowTokens: undefined,
  maxOutputTokens: undefined,
  price: undefined,
  createdS: 0,
})

function openBench() {
  const ruled: string[] = []
  const made: { provider: Provider; from: StoredProvider; credentials: Credentials }[] = []
  const closed: Provider[] = []
  const asked: { id: string; catalog: string }[] = []
  const stored: StoredRouting = { version: 7n, providers: [providerWith()], aliases: [aliasWith()] }
  const world = {
    stored,
    models: ['small', 'large'],
    credentials: {} as Credentials,
    nextChangeMs: undefined as number | undefined,
    region: undefined as string | undefined,
    failure: undefined as Error | undefined,
  }
  const deps: LoadSnapshotDeps = {
    get region() {
      return world.region
    },
    prices: async () => ({
      nextChangeMs: world.nextChangeMs,
      findModel(_catalog, name) {
        ruled.push(name)
        return name === 'small@1' ? modelOf('small') : undefined
      },
      modelsOf(provider) {
        asked.push(provider)
        return world.models.map(modelOf)
      },
    }),
    credentials: () => world.credentials,
    createProvider(from, credentials) {
      if (world.failure) throw world.failure
      const provider: Provider = {
        name: from.name,
        type: from.type,
        totalTimeoutMs: 1_000,
        exchange: () => Promise.reject(new Error('not part of this test')),
        close: async () => void closed.push(provider),
      }
      made.push({ provider, from, credentials })
      return provider
    },
  }
  return {
    world,
    deps,
    made,
    closed,
    asked,
    ruled,
    load: (previous?: RoutingSnapshot) => loadRoutingSnapshot(deps, world.stored, previous),
    async good(previous?: RoutingSnapshot) {
      const loaded = await loadRoutingSnapshot(deps, world.stored, previous)
      if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
      return loaded.snapshot
    },
  }
}

describe('a good configuration', () => {
  test('becomes providers, their models, and aliases ordered by priority', async () => {
    const { world, good } = openBench()
    world.nextChangeMs = 5
    world.stored.providers.push(providerWith({ name: 'two', passthroughModels: true }))
    world.stored.aliases = [
      aliasWith({
        targets: [
          { providerId: 'id-two', model: 'anything', weight: 1, priority: 2, region: null },
          { providerId: 'id-one', model: 'small', weight: 3, priority: 0, region: null },
        ],
      }),
    ]
    const snapshot = await good()
    expect(snapshot.version).toBe(7n)
    expect(snapshot.validUntilMs).toBe(5)
    expect([...snapshot.providers.keys()]).toEqual(['one', 'two'])
    expect(snapshot.providersByModel.get('small')?.map(({ name }) => name)).toEqual(['one', 'two'])
    expect(snapshot.aliases.get('smart')?.targets).toEqual([
      { provider: snapshot.providers.get('one'), model: 'small', weight: 3, priority: 0 },
      { provider: snapshot.providers.get('two'), model: 'anything', weight: 1, priority: 2 },
    ])
  })

  test('prefers the region of the replica within a priority, then what has none', async () => {
    const { world, good } = openBench()
    world.region = 'eu'
    for (const name of ['two', 'three', 'four']) world.stored.providers.push(providerWith({ id: `id-${name}`, name }))
    const target = (name: string, priority: number, region: string | null) => ({
      ...{ providerId: `id-${name}`, model: 'small', weight: 1, priority, region },
    })
    const targets = [target('one', 0, 'us'), target('two', 0, null), target('three', 0, 'eu'), target('four', 1, 'eu')]
    world.stored.aliases = [aliasWith({ targets })]
    const order = (await good()).aliases.get('smart')?.targets
    expect(order?.map(({ provider }) => provider.name)).toEqual(['three', 'two', 'one', 'four'])
  })

  test('leaves out what is switched off, at once, and remembers its name', async () => {
    const { world, good, made } = openBench()
    world.stored.providers = [providerWith({ enabled: false })]
    const snapshot = await good()
    expect(snapshot.providers.size).toBe(0)
    expect(snapshot.disabledProviders).toEqual(new Set(['one']))
    expect(snapshot.aliases.get('smart')?.targets).toEqual([])
    expect(made).toEqual([])
  })

  test.each<[Partial<StoredProvider>, string]>([
    [{ name: 'mine', type: 'openai' }, 'openai'],
    [{ name: 'mine', type: 'openai', settings: { preset: 'groq' } }, 'openai'],
    [{ name: 'mine', type: 'azure-openai' }, 'azure'],
    [{ name: 'mine', type: 'openai-compatible', settings: { preset: 'groq' } }, 'groq'],
    [{ name: 'mine', type: 'openai-compatible' }, 'mine'],
    [{ name: 'demo', type: 'demo' }, 'demo'],
  ])('%j has its prices from %s', async (provider, catalog) => {
    const { world, good, asked } = openBench()
    world.stored.providers = [providerWith(provider)]
    world.stored.aliases = []
    await good()
    expect(asked).toEqual([{ id: `id-${provider.name}`, catalog }])
  })
})

test('a name that only a rule knows is looked for by rule once, also as the target of an alias', async () => {
  const { world, good, ruled } = openBench()
  world.stored.aliases = [
    aliasWith({ targets: [{ providerId: 'id-one', model: 'small@1', weight: 1, priority: 0, region: null }] }),
  ]
  const one = (await good()).providers.get('one')
  expect(one?.findModel('small@1')?.name).toBe('small')
  expect(one?.findModel('small')?.name).toBe('small')
  expect(one?.findModel('tiny')).toBeUndefined()
  expect(one?.findModel('tiny')).toBeUndefined()
  expect(one?.findModel('x'.repeat(201))).toBeUndefined()
  expect(ruled).toEqual(['small@1', 'tiny'])
})

describe('a bad configuration', () => {
  test('is refused whole, with everything that is wrong with it', async () => {
    const { world, load } = openBench()
    world.stored.providers.push(providerWith({ name: 'a/b' }))
    world.stored.aliases = [
      aliasWith({
        name: 'typo',
        targets: [{ providerId: 'id-one', model: 'smal', weight: 1, priority: 0, region: null }],
      }),
      aliasWith({
        name: 'lost',
        targets: [{ providerId: 'id-gone', model: 'small', weight: 1, priority: 0, region: null }],
      }),
    ]
    expect(await load()).toEqual({
      ok: false,
      version: 7n,
      problems: [
        { path: 'providers.a/b', message: expect.stringContaining('letters, digits'), isDeclared: false },
        {
          path: 'aliases.typo',
          message: expect.stringContaining('does not know the model "smal"'),
          isDeclared: false,
        },
        { path: 'aliases.lost', message: expect.stringContaining('does not exist'), isDeclared: false },
      ],
    })
  })

  test('is one of the declaration where nothing that an administrator manages has a part in it', async () => {
    const { world, load } = openBench()
    const target = { model: 'unknown', weight: 1, priority: 0, region: null }
    world.stored.providers = [providerWith(), providerWith({ name: 'two', managedBy: 'file' })]
    world.stored.aliases = [
      aliasWith({ name: 'a', managedBy: 'file', targets: [{ ...target, providerId: 'id-two' }] }),
      aliasWith({ name: 'b', managedBy: 'file', targets: [{ ...target, providerId: 'id-one' }] }),
      aliasWith({ name: 'c', managedBy: 'admin', targets: [{ ...target, providerId: 'id-two' }] }),
    ]
    const loaded = await load()
    expect(loaded.ok === false && loaded.problems.map(({ isDeclared }) => isDeclared)).toEqual([true, false, false])
  })

  test('can be left out, and the rest is good', async () => {
    const { world, deps } = openBench()
    world.stored.providers.push(providerWith({ name: 'a/b' }))
    const loaded = await loadRoutingSnapshot(deps, world.stored, undefined, { leavesOut: true })
    expect(loaded.ok && [...loaded.snapshot.providers.keys()]).toEqual(['one'])
  })

  test('includes a provider that cannot be made, for want of a credential or else', async () => {
    const { world, load } = openBench()
    world.failure = new RangeError('The provider one needs an apiKey.')
    world.stored.aliases = []
    expect(await load()).toMatchObject({
      ok: false,
      problems: [{ path: 'providers.one', message: 'The provider one needs an apiKey.' }],
    })
  })

  test('closes what was made in vain and nothing that is in use', async () => {
    const { world, good, load, made, closed } = openBench()
    const before = await good()
    world.stored = {
      ...world.stored,
      providers: [providerWith(), providerWith({ name: 'two' }), providerWith({ name: '/' })],
    }
    expect((await load(before)).ok).toBe(false)
    expect(made).toHaveLength(2)
    expect(closed).toEqual([made[1]?.provider])
  })
})

describe('a reload', () => {
  test('keeps a provider, and with it its connections, while nothing it was made from changed', async () => {
    const { world, good, made } = openBench()
    const before = await good()
    world.models = ['small', 'other']
    world.stored = { ...world.stored, version: 8n, providers: [providerWith({ passthroughModels: true })] }
    const after = await good(before)
    expect(after.providers.get('one')?.provider).toBe(before.providers.get('one')?.provider)
    expect(after.providers.get('one')?.passthroughModels).toBe(true)
    expect(after.providers.get('one')?.models.has('other')).toBe(true)
    expect(made).toHaveLength(1)
    expect(unusedProviders(before.providers.values(), after.providers.values())).toEqual([])
  })

  test.each<[string, Partial<StoredProvider>, Credentials]>([
    ['type', { type: 'gemini' }, { apiKey: 'a' }],
    ['base URL', { baseUrl: 'https://example.com/v1' }, { apiKey: 'a' }],
    ['settings', { settings: { latencyMs: 5 } }, { apiKey: 'a' }],
    ['credential', {}, { apiKey: 'b' }],
    ['credentials', {}, { apiKey: 'a', apiSecret: 'b' }],
    ['identity', { id: 'id-one-anew' }, { apiKey: 'a' }],
  ])('makes a provider anew when its %s changed', async (_name, changed, credentials) => {
    const { world, good, made } = openBench()
    world.stored.aliases = []
    world.credentials = { apiKey: 'a' }
    const before = await good()
    world.stored = { ...world.stored, providers: [providerWith(changed)] }
    world.credentials = credentials
    const after = await good(before)
    expect(made).toHaveLength(2)
    expect(made[1]?.credentials).toEqual(credentials)
    expect(unusedProviders(before.providers.values(), after.providers.values())).toEqual([made[0]?.provider])
  })

  test('does not keep secrets beside the provider that needs them', async () => {
    const { world, good } = openBench()
    world.credentials = { apiKey: 'sk-very-secret' }
    const { providers } = await good()
    expect(providers.get('one')?.fingerprint).not.toContain('sk-very-secret')
  })
})

test('a database that does not answer is no verdict on the configuration', async () => {
  const { world, load } = openBench()
  world.stored = undefined as unknown as StoredRouting
  await expect(load()).rejects.toThrow()
})
