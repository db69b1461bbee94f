import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { allowedModelsOf, patternProblem } from './allowed-models.ts'
import type { Caller } from './caller.ts'

const callerWith = (allowedModels: readonly string[] | undefined): Caller => ({
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

const allows = (pattern: string, name: string) => allowedModelsOf(callerWith([pattern]))?.allowsName(name)

describe('a pattern', () => {
  test.each([
    ['smart', 'smart'],
    ['openai/*', 'openai/gpt-4o-mini'],
    ['openai/*', 'openai/'],
    ['together/*', 'together/meta-llama/Llama-3-70b'],
    ['gpt-4o*', 'gpt-4o'],
    ['gpt-4o*', 'gpt-4o-mini'],
    ['*/gpt-4o', 'azure/gpt-4o'],
    ['*', 'anything/at-all'],
    ['a*b*c', 'a-b-b-c'],
    ['*aa*aa*', 'aaaa'],
  ])('%s matches %s', (pattern, name) => {
    expect(allows(pattern, name)).toBe(true)
  })

  test.each([
    ['smart', 'smarter'],
    ['smart', 'not-smart'],
    ['smart', 'Smart'],
    ['openai/*', 'openai'],
    ['openai/*', 'openai-eu/gpt-4o'],
    ['openai/*', 'azure/openai/gpt-4o'],
    ['gpt-4o*', 'openai/gpt-4o'],
    ['gpt.4o', 'gpt-4o'],
    ['ab*ba', 'aba'],
    ['*aa*aa*', 'aaa'],
    ['', 'smart'],
  ])('%s does not match %s', (pattern, name) => {
    expect(allows(pattern, name)).toBe(false)
  })

  test('means what the same regular expression means', () => {
    const unit = fc.constantFrom('a', 'b', '/', '*')
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 8 }), fc.string({ unit, maxLength: 12 }), (pattern, name) => {
        expect(allows(pattern, name)).toBe(new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name))
      }),
      { numRuns: 2_000 },
    )
  })

  test('with a slash never allows a bare name, one without does', () => {
    const allowed = allowedModelsOf(callerWith(['openai/*', 'gpt-4o*']))
    expect(allowed?.allowsBareName('openai/gpt-oss-120b')).toBe(false)
    expect(allowed?.allowsBareName('gpt-4o-mini')).toBe(true)
    expect(allowedModelsOf(callerWith(['*']))?.allowsBareName('openai/gpt-oss-120b')).toBe(true)
  })
})

test('a key without patterns may use everything, one with an empty list nothing', () => {
  expect(allowedModelsOf(callerWith(undefined))).toBeUndefined()
  const nothing = allowedModelsOf(callerWith([]))
  expect(nothing?.allowsName('smart')).toBe(false)
  expect(nothing?.allowsBareName('smart')).toBe(false)
})

test('patterns are compiled once for a cached key', () => {
  const caller = callerWith(['openai/*'])
  expect(allowedModelsOf(caller)).toBe(allowedModelsOf(caller))
})

describe('patternProblem', () => {
  test.each(['smart', 'openai/*', 'gpt-4o*', 'together/meta-llama/Llama-3-70b', 'us.anthropic.claude-v1:0', '*'])(
    'accepts %s',
    (pattern) => {
      expect(patternProblem(pattern)).toBeUndefined()
    },
  )

  test.each(['', ' smart', 'smärt', 'gpt-[34]', 'gpt-?', '{a,b}', 'openai/**', 'a\\*', 'x'.repeat(201)])(
    'refuses %j',
    (pattern) => {
      expect(patternProblem(pattern)).toEqual(expect.any(String))
    },
  )
})
