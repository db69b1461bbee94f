import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/core/db/embedded-postgres.ts'
import { readPostmasterFile } from '../../src/core/db/postmaster.ts'
import { createRecordingLog, silent, warningsOnly } from '../support/log.ts'

const asRoot = process.geteuid?.() === 0
const nobody = { uid: 65534, gid: 65534 }

let dataDir: string
const closers: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  dataDir = await mkdtemp(path.join(tmpdir(), 'llmgw-pg-')) // mode 0700, which closes it to the server's own user
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await rm(dataDir, { recursive: true, force: true, maxRetries: 10 })
})

const clusterFolder = (home = dataDir) => path.join(home, 'postgres/data')

async function start(options: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, log: silent, durable: false, ...options })
  closers.push(() => postgres.close())
  return postgres
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

const serverPid = async (home = dataDir) => (await readPostmasterFile(clusterFolder(home)))?.pid as number

async function hasEnded(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return status === undefined || status.slice(status.lastIndexOf(')') + 2).startsWith('Z')
}

const untilTerminated = `
  const alive = setInterval(() => {}, 1000)
  process.once('SIGTERM', () => postgres.close().finally(() => clearInterval(alive)))`

interface OtherGateway {
  child: ChildProcess
  url: string
}

/** A process of its own that starts the database and then goes on with `program`; it leads its own process group. */
async function startOther({
  program = 'setInterval(() => {}, 1000)',
  ...as
}: {
  program?: string
  uid?: number
  gid?: number
} = {}) {
  const script = `
    import { startEmbeddedPostgres } from ${JSON.stringify(path.resolve('src/core/db/embedded-postgres.ts'))}
    const log = { debug() {}, info() {}, warn() {}, error: console.error }
    const postgres = await startEmbeddedPostgres({ dataDir: ${JSON.stringify(dataDir)}, log, durable: true })
    ${program}
    console.log(postgres.url) // whoever reads it may send a signal at once`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    ...as,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  closers.push(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  })
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const url = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve)
    child.once('exit', (code) => reject(new Error(`The other gateway ended with ${code}.`)))
  })
  return { child, url } satisfies OtherGateway
}

test('what was written is there after a restart', async () => {
  const first = await start({ durable: true })
  await query(first.url, 'create table kept as select 42 as answer')
  await first.close()
  const second = await start({ durable: true })
  expect(await query(second.url, 'select answer from kept')).toEqual([{ answer: 42 }])
  expect(await query(second.url, `select current_setting('fsync') as fsync`)).toEqual([{ fsync: 'on' }])
})

test('it takes the password over a private socket, nothing else and nobody else', async () => {
  const { url } = await start()
  const wrong = new URL(url)
  wrong.password = 'wrong'
  await expect(query(wrong.href, 'select 1')).rejects.toThrow(/password authentication failed/)
  expect(await query(url, `select current_setting('listen_addresses') as tcp`)).toEqual([{ tcp: '' }])
  const modes = await Promise.all(
    ['postgres', 'postgres/data', 'postgres/password', 'postgres/postgres.log'].map(async (entry) =>
      ((await stat(path.join(dataDir, entry))).mode & 0o777).toString(8),
    ),
  )
  expect(modes).toEqual(['700', '700', '600', '600'])
  expect(await readFile(path.join(dataDir, 'postgres/postgres.log'), 'utf8')).not.toContain(new URL(url).password)
})

test('a folder with a long path works', async () => {
  const long = path.join(dataDir, 'x'.repeat(120), 'y'.repeat(120))
  await mkdir(long, { recursive: true })
  const { url } = await start({ dataDir: long })
  expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test.runIf(asRoot)('the server runs without rights, and the host has no new users', async () => {
  const users = await readFile('/etc/passwd', 'utf8')
  await start()
  const status = await readFile(`/proc/${await serverPid()}/status`, 'utf8')
  expect(status).toMatch(/^Uid:\s+65534\s+65534\s+65534\s+65534$/m)
  expect(status).toMatch(/^Gid:\s+65534\s+65534\s+65534\s+65534$/m)
  expect(status).toMatch(/^Groups:\s*$/m)
  expect(await readFile('/etc/passwd', 'utf8')).toBe(users)
})

test.runIf(asRoot)('it runs as somebody else, too, and root can take over and hand back what that made', async () => {
  await chown(dataDir, nobody.uid, nobody.gid)
  const other = await startOther({ ...nobody, program: untilTerminated })
  await query(other.url, 'create table kept ()')
  other.child.kill('SIGTERM')
  await once(other.child, 'exit')

  const { url, close } = await start()
  await query(url, 'select from kept')
  await close()
  const again = await startOther({ ...nobody, program: untilTerminated })
  await query(again.url, 'select from kept')
  again.child.kill('SIGTERM')
  await once(again.child, 'exit')
})

test('a second start while the first lives is refused and does not disturb it', async () => {
  const { url } = await start()
  await expect(startEmbeddedPostgres({ dataDir, log: silent })).rejects.toMatchObject({
    reason: 'data_folder_in_use',
    message: expect.stringContaining(`Another gateway (pid ${process.pid})`),
  })
  expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('the server that a killed gateway left running is stopped, and its data is whole', async () => {
  const other = await startOther()
  await query(other.url, 'create table kept as select 7 as answer')
  const orphan = await serverPid()
  other.child.kill('SIGKILL')
  await once(other.child, 'exit')
  expect(await hasEnded(orphan)).toBe(false)

  const log = createRecordingLog()
  const { url } = await start({ log })
  expect(await hasEnded(orphan)).toBe(true)
  expect(log.lines).toContainEqual({
    level: 'warn',
    fields: { pid: orphan },
    message: 'Stopping the PostgreSQL that a killed gateway left running.',
  })
  expect(await query(url, 'select answer from kept')).toEqual([{ answer: 7 }])
})

test('a server and a gateway that were both killed are started again, from the journal of the database', async () => {
  const other = await startOther()
  await query(other.url, 'create table kept as select 8 as answer')
  const server = await serverPid()
  other.child.kill('SIGKILL')
  process.kill(server, 'SIGKILL')
  await once(other.child, 'exit')
  await expect.poll(() => hasEnded(server)).toBe(true)
  const { url } = await start()
  expect(await query(url, 'select answer from kept')).toEqual([{ answer: 8 }])
})

test('a pid that now belongs to another process does not block the start, and that process lives', async () => {
  await (await start()).close()
  const stranger = spawn('sleep', ['60'], asRoot ? nobody : {})
  closers.push(async () => stranger.kill('SIGKILL'))
  const file = path.join(clusterFolder(), 'postmaster.pid')
  await writeFile(file, `${stranger.pid}\n/proc/self/cwd\n1\n5432\n.\n\n        1         1\nready   \n`)
  if (asRoot) await chown(file, nobody.uid, nobody.gid)
  const { url } = await start()
  expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(stranger.exitCode).toBeNull()
  expect(await hasEnded(stranger.pid as number)).toBe(false)
})

test('Ctrl-C in the terminal reaches the gateway, not the server, which waits for close', async () => {
  const other = await startOther({
    program: `${untilTerminated}
      process.once('SIGINT', () => console.log('interrupted'))`,
  })
  const server = await serverPid()
  const interrupted = once(other.child.stdout as NodeJS.EventEmitter, 'data')
  process.kill(-(other.child.pid as number), 'SIGINT') // the whole group, as a terminal does
  await interrupted
  expect(await query(other.url, 'select 1 as one')).toEqual([{ one: 1 }])
  other.child.kill('SIGTERM')
  await once(other.child, 'exit')
  expect(await hasEnded(server)).toBe(true)
})

test('a gateway that exits without closing takes the server along', async () => {
  const other = await startOther({ program: 'setTimeout(() => process.exit(1), 50)' })
  const server = await serverPid()
  await query(other.url, 'select 1').catch(() => {})
  if (other.child.exitCode === null) await once(other.child, 'exit')
  await expect.poll(() => hasEnded(server)).toBe(true)
})

test('a server that dies is started again', async () => {
  const log = createRecordingLog()
  const { url } = await start({ log, durable: true })
  await query(url, 'create table kept as select 9 as answer')
  const before = await serverPid()
  process.kill(before, 'SIGKILL')
  await expect
    .poll(() => query(url, 'select answer from kept').catch(() => undefined), { timeout: 15_000 })
    .toEqual([{ answer: 9 }])
  expect(await serverPid()).not.toBe(before)
  expect(log.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toContain(
    'PostgreSQL stopped; starting it again.',
  )
})

test('closing twice is closing once, also while it is being started again', async () => {
  const postgres = await start({ log: silent })
  process.kill(await serverPid(), 'SIGKILL')
  await Promise.all([postgres.close(), postgres.close()])
  const pid = await serverPid()
  expect(pid === undefined || (await hasEnded(pid))).toBe(true)
})

test('a first start that was killed half-way leaves nothing that the next one trips over', async () => {
  await mkdir(path.join(dataDir, 'postgres/new-1/base'), { recursive: true })
  await writeFile(path.join(dataDir, 'postgres/password'), 'of the earlier start\n')
  const { url } = await start()
  expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect((await readdir(path.join(dataDir, 'postgres'))).sort()).toEqual(['data', 'password', 'postgres.log'])
})

test('a volume that opens everything to a group is closed again', async () => {
  await (await start()).close()
  await chmod(clusterFolder(), 0o770)
  await start({ log: warningsOnly })
  expect((await stat(clusterFolder())).mode & 0o777).toBe(0o700)
})

test('the database of another major version is refused with what to do', async () => {
  await (await start()).close()
  await writeFile(path.join(clusterFolder(), 'PG_VERSION'), '17\n')
  await expect(start()).rejects.toMatchObject({
    reason: 'data_folder_unusable',
    message: expect.stringMatching(/made by PostgreSQL 17, this release carries 18.*DATABASE_URL/),
  })
})

test('a server that will not start says why', async () => {
  await (await start()).close()
  await writeFile(path.join(clusterFolder(), 'postgresql.conf'), 'no_such_setting = 1\n')
  await expect(start()).rejects.toMatchObject({
    reason: 'database_start_failed',
    message: expect.stringContaining('no_such_setting'),
  })
})
