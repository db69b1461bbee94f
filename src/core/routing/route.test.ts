import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Caller } from '../keys/caller.ts'
import type { Provider } from '../providers/provider.ts'
import { getModel, listModels } from './listed-models.ts'
import { type Candidate, route } from './route.ts'
import type { AliasEntry, ModelEntry, ProviderEntry, RoutingSnapshot } from './snapshot.ts'

function modelOf(name: string, mode = 'chat'): ModelEntry {
  return {
    name,
    mode,
    contextWindowTokens: undefined,
    maxOutputTokens: undefined,
    price: undefined,
    createdS: 1_700_000_000,
  }
}

function providerOf(name: string, models: (string | ModelEntry)[], passthroughModels = false): ProviderEntry {
  const entries = models.map((model) => (typeof model === 'string' ? modelOf(model) : model))
  const byName = new Map(entries.map((entry) => [entry.name, entry]))
  return {
    provider: { name } as Provider, // routing only passes it on
    name,
    passthroughModels,
    models: byName,
    // The one rule of this catalog: a dated version is the model without its date.
    findModel: (name) => byName.get(name) ?? byName.get(name.replace(/@\d+$/, '')),
    fingerprint: name,
  }
}

type TargetOf = [provider: string, model: string, priority?: number, weight?: number]

function snapshotOf(
  providers: ProviderEntry[],
  aliases: Record<string, TargetOf[]> = {},
  disabledProviders: string[] = [],
): RoutingSnapshot {
  const byName = new Map(providers.map((provider) => [provider.name, provider]))
  const byModel = new Map<string, ProviderEntry[]>()
  for (const provider of providers) {
    for (const name of provider.models.keys()) byModel.set(name, [...(byModel.get(name) ?? []), provider])
  }
  const aliasOf = ([name, targets]: [string, TargetOf[]]): [string, AliasEntry] => [
    name,
    {
      name,
      createdS: 1_800_000_000,
      billingKeyId: null,
      settings: {},
      targets: targets.map(([provider, model, priority = 0, weight = 1]) => ({
        provider: byName.get(provider) as ProviderEntry,
        model,
        priority,
        weight,
      })),
    },
  ]
  return {
    version: 1n,
    validUntilMs: undefined,
    providers: byName,
    disabledProviders: new Set(disabledProviders),
    aliases: new Map(Object.entries(aliases).map(aliasOf)),
    providersByModel: byModel,
  }
}

const callerWith = (allowedModels?: string[]): Caller => ({
  keyId: 'k1',
  keyName: 'k1',
  organizationId: 'org',
  teamId: null,
  allowedModels,
  expiresAtMs: undefined,
  unpricedPolicy: undefined,
  tags: {},
  rateLimits: [],
  budgets: [],
})

const anyone = callerWith()
const targets = (candidates: readonly Candidate[]) =>
  candidates.map(({ provider, model }) => `${provider.name}/${model}`)

const openai = providerOf('openai', ['gpt-4o', 'gpt-4o-mini', modelOf('text-embedding-3-small', 'embedding')])
const azure = providerOf('azure', ['gpt-4o', 'gpt-4.1'])
const groq = providerOf('groq', ['openai/gpt-oss-120b', 'llama-3.3-70b'])
const local = providerOf('local', ['qwen'], true)
const snapshot = snapshotOf([openai, azure, groq], {
  smart: [
    ['openai', 'gpt-4o-mini'],
    ['azure', 'gpt-4.1', 1],
  ],
  'gpt-4o': [['azure', 'gpt-4o']],
  empty: [],
  mixed: [
    ['openai', 'text-embedding-3-small'],
    ['azure', 'gpt-4.1'],
  ],
})

describe('a name', () => {
  test.each([
    ['smart', ['openai/gpt-4o-mini', 'azure/gpt-4.1'], 'smart'],
    ['openai/gpt-4o-mini', ['openai/gpt-4o-mini'], undefined],
    ['gpt-4o-mini', ['openai/gpt-4o-mini'], undefined],
    ['gpt-4o', ['azure/gpt-4o'], 'gpt-4o'],
    ['groq/openai/gpt-oss-120b', ['groq/openai/gpt-oss-120b'], undefined],
  ])('%s is served by %j', (name, expected, alias) => {
    const candidates = route(snapshot, anyone, name, 'chat', () => 0)
    expect(targets(candidates)).toEqual(expected)
    expect(candidates.map((candidate) => candidate.alias)).toEqual(expected.map(() => alias))
    expect(candidates[0]?.entry?.name).toBe(candidates[0]?.model)
  })

  test('that several providers serve is not found, and the message names the ways out', () => {
    const ambiguous = snapshotOf([openai, azure])
    expect(() => route(ambiguous, anyone, 'gpt-4o', 'chat')).toThrow(
      expect.objectContaining({
        code: 'model_not_found',
        param: 'model',
        message: expect.stringContaining('"openai/gpt-4o", "azure/gpt-4o"'),
      }),
    )
    expect(() => route(ambiguous, callerWith(['azure/*']), 'gpt-4o', 'chat')).toThrow(/one of them: "azure\/gpt-4o"\./)
  })

  test('that begins with a provider is for that provider alone, whoever else has a model of that name', () => {
    expect(() => route(snapshot, anyone, 'openai/gpt-oss-120b', 'chat')).toThrow(
      expect.objectContaining({ code: 'model_not_found' }),
    )
    const withoutOpenAi = snapshotOf([groq])
    expect(targets(route(withoutOpenAi, anyone, 'openai/gpt-oss-120b', 'chat'))).toEqual(['groq/openai/gpt-oss-120b'])
    const disabled = snapshotOf([groq, local], {}, ['openai'])
    expect(() => route(disabled, anyone, 'openai/gpt-oss-120b', 'chat')).toThrow('The provider "openai" is disabled')
  })

  test('that nobody knows goes to the one provider that passes names on', () => {
    const passing = snapshotOf([openai, local])
    const [candidate] = route(passing, anyone, 'brand-new', 'chat')
    expect(candidate).toMatchObject({ provider: { name: 'local' }, model: 'brand-new', entry: undefined })
    expect(targets(route(passing, anyone, 'local/brand/new', 'chat'))).toEqual(['local/brand/new'])
    expect(targets(route(passing, anyone, 'gpt-4o-mini', 'chat'))).toEqual(['openai/gpt-4o-mini'])
    const two = snapshotOf([local, providerOf('other', [], true)])
    expect(() => route(two, anyone, 'brand-new', 'chat')).toThrow('"local/brand-new", "other/brand-new"')
  })

  test('that only a rule of the catalog knows is served as it was sent, at the price of the model', () => {
    for (const name of ['openai/gpt-4o-mini@20240718', 'gpt-4o-mini@20240718']) {
      const [candidate] = route(snapshot, anyone, name, 'chat')
      expect(candidate).toMatchObject({
        provider: { name: 'openai' },
        model: 'gpt-4o-mini@20240718',
        entry: { name: 'gpt-4o-mini' },
      })
    }
    expect(() => route(snapshotOf([openai, azure, local]), anyone, 'gpt-4o@1', 'chat')).toThrow(
      '"openai/gpt-4o@1", "azure/gpt-4o@1"',
    )
    expect(() => route(snapshot, callerWith(['openai/gpt-4o-mini']), 'openai/gpt-4o-mini@1', 'chat')).toThrow(
      expect.objectContaining({ code: 'model_not_allowed' }),
    )
  })

  test.each(['', '/', 'openai/', '/gpt-4o', 'openai', '__proto__', 'gpt-4o-maxi-extra'])('%j is not found', (name) => {
    expect(() => route(snapshotOf([openai, azure]), anyone, name, 'chat')).toThrow(
      expect.objectContaining({ code: 'model_not_found' }),
    )
    expect(() => route(snapshotOf([local]), anyone, name === '' ? name : 'local/', 'chat')).toThrow('There is no model')
  })

  test('that is nearly right gets a suggestion, of what the key may use', () => {
    expect(() => route(snapshot, anyone, 'gpt4o-mini', 'chat')).toThrow('Did you mean "gpt-4o-mini"')
    expect(() => route(snapshot, anyone, 'smrt', 'chat')).toThrow('Did you mean "smart"')
    expect(() => route(snapshot, callerWith(['groq/*']), 'gpt4o-mini', 'chat')).toThrow(/"gpt4o-mini"\. GET/)
  })

  test('is repeated in messages without what could garble a log', () => {
    expect(() => route(snapshot, anyone, `a\n\u001b[31m\u202e${'x'.repeat(500)}`, 'chat')).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^There is no model "a\?\?\[31m\?x{1,200}"/) }),
    )
  })
})

describe('what a key may use', () => {
  test.each<[allowed: string[], name: string, expected: string[]]>([
    [['smart'], 'smart', ['openai/gpt-4o-mini', 'azure/gpt-4.1']],
    [['openai/*'], 'smart', ['openai/gpt-4o-mini']],
    [['azure/*'], 'smart', ['azure/gpt-4.1']],
    [['openai/*'], 'openai/gpt-4o', ['openai/gpt-4o']],
    [['openai/*'], 'gpt-4o-mini', ['openai/gpt-4o-mini']],
    [['gpt-4o*'], 'gpt-4o-mini', ['openai/gpt-4o-mini']],
    [['gpt-4o*'], 'gpt-4o', ['azure/gpt-4o']],
    [['*'], 'groq/openai/gpt-oss-120b', ['groq/openai/gpt-oss-120b']],
  ])('%j: %s is served by %j', (allowed, name, expected) => {
    expect(targets(route(snapshot, callerWith(allowed), name, 'chat', () => 0))).toEqual(expected)
  })

  test.each<[allowed: string[], name: string]>([
    [[], 'smart'],
    [['groq/*'], 'smart'],
    [['smart'], 'gpt-4o-mini'],
    [['smart'], 'openai/gpt-4o-mini'],
    [['gpt-4o*'], 'openai/gpt-4o-mini'],
    [['gpt-4o*'], 'smart'],
    [['openai/*'], 'azure/gpt-4o'],
    [['openai/*'], 'gpt-4o'],
  ])('%j: %s is not allowed', (allowed, name) => {
    expect(() => route(snapshot, callerWith(allowed), name, 'chat')).toThrow(
      expect.objectContaining({ code: 'model_not_allowed', param: 'model' }),
    )
  })

  test('a pattern of one provider does not reach the look-alike model of another', () => {
    const withoutOpenAi = snapshotOf([groq, local])
    for (const name of ['openai/gpt-oss-120b', 'openai/anything']) {
      expect(() => route(withoutOpenAi, callerWith(['openai/*']), name, 'chat')).toThrow(
        expect.objectContaining({ code: 'model_not_allowed' }),
      )
    }
  })

  test('no name whatsoever reaches a target that neither its alias nor itself nor its bare name allows', () => {
    const allowed = ['smart', 'azure/gpt-4.1', 'llama*']
    const world = snapshotOf([openai, azure, groq, local], { smart: [['openai', 'gpt-4o']], dumb: [['local', 'qwen']] })
    const part = fc.constantFrom(
      'smart',
      'dumb',
      'openai',
      'azure',
      'groq',
      'local',
      'gpt-4.1',
      'gpt-4o',
      'qwen',
      'llama',
      '/',
      '/',
      '',
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const name = parts.join('')
        let reached: readonly Candidate[] = []
        try {
          reached = route(world, callerWith(allowed), name, 'chat')
        } catch {
          return
        }
        for (const { provider, model, alias } of reached) {
          const isFine =
            alias === 'smart' ||
            `${provider.name}/${model}` === 'azure/gpt-4.1' ||
            (name === model && /^llama/.test(model))
          expect(isFine, `${name} reached ${provider.name}/${model}`).toBe(true)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the order of targets', () => {
  const pool = ['a', 'b', 'c', 'd'].map((name) => providerOf(name, ['m']))
  const first = (world: RoutingSnapshot, random: () => number) =>
    route(world, anyone, 'x', 'chat', random)[0]?.provider.name

  test('goes by priority, whatever the weights and the dice', () => {
    const world = snapshotOf(pool, {
      x: [
        ['a', 'm', 0, 1],
        ['b', 'm', 0, 0],
        ['c', 'm', 1, 1_000_000],
        ['d', 'm', 2, 5],
      ],
    })
    fc.assert(
      fc.property(fc.double({ min: 0, max: 0.999999999, noNaN: true }), (dice) => {
        expect(targets(route(world, anyone, 'x', 'chat', () => dice))).toEqual(['a/m', 'b/m', 'c/m', 'd/m'])
      }),
    )
  })

  test('shares first places by weight among equals', () => {
    const world = snapshotOf(pool, {
      x: [
        ['a', 'm', 0, 6],
        ['b', 'm', 0, 3],
        ['c', 'm', 0, 1],
        ['d', 'm', 0, 0],
      ],
    })
    const draws = Array.from({ length: 1_000 }, (_, index) => first(world, () => (index + 0.5) / 1_000))
    const share = (name: string) => draws.filter((each) => each === name).length
    expect([share('a'), share('b'), share('c'), share('d')]).toEqual([600, 300, 100, 0])
  })

  test('a sticky alias gives the same value the same order, and shares values by weight', () => {
    const world = snapshotOf(pool, {
      x: [
        ['a', 'm', 0, 6],
        ['b', 'm', 0, 3],
        ['c', 'm', 0, 1],
        ['d', 'm', 0, 0],
      ],
    })
    const x = world.aliases.get('x') as AliasEntry
    const sticky: RoutingSnapshot = { ...world, aliases: new Map([['x', { ...x, settings: { sticky: 'user' } }]]) }
    const orderFor = (value: string | undefined, dice: number, from = sticky) =>
      targets(
        route(
          from,
          anyone,
          'x',
          'chat',
          () => dice,
          () => value,
        ),
      )
    const values = Array.from({ length: 2_000 }, (_, index) => `user-${index}`)
    const firsts = values.map((value) => {
      const order = orderFor(value, 0)
      expect(orderFor(value, 0.999)).toEqual(order)
      expect(order.at(-1)).toBe('d/m')
      return order[0]
    })
    const share = (name: string) => firsts.filter((each) => each === name).length / values.length
    expect(share('a/m')).toBeCloseTo(0.6, 1)
    expect(share('b/m')).toBeCloseTo(0.3, 1)
    expect(share('c/m')).toBeCloseTo(0.1, 1)

    // A target that goes moves nobody but those who were with it.
    const without: RoutingSnapshot = {
      ...sticky,
      aliases: new Map([['x', { ...x, settings: { sticky: 'user' }, targets: x.targets.slice(0, 2) }]]),
    }
    for (const [index, value] of values.entries()) {
      if (firsts[index] !== 'c/m') expect(orderFor(value, 0, without)[0]).toBe(firsts[index])
    }
    expect(orderFor(undefined, 0)[0]).not.toBe(orderFor(undefined, 0.999)[0])
  })

  test('does not draw a weight of 0 first, not even with the lowest throw', () => {
    const world = snapshotOf(pool, {
      x: [
        ['a', 'm', 0, 0],
        ['b', 'm', 0, 1],
      ],
    })
    expect(targets(route(world, anyone, 'x', 'chat', () => 0))).toEqual(['b/m', 'a/m'])
  })

  test('keeps every target exactly once, and those of weight 0 last', () => {
    const weights = fc.array(fc.nat(3), { minLength: 4, maxLength: 4 })
    const dice = fc.infiniteStream(fc.double({ min: 0, max: 0.999999999, noNaN: true }))
    fc.assert(
      fc.property(weights, dice, (weight, stream) => {
        const world = snapshotOf(pool, { x: pool.map(({ name }, index) => [name, 'm', 0, weight[index] as number]) })
        const order = route(world, anyone, 'x', 'chat', () => stream.next().value as number).map(
          ({ provider }) => provider.name,
        )
        expect([...order].sort()).toEqual(['a', 'b', 'c', 'd'])
        const isIdle = order.map((name) => weight[pool.findIndex((each) => each.name === name)] === 0)
        expect([...isIdle].sort()).toEqual(isIdle)
      }),
    )
  })

  test('leaves the snapshot as it is', () => {
    const world = snapshotOf(pool, {
      x: [
        ['a', 'm'],
        ['b', 'm'],
        ['c', 'm'],
      ],
    })
    const before = world.aliases.get('x')?.targets.map(({ provider }) => provider.name)
    for (let dice = 0; dice < 1; dice += 0.1) route(world, anyone, 'x', 'chat', () => dice)
    expect(world.aliases.get('x')?.targets.map(({ provider }) => provider.name)).toEqual(before)
  })
})

describe('operations', () => {
  test('an embedding model does not chat, alone or as one target of an alias', () => {
    expect(() => route(snapshot, anyone, 'text-embedding-3-small', 'chat')).toThrow('does not do chat completions')
    expect(targets(route(snapshot, anyone, 'text-embedding-3-small', 'embeddings'))).toHaveLength(1)
    expect(targets(route(snapshot, anyone, 'mixed', 'chat', () => 0))).toEqual(['azure/gpt-4.1'])
  })

  test('an alias without targets says so', () => {
    expect(() => route(snapshot, anyone, 'empty', 'chat')).toThrow('The alias "empty" has no enabled target')
  })
})

describe('the list of models', () => {
  const ids = (caller: Caller, world = snapshot) => listModels(world, caller).map(({ id }) => id)

  test('has aliases, qualified names, and bare names where they are unambiguous', () => {
    expect(ids(anyone)).toEqual([
      'smart',
      'gpt-4o',
      'mixed',
      'openai/gpt-4o',
      'openai/gpt-4o-mini',
      'openai/text-embedding-3-small',
      'azure/gpt-4o',
      'azure/gpt-4.1',
      'groq/openai/gpt-oss-120b',
      'groq/llama-3.3-70b',
      'gpt-4o-mini',
      'text-embedding-3-small',
      'gpt-4.1',
      'llama-3.3-70b',
    ])
  })

  test('leaves out what the gateway does not serve', () => {
    const world = snapshotOf([providerOf('openai', ['gpt-4o', modelOf('dall-e-3', 'image_generation')])], {
      painter: [['openai', 'dall-e-3']],
    })
    expect(ids(anyone, world)).toEqual(['openai/gpt-4o', 'gpt-4o'])
  })

  test('has the form of OpenAI', () => {
    expect(getModel(snapshot, anyone, 'smart')).toEqual({
      id: 'smart',
      object: 'model',
      created: 1_800_000_000,
      owned_by: 'llmgw',
    })
    expect(getModel(snapshot, anyone, 'gpt-4o-mini')).toEqual({
      id: 'gpt-4o-mini',
      object: 'model',
      created: 1_700_000_000,
      owned_by: 'openai',
    })
  })

  test.each<[string[] | undefined]>([
    [undefined],
    [[]],
    [['smart']],
    [['openai/*']],
    [['gpt-4o*']],
    [['*mini']],
    [['groq/*', 'empty']],
  ])('holds, for %j, exactly the names that can be routed', (allowed) => {
    const caller = callerWith(allowed)
    const every = ids(anyone)
    const routable = every.filter((name) =>
      (['chat', 'embeddings'] as const).some((operation) => {
        try {
          return route(snapshot, caller, name, operation).length > 0
        } catch {
          return false
        }
      }),
    )
    expect(ids(caller)).toEqual(routable)
    for (const name of every) expect(getModel(snapshot, caller, name) !== undefined).toBe(routable.includes(name))
  })

  test('does not know what would merely be passed on', () => {
    expect(getModel(snapshotOf([local]), anyone, 'local/brand-new')).toBeUndefined()
    expect(getModel(snapshotOf([local]), anyone, 'brand-new')).toBeUndefined()
  })
})
