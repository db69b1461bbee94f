import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** @returns undefined when there is none on this machine */
export function redisServerBinary(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders.map((folder) => join(folder, 'redis-server')).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
