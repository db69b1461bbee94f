import type { Log } from '../core/log.ts'
import type { Config, LoadConfigResult } from './load-config.ts'
import { type ConfigProblem, formatProblems } from './problem.ts'

export interface ConfigReloaderDeps {
  /** Reads the file part anew, as `createConfigLoader` does. */
  load(): LoadConfigResult
  loadSecrets(): LoadConfigResult
  /** Puts a configuration in force, all of it or nothing; returns why it was refused, or nothing. */
  apply(config: Config): Promise<readonly ConfigProblem[]>
  log: Log
}

export type ReloadResult = { ok: true; config: Config } | { ok: false; problems: readonly ConfigProblem[] }

export interface ConfigReloader {
  /**
   * For SIGHUP. Whatever goes wrong, the configuration in force stays, and the log says so.
   *
   * Reloads run one after the other; those asked for while one runs are a single one after it, since each reads the
   * file as it is by then.
   */
  reload(): Promise<ReloadResult>
  /** For a secret that was renewed: as `reload`, with the config file as it was read last. */
  reloadSecrets(): Promise<ReloadResult>
  /** Resolves when no reload is running; later ones do nothing. */
  close(): Promise<void>
}

export function createConfigReloader({ load, loadSecrets, apply, log }: ConfigReloaderDeps): ConfigReloader {
  let last: Promise<unknown> = Promise.resolve()
  /** The reload that has not begun yet, if there is one. */
  let waiting: Promise<ReloadResult> | undefined
  let isClosed = false

  async function reloadOnce(read: () => LoadConfigResult): Promise<ReloadResult> {
    if (isClosed) return refused([{ path: 'file', message: 'is not read any more; the gateway is shutting down' }])
    try {
      const loaded = read()
      if (!loaded.ok) return refused(loaded.problems)
      const problems = await apply(loaded.config)
      if (problems.length > 0) return refused(problems)
      log.info({ warnings: loaded.warnings }, 'Configuration reloaded.')
      return { ok: true, config: loaded.config }
    } catch (error) {
      log.error({ err: error }, 'Configuration not reloaded; the one in force stays.')
      return { ok: false, problems: [{ path: 'file', message: 'could not be applied; the log has the cause' }] }
    }
  }

  function refused(problems: readonly ConfigProblem[]): ReloadResult {
    log.error({ problems: formatProblems(problems) }, 'Configuration not reloaded; the one in force stays.')
    return { ok: false, problems }
  }

  return {
    reload() {
      waiting ??= last.then(() => {
        waiting = undefined
        return reloadOnce(load)
      })
      last = waiting
      return waiting
    },
    reloadSecrets() {
      // One that reads everything and has not begun will read the secrets, too.
      if (waiting) return waiting
      const reloading = last.then(() => reloadOnce(loadSecrets))
      last = reloading
      return reloading
    },
    async close() {
      isClosed = true
      await last
    },
  }
}
