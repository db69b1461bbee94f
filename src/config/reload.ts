import type { Log } from '../core/log.ts'
import type { Config, LoadConfigResult } from './load-config.ts'
import { type ConfigProblem, formatProblems } from './problem.ts'

export interface ConfigReloaderDeps {
  /** Reads the file part anew: `load` of `createConfigLoader`. */
  load(): LoadConfigResult
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
  /** Resolves when no reload is running; later ones do nothing. */
  close(): Promise<void>
}

export function createConfigReloader({ load, apply, log }: ConfigReloaderDeps): ConfigReloader {
  let last: Promise<unknown> = Promise.resolve()
  /** The reload that has not begun yet, if there is one. */
  let waiting: Promise<ReloadResult> | undefined
  let isClosed = false

  async function reloadOnce(): Promise<ReloadResult> {
    if (isClosed) return refused([{ path: 'file', message: 'is not read any more; the gateway is shutting down' }])
    try {
      const loaded = load()
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
        return reloadOnce()
      })
      last = waiting
      return waiting
    },
    async close() {
      isClosed = true
      await last
    },
  }
}
