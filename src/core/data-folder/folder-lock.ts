import { randomUUID } from 'node:crypto'
import { link, readFile, readlink, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { StartRefusal } from '../start-refusal.ts'

export interface FolderLock {
  /** Lets go; a process that dies without is recognized as gone by the next start. */
  release(): Promise<void>
}

export interface FolderLockTimes {
  /** How often the holder touches the lock. */
  heartbeatMs: number
  /** How long a lock whose holder we cannot see must stay untouched to count as abandoned. */
  abandonedAfterMs: number
}

const lockName = 'gateway.lock'
const defaultTimes: FolderLockTimes = { heartbeatMs: 2_000, abandonedAfterMs: 7_000 }

/**
 * Takes the folder for this process.
 *
 * A lock is a file that appears whole (by a hard link) or not at all. One whose holder is gone is replaced by a rename,
 * and the right to replace the lock with id X is itself a lock, named after X: of two starts that find the same stale
 * lock one replaces it, and the other, however late it wakes up, then sees that X is no longer there.
 *
 * A holder is gone when no process has its pid and its start time. Where that cannot be seen (another container, another
 * machine, a reboot) the holder's heartbeat is watched; no clocks are compared.
 *
 * @throws StartRefusal `data_folder_in_use`, naming the pid of the holder
 */
export async function lockFolder(folder: string, times: FolderLockTimes = defaultTimes): Promise<FolderLock> {
  const lockFile = path.join(folder, lockName)
  const mine: Holder = { id: randomUUID(), startedAt: new Date().toISOString(), ...(await describeProcess()) }
  const draft = `${lockFile}.draft-${mine.id}`
  await writeFile(draft, `${JSON.stringify(mine, undefined, 2)}\n`, { flag: 'wx', mode: 0o600, flush: true })
  try {
    await acquire(lockFile, { draft, folder, times })
  } finally {
    await unlink(draft)
  }

  const heartbeat = setInterval(() => {
    const now = new Date()
    // A folder that is gone or full is noticed by those who write to it.
    utimes(lockFile, now, now).catch(() => {})
  }, times.heartbeatMs)
  heartbeat.unref()
  return {
    release: async () => {
      clearInterval(heartbeat)
      if ((await readHolder(lockFile))?.id === mine.id) await unlink(lockFile)
    },
  }
}

interface Holder {
  id: string
  pid: number
  /** Clock ticks from boot to the start of the process; null where there is no /proc. */
  processStart: string | null
  bootId: string | null
  pidNamespace: string | null
  startedAt: string
}

interface Attempt {
  draft: string
  folder: string
  times: FolderLockTimes
}

async function acquire(lockFile: string, attempt: Attempt): Promise<void> {
  while (true) {
    try {
      return await link(attempt.draft, lockFile)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = await readHolder(lockFile)
    if (!holder) continue // let go of just now
    if (await isAlive(lockFile, holder, attempt.times)) throw inUse(attempt.folder, holder)
    const succession = `${lockFile}.${holder.id}`
    await acquire(succession, attempt)
    if ((await readHolder(lockFile))?.id === holder.id) return rename(succession, lockFile)
    await unlink(succession) // somebody was faster
  }
}

async function readHolder(lockFile: string): Promise<Holder | undefined> {
  const text = await readFile(lockFile, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (text === undefined) return undefined
  try {
    const holder = JSON.parse(text) as Holder
    if (typeof holder.id === 'string' && /^[\w-]+$/.test(holder.id) && Number.isSafeInteger(holder.pid)) return holder
  } catch {
    // Torn by a power failure: whoever held it is gone.
  }
  return { id: 'unreadable', pid: 0, processStart: null, bootId: null, pidNamespace: null, startedAt: '' }
}

async function isAlive(lockFile: string, holder: Holder, { abandonedAfterMs }: FolderLockTimes): Promise<boolean> {
  if (holder.pid === 0) return false
  const here = await describeProcess()
  if (here.bootId === holder.bootId && here.pidNamespace === holder.pidNamespace) {
    if (holder.processStart !== null) return (await processStart(holder.pid)) === holder.processStart
    return exists(holder.pid)
  }
  const touchedMs = async () => (await stat(lockFile).catch(() => undefined))?.mtimeMs
  const beforeMs = await touchedMs()
  for (const deadlineMs = performance.now() + abandonedAfterMs; performance.now() < deadlineMs; ) {
    if ((await touchedMs()) !== beforeMs) return true
    await delay(Math.min(100, abandonedAfterMs / 10))
  }
  return false
}

async function describeProcess(): Promise<Pick<Holder, 'pid' | 'processStart' | 'bootId' | 'pidNamespace'>> {
  const [start, bootId, pidNamespace] = await Promise.all([
    processStart(process.pid),
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => null),
    readlink('/proc/self/ns/pid').catch(() => null),
  ])
  return { pid: process.pid, processStart: start ?? null, bootId: bootId?.trim() ?? null, pidNamespace }
}

/** When the process started, which tells it from a later one of the same number; undefined when it is gone. */
async function processStart(pid: number): Promise<string | undefined> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // proc_pid_stat(5): after the name in parentheses come the state (3rd field) and, as the 22nd, the start time.
  const fields = status?.slice(status.lastIndexOf(')') + 2).split(' ')
  return fields?.[0] === 'Z' ? undefined : fields?.[22 - 3]
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function inUse(folder: string, holder: Holder): StartRefusal {
  return new StartRefusal(
    'data_folder_in_use',
    `Another gateway (pid ${holder.pid}) is using the data folder ${folder} since ${holder.startedAt}. Stop it, or give ` +
      'this one a folder of its own (LLMGW_DATA_DIR).',
  )
}
