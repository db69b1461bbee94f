import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockFolder } from './folder-lock.ts'

let folder: string
const children: ChildProcess[] = []
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'llmgw-lock-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await rm(folder, { recursive: true })
})

const times = { heartbeatMs: 20, abandonedAfterMs: 200 }
const lockFile = () => path.join(folder, 'gateway.lock')
const readLock = async () => JSON.parse(await readFile(lockFile(), 'utf8'))

/** Another process that tries to take the folder and then stays; resolves with what it says. */
async function startOther(): Promise<{ child: ChildProcess; said: string }> {
  const script = `
    import { lockFolder } from ${JSON.stringify(path.join(import.meta.dirname, 'folder-lock.ts'))}
    process.stdin.once('data', async () => {
      const said = await lockFolder(${JSON.stringify(folder)}).then(() => 'locked', (error) => error.message)
      console.log(said)
    })
    console.log('ready')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  await once(child.stdout as NodeJS.EventEmitter, 'data')
  child.stdin?.write('go\n')
  const [said] = await once(child.stdout as NodeJS.EventEmitter, 'data')
  return { child, said: String(said).trim() }
}

test('a second start is refused with a sentence that names the first', async () => {
  const lock = await lockFolder(folder)
  const { said } = await startOther()
  expect(said).toContain(`Another gateway (pid ${process.pid}) is using the data folder ${folder}`)
  await lock.release()
  expect(await readdir(folder)).toEqual([])
})

test('the lock of a killed process is taken over', async () => {
  const { child, said } = await startOther()
  expect(said).toBe('locked')
  await expect(lockFolder(folder)).rejects.toMatchObject({ reason: 'data_folder_in_use' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await lockFolder(folder)
  expect((await readLock()).pid).toBe(process.pid)
  await lock.release()
})

test('a lock whose pid now belongs to another process is taken over', async () => {
  const lock = await lockFolder(folder)
  const held = await readLock()
  await lock.release()
  await writeFile(lockFile(), JSON.stringify({ ...held, id: 'earlier', processStart: '1' }))
  await (await lockFolder(folder)).release()
  expect(await readdir(folder)).toEqual([])
})

test('a lock that a power failure tore is taken over', async () => {
  await writeFile(lockFile(), '{"id": "ea')
  await (await lockFolder(folder)).release()
})

test('of many starts that find a stale lock exactly one gets it', async () => {
  for (let round = 0; round < 5; round++) {
    const lock = await lockFolder(folder)
    const held = await readLock()
    await lock.release()
    await writeFile(lockFile(), JSON.stringify({ ...held, id: `stale-${round}`, processStart: '1' }))
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder(folder)))
    const winners = results.filter((result) => result.status === 'fulfilled')
    expect(winners).toHaveLength(1)
    expect((await readLock()).pid).toBe(process.pid)
    await winners[0]?.value.release()
    expect(await readdir(folder)).toEqual([])
  }
})

test('a start that was killed in the middle of taking over does not block the next', async () => {
  const lock = await lockFolder(folder)
  const held = await readLock()
  await lock.release()
  await writeFile(lockFile(), JSON.stringify({ ...held, id: 'first', processStart: '1' }))
  await writeFile(`${lockFile()}.first`, JSON.stringify({ ...held, id: 'second', processStart: '1' }))
  await (await lockFolder(folder)).release()
  expect(await readdir(folder)).toEqual([])
})

test('a lock from another container holds while its heart beats, and no longer', async () => {
  const lock = await lockFolder(folder)
  const held = await readLock()
  await lock.release()
  await writeFile(lockFile(), JSON.stringify({ ...held, id: 'elsewhere', pidNamespace: 'pid:[1]' }))
  const heartbeat = setInterval(() => void utimes(lockFile(), new Date(), new Date()), times.heartbeatMs)
  try {
    await expect(lockFolder(folder, times)).rejects.toThrow(/Another gateway/)
  } finally {
    clearInterval(heartbeat)
  }
  const taken = await lockFolder(folder, times)
  expect((await readLock()).id).not.toBe('elsewhere')
  await taken.release()
})

test('letting go does not remove a lock that is no longer ours', async () => {
  const lock = await lockFolder(folder)
  const other = JSON.stringify({ ...(await readLock()), id: 'other' })
  await writeFile(lockFile(), other)
  await lock.release()
  expect(await readFile(lockFile(), 'utf8')).toBe(other)
})
