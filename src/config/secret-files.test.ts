import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createConfigLoader } from './load-config.ts'
import { watchSecretFiles } from './secret-files.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'llmgw-secrets-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** A loader of a file whose one secret is in another one, and what is in force after each reload. */
async function setUp(secretPath: string, secret: string) {
  await writeFile(secretPath, secret)
  const configPath = join(folder, 'llmgw.json')
  const credentials = { apiKey: { fromFile: secretPath } }
  const config = (name: string) => JSON.stringify({ providers: [{ name, type: 'openai', credentials }] })
  await writeFile(configPath, config('first'))
  const loader = createConfigLoader({ LLMGW_CONFIG: configPath })
  const inForce = (result = loader.load()) => {
    if (!result.ok) return 'refused'
    const [provider] = result.config.declared.providers
    return `${provider?.name} ${provider?.credentials.apiKey?.reveal()}`
  }
  expect(inForce()).toBe(`first ${secret}`)
  const reloads: string[] = []
  const warnings: string[] = []
  const log = { info: () => {}, warn: (_: object, message: string) => void warnings.push(message) }
  const reload = async () => {
    reloads.push(inForce(loader.loadSecrets()))
    return { ok: reloads.at(-1) !== 'refused' }
  }
  const { look } = watchSecretFiles({ files: loader.secretFiles, reload, log })
  return { look, reloads, warnings, configPath, config }
}

test('a secret that is renewed is taken once it stands still, and only once', async () => {
  const path = join(folder, 'key')
  const { look, reloads } = await setUp(path, 'sk-one')
  await look()
  await writeFile(path, 'sk-t')
  await look()
  await writeFile(path, 'sk-two\n')
  await look()
  expect(reloads).toEqual([])
  await look()
  await look()
  expect(reloads).toEqual(['first sk-two'])
})

test('a symbolic link above it that is swapped is a change, too', async () => {
  for (const [version, secret] of [
    ['v1', 'sk-one'],
    ['v2', 'sk-two'],
  ] as const) {
    await mkdir(join(folder, version))
    await writeFile(join(folder, version, 'key'), secret)
  }
  await symlink('v1', join(folder, 'data'))
  const { look, reloads } = await setUp(join(folder, 'data/key'), 'sk-one')
  await symlink('v2', join(folder, 'next'))
  await rename(join(folder, 'next'), join(folder, 'data'))
  await look()
  await look()
  expect(reloads).toEqual(['first sk-two'])
})

test('one that vanishes keeps what it said last, is missed once, and is taken when it comes back', async () => {
  const path = join(folder, 'key')
  const { look, reloads, warnings } = await setUp(path, 'sk-one')
  await rm(path)
  await look()
  await look()
  expect(reloads).toEqual([])
  expect(warnings).toHaveLength(1)
  await writeFile(path, 'sk-two')
  await look()
  await look()
  expect(reloads).toEqual(['first sk-two'])
})

test('the config file is as it was: what was written into it since waits for its own reload', async () => {
  const path = join(folder, 'key')
  const { look, reloads, configPath, config } = await setUp(path, 'sk-one')
  await writeFile(configPath, config('second'))
  await writeFile(path, 'sk-two')
  await look()
  await look()
  expect(reloads).toEqual(['first sk-two'])
})

test('a secret that cannot be used is refused, and tried again after a while', async () => {
  const path = join(folder, 'key')
  const { look, reloads } = await setUp(path, 'sk-one')
  await writeFile(path, '')
  for (let round = 0; round < 12; round++) await look()
  expect(reloads).toEqual(['refused'])
  for (let round = 0; round < 12; round++) await look()
  expect(reloads).toEqual(['refused', 'refused'])
})
