import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, fchownSync, openSync, writeSync } from 'node:fs'
import { chmod, chown, lchown, mkdir, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { StartRefusal } from '../start-refusal.ts'
import { locatePostgresBinaries, type PostgresBinaries, type ProcessOwner } from './embedded-postgres-binaries.ts'
import {
  clearEarlierStart,
  dataFolderMark,
  fitsSocketAddress,
  readPostmasterFile,
  starterMark,
  stopProcess,
} from './postmaster.ts'

export interface EmbeddedPostgresOptions {
  /** The gateway's data folder, which exists; everything lies under `postgres/` in it. */
  dataDir: string
  log: Log
  /** False trades safety on power loss for speed; for tests. */
  durable?: boolean
  /** How long a start may take; recovery after a crash is part of it. */
  startTimeoutMs?: number
}

export interface EmbeddedPostgres {
  /** Holds the password: not for logs. Good in this process and its children, for as long as this process lives. */
  readonly url: string
  /** Stops the server; returns when it has flushed and gone. */
  close(): Promise<void>
}

const majorVersion = '18'
const roleName = 'llmgw'
const databaseName = 'postgres'
const pollMs = 5
const logBytesMax = 10 * 1024 * 1024
const restartDelayMsMin = 500
const restartDelayMsMax = 30_000
/** `nobody` nearly everywhere; initdb wants an id that has a name. */
const unprivileged: ProcessOwner = { uid: 65534, gid: 65534 }

/**
 * Starts our own PostgreSQL on a Unix socket, for a gateway that was given no DATABASE_URL.
 *
 * PostgreSQL refuses to run as root; then it runs as an unprivileged user who owns nothing but the cluster's folder.
 * That user need not be able to walk there (root's home is closed to it): the server is started *inside* the folder
 * before rights are dropped, and knows its folder and its socket only as the current one. The socket lies in there,
 * too, which only that user (and root) may enter, and asks for a generated password.
 *
 * The server has a session of its own, so that Ctrl-C in the terminal does not stop it before we have flushed; it is
 * stopped by `close`, or when this process exits without. Should it die, it is started again.
 *
 * @throws StartRefusal with what is wrong and what to do
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log } = options
  const cluster = await prepareCluster(options)
  await clearEarlierStart(cluster.folder, log)
  let server = await launch(cluster, options)

  const stopping = new AbortController()
  // A process that exits without close(), by an uncaught error for example, must not leave the server behind.
  const stopAtExit = () => server.kill('SIGINT')
  process.once('exit', stopAtExit)
  const supervision = supervise()

  const directory = socketDirectory(cluster.folder)
  let closing: Promise<void> | undefined
  return {
    url: databaseUrl(directory.path, cluster.password),
    close: () => {
      closing ??= close()
      return closing
    },
  }

  async function close(): Promise<void> {
    stopping.abort()
    await stop(server)
    await supervision
    await stop(server) // another one by now, if a restart was under way
    process.removeListener('exit', stopAtExit)
    directory.close()
  }

  async function supervise(): Promise<void> {
    let delayMs = restartDelayMsMin
    while (!stopping.signal.aborted) {
      if (isRunning(server)) await once(server, 'exit')
      if (stopping.signal.aborted) return
      log.error({ exitCode: server.exitCode, signal: server.signalCode }, 'PostgreSQL stopped; starting it again.')
      await delay(delayMs, undefined, { signal: stopping.signal, ref: false }).catch(() => undefined)
      if (stopping.signal.aborted) return
      try {
        await clearEarlierStart(cluster.folder, log)
        server = await launch(cluster, options, stopping.signal)
        delayMs = restartDelayMsMin
        log.info({ pid: server.pid }, 'PostgreSQL runs again.')
      } catch (error) {
        delayMs = Math.min(delayMs * 2, restartDelayMsMax)
        if (!stopping.signal.aborted) log.error({ err: error }, 'PostgreSQL did not start.')
      }
    }
  }
}

interface Cluster {
  folder: string
  logFile: string
  password: string
  binaries: PostgresBinaries
  owner: ProcessOwner | undefined
}

/** Finds the programs and the cluster, making one on the first start. */
async function prepareCluster({ dataDir, durable = true, log }: EmbeddedPostgresOptions): Promise<Cluster> {
  const home = path.join(await realpath(dataDir), 'postgres')
  await mkdir(home, { mode: 0o700, recursive: true })
  const folder = path.join(home, 'data')
  const owner = process.geteuid?.() === 0 ? await ownerOf(folder) : undefined
  const binaries = await locatePostgresBinaries(owner)
  const passwordFile = path.join(home, 'password')
  if (!(await stat(folder).catch(() => undefined))) {
    await createCluster({ home, folder, passwordFile, binaries, owner, durable })
    log.info({ folder }, 'Created the built-in database.')
  }
  await checkCluster(folder, owner)
  const password = (await readFile(passwordFile, 'utf8').catch(rethrow('The password of the built-in database'))).trim()
  return { folder, logFile: path.join(home, 'postgres.log'), password, binaries, owner }
}

/** A cluster made when the gateway was not root keeps its owner, so that it can be used without root again. */
async function ownerOf(folder: string): Promise<ProcessOwner> {
  const found = await stat(folder).catch(() => undefined)
  return found && found.uid !== 0 ? { uid: found.uid, gid: found.gid || unprivileged.gid } : unprivileged
}

async function checkCluster(folder: string, owner: ProcessOwner | undefined): Promise<void> {
  const found = await stat(folder)
  const wantedUid = owner?.uid ?? process.geteuid?.()
  if (owner && found.uid === 0) {
    // Restored by root from a backup, for example.
    for (const name of await readdir(folder, { recursive: true })) {
      await lchown(path.join(folder, name), owner.uid, owner.gid)
    }
    await chown(folder, owner.uid, owner.gid)
  } else if (found.uid !== wantedUid) {
    throw new StartRefusal(
      'data_folder_unusable',
      `The built-in database in ${folder} belongs to user id ${found.uid}, and this process runs as ${wantedUid}. Start ` +
        'the gateway as that user or as root, or change the owner of the folder and everything in it.',
    )
  }
  await chmod(folder, 0o700) // volumes that hand everything to a group make PostgreSQL refuse
  const version = (await readFile(path.join(folder, 'PG_VERSION'), 'utf8').catch(rethrow('The database'))).trim()
  if (version !== majorVersion) {
    throw new StartRefusal(
      'data_folder_unusable',
      `The built-in database in ${folder} was made by PostgreSQL ${version}, this release carries ${majorVersion}. Dump ` +
        'it with the release that made it and load it into this one, or set DATABASE_URL.',
    )
  }
}

interface NewCluster extends Omit<Cluster, 'logFile' | 'password'> {
  home: string
  passwordFile: string
  durable: boolean
}

/** Under another name until it is complete: a killed first start leaves no half of a database. */
async function createCluster(cluster: NewCluster): Promise<void> {
  const { home, folder, passwordFile, binaries, owner } = cluster
  for (const name of await readdir(home)) {
    if (name.startsWith('new-')) await rm(path.join(home, name), { recursive: true, force: true })
  }
  const unfinished = path.join(home, `new-${process.pid}`)
  await mkdir(unfinished, { mode: 0o700 })
  if (owner) {
    await chown(unfinished, owner.uid, owner.gid).catch((cause) => {
      throw new StartRefusal(
        'data_folder_unusable',
        `PostgreSQL must not run as root, and ${home} cannot be given to user id ${owner.uid}. Run the gateway as ` +
          'another user, or set DATABASE_URL.',
        { cause },
      )
    })
  }
  const password = randomBytes(24).toString('base64url')
  await rm(passwordFile, { force: true })
  const passwordFd = openSync(passwordFile, 'wx+', 0o600)
  try {
    writeSync(passwordFd, `${password}\n`)
    // initdb opens the file again through its descriptor: no folder to walk through, but it must be the file's owner.
    if (owner) fchownSync(passwordFd, owner.uid, owner.gid)
    await runInitdb({ binaries, owner, folder: unfinished, passwordFd, sync: cluster.durable })
    if (owner) fchownSync(passwordFd, process.geteuid?.() ?? 0, process.getegid?.() ?? 0)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    throw error
  } finally {
    closeSync(passwordFd)
  }
  await rename(unfinished, folder)
  if (cluster.durable) for (const entry of [passwordFile, home]) await syncToDisk(entry)
}

async function runInitdb(run: {
  binaries: PostgresBinaries
  owner: ProcessOwner | undefined
  folder: string
  passwordFd: number
  sync: boolean
}): Promise<void> {
  const child = spawn(
    run.binaries.initdb,
    [
      ...['-D', '/proc/self/cwd', '--username', roleName, '--auth', 'scram-sha-256', '--pwfile', '/proc/self/fd/3'],
      // The collation is PostgreSQL's own: an update of the host's library cannot make indexes wrong.
      ...['--encoding', 'UTF8', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--locale', 'C'],
      run.sync ? '--sync-method=fsync' : '--no-sync',
    ],
    { ...run.owner, cwd: run.folder, env: cleanEnvironment, stdio: ['ignore', 'ignore', 'pipe', run.passwordFd] },
  )
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-4096)
  })
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  }).catch((cause) => {
    throw couldNotRun(run.binaries.initdb, cause)
  })
  if (exitCode !== 0) {
    const uid = run.owner?.uid ?? process.geteuid?.()
    const hint = output.includes('could not look up effective user ID')
      ? ` User id ${uid} has no name here; add it to /etc/passwd, or set DATABASE_URL.`
      : ''
    throw new StartRefusal(
      'database_start_failed',
      `The built-in database could not be created in ${run.folder}.${hint} initdb says: ${output.trim()}`,
    )
  }
}

/** Starts the server and waits until it takes connections. */
async function launch(cluster: Cluster, options: EmbeddedPostgresOptions, signal?: AbortSignal): Promise<ChildProcess> {
  const { durable = true, startTimeoutMs = 60_000 } = options
  await shortenLog(cluster.logFile)
  const logFd = openSync(cluster.logFile, 'a', 0o600)
  let child: ChildProcess
  try {
    child = spawn(
      cluster.binaries.postgres,
      ['-D', '/proc/self/cwd', ...serverSettings(cluster.folder, durable).flatMap((setting) => ['-c', setting])],
      { ...cluster.owner, cwd: cluster.folder, env: cleanEnvironment, stdio: ['ignore', logFd, logFd], detached: true },
    )
  } finally {
    closeSync(logFd)
  }
  let spawnError: Error | undefined
  child.once('error', (error) => {
    spawnError = error
  })
  child.unref()
  const deadlineMs = performance.now() + startTimeoutMs
  while (true) {
    if (spawnError) throw couldNotRun(cluster.binaries.postgres, spawnError)
    const file = await readPostmasterFile(cluster.folder)
    if (file?.pid === child.pid && file?.status === 'ready') return child
    const late = performance.now() > deadlineMs
    if (!isRunning(child) || late || signal?.aborted) {
      await stop(child)
      throw new StartRefusal(
        'database_start_failed',
        `The built-in PostgreSQL ${late ? `was not ready after ${startTimeoutMs} ms` : 'did not start'}. The end of its ` +
          `log, ${cluster.logFile}: ${await endOfLog(cluster.logFile)}`,
      )
    }
    await delay(pollMs)
  }
}

function serverSettings(clusterFolder: string, durable: boolean): string[] {
  return [
    `${dataFolderMark}=${clusterFolder}`,
    `${starterMark}=${process.pid}`,
    'listen_addresses=',
    'unix_socket_directories=.',
    'unix_socket_permissions=0700',
    'timezone=UTC',
    'log_timezone=UTC',
    'log_checkpoints=off',
    // Statements and details of errors may hold what people typed; our own log says which call failed.
    'log_min_messages=warning',
    'log_min_error_statement=panic',
    'log_error_verbosity=terse',
    // Containers get 64 MB of shared memory, which one parallel hash join can use up.
    'max_parallel_workers_per_gather=0',
    'jit=off',
    ...(durable ? [] : ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']),
  ]
}

/** Nothing of ours: PGDATA, PGPORT and the like would be obeyed, and secrets are none of its business. */
const cleanEnvironment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/**
 * Where clients find the socket. A path too long for a socket's address is replaced by a short one through a
 * descriptor of ours, which leads to the same folder and leaves nothing behind.
 */
function socketDirectory(clusterFolder: string): { path: string; close(): void } {
  if (fitsSocketAddress(path.join(clusterFolder, '.s.PGSQL.5432'))) return { path: clusterFolder, close: () => {} }
  const fd = openSync(clusterFolder, 'r')
  return { path: `/proc/${process.pid}/fd/${fd}`, close: () => closeSync(fd) }
}

async function stop(child: ChildProcess): Promise<void> {
  if (isRunning(child) && child.pid !== undefined) await stopProcess(child.pid, () => !isRunning(child))
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

function couldNotRun(program: string, cause: unknown): StartRefusal {
  const hint =
    (cause as NodeJS.ErrnoException).code === 'ENOENT' ? ' It needs glibc; on musl (Alpine) it cannot run.' : ''
  return new StartRefusal(
    'database_start_failed',
    `${program} cannot be run.${hint} Set DATABASE_URL to use your own PostgreSQL.`,
    { cause },
  )
}

function rethrow(subject: string): (cause: NodeJS.ErrnoException) => never {
  return (cause) => {
    throw new StartRefusal(
      'data_folder_unusable',
      `${subject} cannot be read: ${cause.path} (${cause.code}). Restore the data folder from a backup, or move it away ` +
        'to start with an empty database.',
      { cause },
    )
  }
}

async function syncToDisk(entry: string): Promise<void> {
  const handle = await open(entry, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** One old log is kept, so that the folder does not grow for ever. */
async function shortenLog(logFile: string): Promise<void> {
  const size = await stat(logFile).then(
    (found) => found.size,
    () => 0,
  )
  if (size > logBytesMax) await rename(logFile, `${logFile}.1`)
}

async function endOfLog(logFile: string): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '')
  return text.trim().split('\n').slice(-5).join(' | ').slice(-2000)
}

/**
 * The built-in database that another process of this data folder has started: for commands beside a running gateway.
 *
 * @returns undefined when this data folder has no built-in database; whether it runs shows when it is connected to
 */
export async function findEmbeddedPostgres(dataDir: string): Promise<EmbeddedPostgres | undefined> {
  const home = path.join(await realpath(dataDir), 'postgres')
  const password = await readFile(path.join(home, 'password'), 'utf8').catch(() => undefined)
  if (password === undefined) return undefined
  const directory = socketDirectory(path.join(home, 'data'))
  return { url: databaseUrl(directory.path, password.trim()), close: async () => directory.close() }
}

const databaseUrl = (socketFolder: string, password: string): string =>
  `postgresql://${roleName}:${password}@${encodeURIComponent(socketFolder)}:5432/${databaseName}`
