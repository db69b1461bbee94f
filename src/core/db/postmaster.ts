import { readFile, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { StartRefusal } from '../start-refusal.ts'

/** Settings we put on the server's command line only so that a later start can tell whose server it is. */
export const dataFolderMark = 'llmgw.data_folder'
export const starterMark = 'llmgw.started_by'

const pollMs = 10
const gentleStopMs = 10_000
const harshStopMs = 2_000

export interface PostmasterFile {
  pid: number
  /** `starting`, `ready`, `stopping` or `standby`; empty in the first moments. */
  status: string
}

/** What a running (or killed) server left in `postmaster.pid` of its data folder. */
export async function readPostmasterFile(clusterFolder: string): Promise<PostmasterFile | undefined> {
  const text = await readFile(path.join(clusterFolder, 'postmaster.pid'), 'utf8').catch(() => undefined)
  const pid = Number.parseInt(text ?? '', 10)
  // https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/utils/pidfile.h: line 8 is the status.
  return text !== undefined && Number.isSafeInteger(pid) && pid > 0
    ? { pid, status: text.split('\n')[7]?.trim() ?? '' }
    : undefined
}

/**
 * Clears what an earlier start left behind, so that a new server can be started on the folder.
 *
 * A server whose gateway was killed is still running: it is stopped rather than adopted, since it runs with the
 * settings, the log file and perhaps the programs of that other start, and could not be waited for like a child. Its
 * identity is its command line, not its number, which may belong to something else by now.
 *
 * @throws StartRefusal when the server belongs to a gateway that is alive, here or in another container
 */
export async function clearEarlierStart(clusterFolder: string, log: Log): Promise<void> {
  const file = await readPostmasterFile(clusterFolder)
  if (!file) return
  const server = await serverProcess(file.pid, clusterFolder)
  if (server && server.parentPid === server.startedBy) {
    throw new StartRefusal(
      'data_folder_in_use',
      `Another gateway (pid ${server.startedBy}) is using the database in ${clusterFolder}. Stop it, or give this one ` +
        'a data folder of its own (LLMGW_DATA_DIR).',
    )
  }
  if (server) {
    log.warn({ pid: file.pid }, 'Stopping the PostgreSQL that a killed gateway left running.')
    await stopProcess(file.pid, async () => (await serverProcess(file.pid, clusterFolder)) === undefined)
  } else if (await answers(clusterFolder)) {
    // The socket lies in the folder, so whoever answers serves this very folder, though we cannot see the process.
    throw new StartRefusal(
      'data_folder_in_use',
      `A PostgreSQL that this process cannot see, in another container perhaps, is using ${clusterFolder}. Stop it first.`,
    )
  }
  await disownLockFiles(clusterFolder)
}

/**
 * Stops a server: at first as `pg_ctl stop -m fast` does (running transactions are rolled back, everything is
 * flushed), after that as a crash from which the next start recovers.
 */
export async function stopProcess(pid: number, hasStopped: () => boolean | Promise<boolean>): Promise<void> {
  const steps = [
    { signal: 'SIGINT', patienceMs: gentleStopMs },
    { signal: 'SIGQUIT', patienceMs: harshStopMs },
    { signal: 'SIGKILL', patienceMs: harshStopMs },
  ] as const
  for (const { signal, patienceMs } of steps) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return
      throw error
    }
    for (const deadlineMs = performance.now() + patienceMs; performance.now() < deadlineMs; ) {
      if (await hasStopped()) return
      await delay(pollMs)
    }
  }
}

interface ServerProcess {
  parentPid: number
  /** The gateway that started it; no longer the parent when that one has died. */
  startedBy: number
}

/** The process, if it is a server that one of us started on this folder. */
async function serverProcess(pid: number, clusterFolder: string): Promise<ServerProcess | undefined> {
  const [commandLine, status] = await Promise.all([
    readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
    readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ''),
  ])
  const words = commandLine.split('\0')
  if (!words.includes(`${dataFolderMark}=${clusterFolder}`)) return undefined
  const startedBy = words.find((word) => word.startsWith(`${starterMark}=`))
  // The name in parentheses may hold anything; the state and the parent's pid follow the last one.
  const parentPid = status.slice(status.lastIndexOf(')') + 2).split(' ')[1]
  return { parentPid: Number(parentPid), startedBy: Number(startedBy?.slice(starterMark.length + 1)) }
}

/**
 * PostgreSQL refuses to start while the process named in its lock files lives, and in a container that number is soon
 * somebody else's, or a zombie that nobody reaps. It makes an exception for its own parent, so we write ourselves in;
 * the shared memory named on a later line is still checked, which protects against surviving children of a killed
 * server.
 */
async function disownLockFiles(clusterFolder: string): Promise<void> {
  for (const name of ['postmaster.pid', '.s.PGSQL.5432.lock']) {
    const file = path.join(clusterFolder, name)
    const text = await readFile(file, 'utf8').catch(() => undefined)
    // Written over in place: the file goes on belonging to the server's user.
    if (text !== undefined) await writeFile(file, text.replace(/^\d+/, String(process.pid)))
  }
}

async function answers(clusterFolder: string): Promise<boolean> {
  const socketPath = path.join(clusterFolder, '.s.PGSQL.5432')
  if (!fitsSocketAddress(socketPath)) return false
  return new Promise((resolve) => {
    const socket = createConnection(socketPath)
    const finish = (answered: boolean) => {
      socket.destroy()
      resolve(answered)
    }
    socket.once('connect', () => finish(true))
    socket.once('error', () => finish(false))
  })
}

/** A socket's address is at most 107 bytes long (unix(7)). */
export function fitsSocketAddress(socketPath: string): boolean {
  return Buffer.byteLength(socketPath) <= 107
}
