import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type App, type Operator, openApp } from './app.ts'
import { type Config, type ConfigLoader, configExitCode } from './config/load-config.ts'
import { formatProblems } from './config/problem.ts'
import { createConfigReloader } from './config/reload.ts'
import { watchSecretFiles } from './config/secret-files.ts'
import { StartRefusal } from './core/start-refusal.ts'
import { openProcessLog } from './process-log.ts'
import { newKeyNotice, welcome } from './welcome.ts'
import { openPrimary } from './workers/primary.ts'

/** After the drain, which takes a moment more than its deadline, closing gets this long; then the process ends anyway. */
const closeMsMax = 7_000
/** Two looks agree on a change: a renewed secret is used within twice as long. */
const secretsLookMs = 2_500
const secondSignalDrainMs = 5_000

/**
 * The life of the process: reads the configuration, opens the app, waits for a signal, drains, closes.
 *
 * @returns the exit code: 0, 78 when the configuration must be mended, 1 for a fault
 */
export async function runProcess(loader: ConfigLoader): Promise<number> {
  const loaded = loader.load()
  if (!loaded.ok) {
    tell(formatProblems(loaded.problems))
    return configExitCode
  }
  const { config } = loaded
  const output = openProcessLog(config.settings.logLevel)
  const { log } = output
  const stopping = new AbortController()
  const signals = listenForSignals(stopping)
  const hangUps = listenForHangUps()
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'A rejection was not handled; the process ends.')
    output.close()
    process.exit(1)
  })

  try {
    const operator: Operator = { showKey: (key) => tell(newKeyNotice(key)), writeLog: output.writeLine }
    const app =
      config.settings.workers > 1
        ? await openPrimary({ config, filesRead: loader.filesRead, log, signal: stopping.signal, operator })
        : await openApp(config, log, stopping.signal, operator)
    const { load, loadSecrets, secretFiles } = loader
    const reloader = createConfigReloader({ load, loadSecrets, apply: (next) => app.reload(next), log })
    const secrets = watchSecretFiles({ files: secretFiles, reload: reloader.reloadSecrets, log })
    for (const { path, message } of loaded.warnings) log.warn({ path }, `${path} ${message}`)
    tell(welcome(app))
    log.info({ rest: app.rest, grpc: app.grpc, ops: app.ops }, 'ready')
    hangUps.obey(() => void reloader.reload())
    const looks = setInterval(() => void secrets.look(), secretsLookMs).unref()
    const failure = await Promise.race([aborted(stopping.signal), app.failed])
    clearInterval(looks)
    await reloader.close()
    if (failure && !stopping.signal.aborted) {
      log.fatal({ err: failure }, 'The gateway cannot go on.')
      tell(`The gateway cannot go on: ${failure.message}`)
      if ((await closeInTime(app, log)) === 'late') process.exit(1)
      return 1
    }
    await stop(app, config.settings, signals, log)
    return 0
  } catch (error) {
    if (stopping.signal.aborted && !(error instanceof StartRefusal)) return 0
    if (error instanceof StartRefusal) {
      tell(error.message)
      return error.exitCode
    }
    log.fatal({ err: error }, 'The gateway could not start.')
    tell(`The gateway could not start: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  } finally {
    output.close()
  }
}

async function stop(app: App, settings: Config['settings'], signals: Signals, log: Logger): Promise<void> {
  // A person at the terminal waits for no load balancer to look elsewhere.
  const delayMs = signals.first === 'SIGINT' ? 0 : settings.drainDelayMs
  log.info({ signal: signals.first, drain_timeout_ms: settings.drainTimeoutMs }, 'draining')
  const ended = new AbortController()
  const wait = (ms: number): Promise<void> => delay(ms, undefined, { signal: ended.signal, ref: false }).catch(() => {})
  const deadline = Promise.race([
    wait(delayMs + settings.drainTimeoutMs),
    signals.second.then(() => wait(secondSignalDrainMs)),
  ])
  await app.drain(delayMs, deadline)
  ended.abort()
  if ((await closeInTime(app, log)) === 'late') process.exit(0)
  log.info({}, 'stopped')
}

async function closeInTime(app: App, log: Logger): Promise<'closed' | 'late'> {
  const closed = app.close().then(() => 'closed' as const)
  const outcome = await Promise.race([closed, delay(closeMsMax, 'late' as const, { ref: false })])
  if (outcome === 'late')
    log.error({}, 'Closing took too long; usage that is not in the database stays in the journal.')
  return outcome
}

interface Signals {
  first: NodeJS.Signals | undefined
  /** Resolves at the second SIGTERM or SIGINT. */
  second: Promise<void>
}

function listenForSignals(stopping: AbortController): Signals {
  const second = Promise.withResolvers<void>()
  const signals: Signals = { first: undefined, second: second.promise }
  const onSignal = (name: NodeJS.Signals): void => {
    if (stopping.signal.aborted) second.resolve()
    signals.first ??= name
    stopping.abort()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  return signals
}

/** By default the signal would end the process, also while it starts or drains. One that comes early is obeyed late. */
function listenForHangUps(): { obey(reload: () => void): void } {
  let obeyed: (() => void) | undefined
  let isWaiting = false
  process.on('SIGHUP', () => {
    if (obeyed) obeyed()
    else isWaiting = true
  })
  return {
    obey(reload) {
      obeyed = reload
      if (isWaiting) reload()
    },
  }
}

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })

const tell = (text: string): void => void process.stderr.write(`${text}\n`)
