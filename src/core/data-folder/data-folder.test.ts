import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openDataFolder } from './data-folder.ts'

let home: string
let dir: string
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'llmgw-data-'))
  dir = path.join(home, 'nested', '.llmgw')
})
afterEach(() => rm(home, { recursive: true }))

const modeOf = async (...parts: string[]) => ((await stat(path.join(dir, ...parts))).mode & 0o777).toString(8)

test('the first start makes a private folder and secrets, and says so; the second finds them', async () => {
  const first = await openDataFolder({ dir })
  expect(first.secrets.generated.map(({ name }) => name)).toEqual(['master-key', 'key-pepper'])
  expect(first.secrets.warnings).toEqual([])
  expect([await modeOf(), await modeOf('secrets'), await modeOf('secrets/master-key')]).toEqual(['700', '700', '600'])
  const { values } = first.secrets
  expect(values['master-key']).toHaveLength(32)
  expect(values['master-key']).not.toEqual(values['key-pepper'])
  await first.close()

  const second = await openDataFolder({ dir })
  expect(second.secrets.generated).toEqual([])
  expect(second.secrets.values).toEqual(values)
  await second.close()
  expect((await readdir(path.join(dir, 'secrets'))).sort()).toEqual(['key-pepper', 'master-key'])
})

test('given secrets win, in base64 or hex, and none is written', async () => {
  const masterKey = randomBytes(32)
  const pepper = randomBytes(32)
  const givenSecrets = { 'master-key': masterKey.toString('base64'), 'key-pepper': ` ${pepper.toString('hex')}\n` }
  const opened = await openDataFolder({ dir, givenSecrets })
  expect(opened.secrets).toEqual({
    values: { 'master-key': masterKey, 'key-pepper': pepper },
    generated: [],
    warnings: [],
  })
  await opened.close()
  expect(await readdir(dir)).toEqual([])
})

test('a copy of the file in the variable is the same secret', async () => {
  const first = await openDataFolder({ dir })
  await first.close()
  const text = await readFile(path.join(dir, 'secrets/master-key'), 'utf8')
  const second = await openDataFolder({ dir, givenSecrets: { 'master-key': text } })
  expect(second.secrets.values['master-key']).toEqual(first.secrets.values['master-key'])
  await second.close()
})

test('a secret that is none is refused without being shown, and the folder is free again', async () => {
  const attempt = openDataFolder({ dir, givenSecrets: { 'master-key': 'hunter2-hunter2' } })
  await expect(attempt).rejects.toMatchObject({ reason: 'secret_invalid', exitCode: 78 })
  await expect(attempt).rejects.toThrow(/^LLMGW_MASTER_KEY must be 32 bytes(?!.*hunter2)/)
  await (await openDataFolder({ dir })).close()
})

test('a damaged secret file is refused and left as it is', async () => {
  await (await openDataFolder({ dir })).close()
  const file = path.join(dir, 'secrets/key-pepper')
  await writeFile(file, 'short\n')
  await expect(openDataFolder({ dir })).rejects.toMatchObject({ reason: 'secret_invalid' })
  expect(await readFile(file, 'utf8')).toBe('short\n')
})

test('secrets that others can read are pointed out', async () => {
  await (await openDataFolder({ dir })).close()
  await chmod(path.join(dir, 'secrets/master-key'), 0o644)
  const opened = await openDataFolder({ dir })
  expect(opened.secrets.warnings).toEqual([expect.stringContaining('secrets/master-key; set its mode to 0600')])
  await opened.close()
})

test('a folder that cannot be made is refused with what to do', async () => {
  await writeFile(path.join(home, 'nested'), 'a file')
  await expect(openDataFolder({ dir })).rejects.toMatchObject({
    reason: 'data_folder_unusable',
    message: expect.stringContaining('LLMGW_DATA_DIR'),
  })
})
