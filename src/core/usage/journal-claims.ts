import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type FolderLock, lockFolder } from '../data-folder/folder-lock.ts'
import type { Log } from '../log.ts'
import { StartRefusal } from '../start-refusal.ts'

/**
 * Which journals of a data folder one process may touch. The lock on the data folder keeps other gateways out; among the
 * processes of one gateway each has a journal of its own, and a worker that has outlived its gateway may not be done.
 */
export interface JournalClaims {
  /** Owners that are gone, and whose journals nobody else touches: for this process to adopt. */
  readonly formerOwners: readonly string[]
  /** Lets go of the journals of former owners, once they are adopted. */
  adopted(): Promise<void>
  /** Lets go of all. */
  close(): Promise<void>
}

export interface JournalClaimsDeps {
  /** The folder of all journals of a data folder. */
  path: string
  /** Whose journal this process writes. */
  owner: string
  /** All that write a journal in this start, `owner` among them. */
  owners: readonly string[]
  /** Whether this process adopts what owners have left that are not among them. */
  adopts: boolean
  /** How long to wait for a process before this one that is still at it. */
  waitMsMax?: number
  log: Log
}

const waitMsMaxDefault = 10_000
const retryMs = 100

/** @throws StartRefusal when another process writes this journal, and does not stop */
export async function claimJournals(deps: JournalClaimsDeps): Promise<JournalClaims> {
  const { path, owner, owners, adopts, log } = deps
  const own = owners.length > 1 ? await lockWhenFree(join(path, owner), deps.waitMsMax ?? waitMsMaxDefault) : undefined
  const found = adopts ? await formerOwners(path, owners) : []
  const former = await Promise.all(
    found.map(async (name) => {
      try {
        return { name, lock: await lockFolder(join(path, name)) }
      } catch (error) {
        log.error(
          { err: error, journal: name },
          'The journal of a former worker cannot be adopted; the next start will.',
        )
        return undefined
      }
    }),
  )
  const adoptable = former.filter((journal) => journal !== undefined)
  const adopted = async (): Promise<void> => {
    for (const { lock } of adoptable.splice(0)) await lock.release()
  }
  return {
    formerOwners: adoptable.map(({ name }) => name),
    adopted,
    async close() {
      await adopted()
      await own?.release()
    },
  }
}

async function lockWhenFree(folder: string, waitMsMax: number): Promise<FolderLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const deadlineMs = performance.now() + waitMsMax
  for (;;) {
    try {
      return await lockFolder(folder)
    } catch (error) {
      // A worker notices within moments that its gateway is gone, unless it is frozen.
      if (!(error instanceof StartRefusal) || performance.now() > deadlineMs) throw error
      await delay(retryMs)
    }
  }
}

/** Workers that are no longer started, or the single process that served before there were workers. */
async function formerOwners(path: string, owners: readonly string[]): Promise<string[]> {
  let entries: { name: string; isDirectory(): boolean }[]
  try {
    entries = await readdir(path, { withFileTypes: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [] // the first start makes it
    throw error
  }
  return entries
    .filter((entry) => entry.isDirectory() && !owners.includes(entry.name))
    .map(({ name }) => name)
    .sort()
}
