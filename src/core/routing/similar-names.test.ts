import fc from 'fast-check'
import { expect, test } from 'vitest'
import { comparable, similarNames } from './similar-names.ts'

const similar = (name: string, names: string[], mayShow = (_: string) => true) =>
  similarNames(name, names.map(comparable), mayShow)

const names = ['gpt-4o', 'gpt-4o-mini', 'openai/gpt-4o', 'claude-sonnet-4-5', 'smart', 'o3']

test.each([
  ['GPT4o', ['gpt-4o']],
  ['gpt-4o-mni', ['gpt-4o-mini']],
  ['gtp-4o', ['gpt-4o']],
  ['claude', ['claude-sonnet-4-5']],
  ['sonnet-4-5', ['claude-sonnet-4-5']],
  ['something-else-entirely', []],
  ['o1', []],
  ['', []],
  ['x'.repeat(101), []],
])('%j may have meant %j', (name, expected) => {
  expect(similar(name, names).slice(0, Math.max(expected.length, 1))).toEqual(expected)
})

test('at most three, the nearest first', () => {
  const many = ['modelaa', 'model-x', 'modela', 'model', 'modelbb']
  expect(similar('Model', many)).toEqual(['model', 'modela', 'model-x'])
})

test('what may not be shown makes room for what may', () => {
  expect(similar('modela', ['modelb', 'modelc', 'modeld', 'modele'], (name) => name > 'modelb')).toEqual([
    'modelc',
    'modeld',
    'modele',
  ])
})

test('two typing errors are forgiven wherever they are, three are not', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 6, maxLength: 20 })
  fc.assert(
    fc.property(letters, letters, (a, b) => {
      const expected = distance(a, b) <= 2 || b.startsWith(a) || b.endsWith(a)
      expect(similar(a, [b]).length === 1).toBe(expected)
    }),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(letters, fc.nat(5), fc.nat(5), (name, removed, replaced) => {
      const typed = name.slice(0, removed) + name.slice(removed + 1)
      const twice = `${typed.slice(0, replaced)}z${typed.slice(replaced + 1)}`
      expect(similar(twice, [name])).toEqual([name])
    }),
  )
})

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
