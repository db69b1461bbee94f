import { readFile } from 'node:fs/promises'
import type { Log } from '../core/log.ts'

export interface SecretFilesDeps {
  /** The files that the configuration in force has its secrets from, by path, with what was in them. */
  files(): ReadonlyMap<string, string>
  /** Reads the configuration anew, with what is in the files by now. */
  reload(): Promise<{ ok: boolean }>
  log: Pick<Log, 'info' | 'warn'>
}

export interface SecretFiles {
  /** Looks once; a change that two looks agree on is taken. */
  look(): Promise<void>
}

/** What could not be put in force, as the database was away or the secret is none, is tried again after so many looks. */
const looksBeforeRetry = 12

/**
 * Notices when a mounted secret is renewed. Files are read by their paths, however they are replaced: in place, by a
 * rename, or by a symbolic link of a folder above, as Kubernetes does it. One that is written while it is looked at
 * differs from look to look, and is waited for. One that vanishes keeps what it said last.
 */
export function watchSecretFiles({ files, reload, log }: SecretFilesDeps): SecretFiles {
  const seen = new Map<string, string>()
  const missing = new Set<string>()
  /** Undefined while what was read last is in force. */
  let looksUntilRetry: number | undefined

  const settledChange = async (path: string, inForce: string): Promise<boolean> => {
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text === undefined) {
      if (!missing.has(path))
        log.warn({ path }, 'A file with a secret cannot be read; what it said last stays in force.')
      missing.add(path)
      return false
    }
    missing.delete(path)
    const isSettled = seen.get(path) === text
    seen.set(path, text)
    return text !== inForce && isSettled
  }

  return {
    async look() {
      const changed: string[] = []
      for (const [path, inForce] of files()) if (await settledChange(path, inForce)) changed.push(path)
      if (changed.length > 0) log.info({ paths: changed }, 'A file with a secret has changed.')
      else if (looksUntilRetry === undefined || --looksUntilRetry > 0) return
      looksUntilRetry = looksBeforeRetry
      if ((await reload()).ok) looksUntilRetry = undefined
    },
  }
}
