import { findProvider } from '@pydantic/genai-prices'
import { describe, expect, test } from 'vitest'
import { catalogOfLitellmProvider, genaiProviders } from '../../catalog/catalog-id.ts'
import { isPresetName, type Preset, presets } from './presets.ts'

const all = Object.entries<Preset>(presets)
const bundled = all.flatMap(([name, preset]) => {
  const id = genaiProviders.find(({ catalog }) => catalog === preset.catalogId)?.id
  return id === undefined ? [] : [[name, preset, id] as const]
})

describe('presets', () => {
  test.each(bundled)("%s: the bundled catalog finds its provider by the preset's address", (_name, { baseUrl }, id) => {
    expect(findProvider({ providerApiUrl: baseUrl as string })?.id).toBe(id)
  })

  test('catalogs that are not bundled are those of a catalog sync', () => {
    const others = all.filter(([name]) => !bundled.some(([one]) => one === name)).map(([, { catalogId }]) => catalogId)
    expect(new Set(others)).toEqual(
      new Set([undefined, ...['dashscope', 'deepinfra', 'nvidia_nim', 'sambanova'].map(catalogOfLitellmProvider)]),
    )
  })

  test.each(all)('%s: https unless local, and no slash at the end', (_name, { baseUrl, quirks }) => {
    expect(baseUrl).toMatch(quirks.keyOptional ? /^http:\/\/127\.0\.0\.1:\d+\/v1$/ : /^https:\/\/[^?#]+[^/]$/)
  })

  test('a name is known only when it stands in the table', () => {
    expect(isPresetName('groq')).toBe(true)
    expect(isPresetName('toString')).toBe(false)
  })
})
