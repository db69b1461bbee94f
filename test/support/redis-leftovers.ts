import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive } from './process-alive.ts'

const folderPrefix = 'llmgw-redis-'

/** Named after the process that makes it, so that a later run can tell what nobody will clean up any more. */
export const makeRedisFolder = (): Promise<string> => mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-`))

/** Where the server says which process it is. */
export const redisPidFile = (folder: string): string => join(folder, 'redis.pid')

/** What tests that were killed left behind: their servers are stopped and their folders removed. */
export async function removeRedisLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const owner = Number(new RegExp(`^${folderPrefix}(\\d+)-`).exec(name)?.[1])
    if (!owner || isAlive(owner)) continue
    const folder = join(tmpdir(), name)
    const pid = Number(await readFile(redisPidFile(folder), 'utf8').catch(() => ''))
    try {
      // Numbers are used again: it is that server only if it works in that folder.
      if (pid && (await readlink(`/proc/${pid}/cwd`).catch(() => undefined)) === folder) process.kill(pid, 'SIGKILL')
      await rm(folder, { recursive: true, force: true })
    } catch {
      // Another user's, or another run is at it.
    }
  }
}
