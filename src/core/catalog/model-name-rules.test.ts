import { expect, test } from 'vitest'
import { createNameResolver, exactNamesOf, matchesName, type NameMatch } from './model-name-rules.ts'

test.each<[NameMatch, string[], string[]]>([
  [{ equals: 'GPT-4o' }, ['gpt-4o', 'GPT-4O'], ['gpt-4o-mini', 'gpt-4']],
  [{ starts_with: 'claude-' }, ['claude-x', 'Claude-x'], ['x-claude-']],
  [{ ends_with: '-Lite' }, ['x-lite'], ['x-lite-2']],
  [{ contains: 'nova' }, ['amazon.NOVA.x'], ['novel']],
  [{ regex: '^gpt-\\d$' }, ['gpt-5'], ['GPT-5', 'gpt-55']],
  [{ or: [{ equals: 'a' }, { equals: 'b' }] }, ['a', 'B'], ['ab']],
  [{ and: [{ starts_with: 'a' }, { regex: '^(?!.*tts)' }] }, ['ab'], ['a-tts', 'b']],
])('%j', (match, accepted, refused) => {
  for (const name of accepted) expect(matchesName(match, name), name).toBe(true)
  for (const name of refused) expect(matchesName(match, name), name).toBe(false)
})

test('the first rule of the catalog decides, and other catalogs have no say', () => {
  const resolve = createNameResolver([
    { catalog: 'two', name: 'other', match: { contains: '' } },
    { catalog: 'one', name: 'mini', match: { starts_with: 'model-mini' } },
    { catalog: 'one', name: 'model', match: { starts_with: 'model' } },
  ])
  expect(resolve('one', 'model-mini-2026')).toBe('mini')
  expect(resolve('one', 'model-2026')).toBe('model')
  expect(resolve('one', 'another')).toBeUndefined()
  expect(resolve('three', 'model')).toBeUndefined()
})

test('exact names are those that are equal, in any of the alternatives', () => {
  const match: NameMatch = { or: [{ equals: 'a' }, { starts_with: 'b' }, { or: [{ equals: 'c' }] }] }
  expect(exactNamesOf(match)).toEqual(['a', 'c'])
  expect(exactNamesOf({ and: [{ equals: 'a' }, { regex: 'x' }] })).toEqual([])
})
