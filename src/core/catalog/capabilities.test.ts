import { expect, test } from 'vitest'
import { capabilitiesOf } from './capabilities.ts'

test('a dated snapshot and a name with its maker are known by the plain name', () => {
  const known = capabilitiesOf('gpt-4o')
  expect(known).toMatchObject({ contextWindowTokens: 128_000, maxOutputTokens: 16_384 })
  for (const name of ['gpt-4o-2024-08-06', 'openai/gpt-4o']) expect(capabilitiesOf(name), name).toBe(known)
  for (const name of ['claude-opus-4-5-20251101', 'claude-opus-4-5@20251101']) {
    expect(capabilitiesOf(name), name).toMatchObject({ features: { reasoning: true } })
  }
})

test('a model of another name is not', () => {
  expect(capabilitiesOf('gpt-4o-search-preview')).toBeUndefined()
  expect(capabilitiesOf('my-gpt-4o')).toBeUndefined()
})
