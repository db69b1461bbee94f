import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { loadConfig } from './load-config.ts'
import { examplePath, referencePath, renderReference } from './reference.ts'

const example = readFileSync(examplePath, 'utf8')

test('docs/configuration.md is what the schemas say (npm run docs:config)', () => {
  expect(readFileSync(referencePath, 'utf8')).toBe(renderReference(example))
})

test('every variable and field has a meaning', () => {
  const rows = renderReference(example)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
  expect(rows.length).toBeGreaterThan(90)
  expect(rows.filter((row) => / \|\s*\|$/.test(row))).toEqual([])
})

test('fields show what is required and what is the default', () => {
  const rendered = renderReference('')
  expect(rendered).toContain('| `LLMGW_PORT` | port | `8080` |')
  expect(rendered).toContain('| `idleMs` | whole number | `60000` |')
  expect(rendered).toContain('| `inputUsdPerMillion` | dollars | `15` |')
  expect(rendered).toMatch(/\| `period` \| `hour` or .* \| \*\*required\*\* \|/)
  expect(rendered).toContain('### `usage.journal`')
  expect(rendered).toContain('### `providers[]` of type `openai-compatible`')
  expect(rendered.match(/### `providers\[\]\.timeouts`/g)).toHaveLength(1)
})

test('the example loads', () => {
  const environment = {
    LLMGW_CONFIG: examplePath,
    OPENAI_API_KEY: 'sk-example',
    CHECKOUT_KEY: 'a-key-of-twenty-characters',
    LLMGW_PRIVATE_UPSTREAMS: '10.0.0.0/8',
  }
  const result = loadConfig(environment)
  expect(result.ok ? [] : result.problems).toEqual([])
  expect(result.ok && result.config.declared.providers.map(({ name }) => name)).toEqual(['openai', 'local', 'demo'])
})
