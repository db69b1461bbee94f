import cluster from 'node:cluster'
import { hostname } from 'node:os'
import { Registry } from 'prom-client'
import type { Environment } from '../config/environment.ts'
import { type Config, createConfigLoader } from '../config/load-config.ts'
import { formatProblems } from '../config/problem.ts'
import { createDatabaseClock } from '../core/clock.ts'
import { startDatabaseClockSync } from '../core/db/database-clock-sync.ts'
import { openPools } from '../core/db/pools.ts'
import type { UpstreamStatus } from '../core/health/upstream-status.ts'
import { createReplicaId } from '../core/replicas/replica-id.ts'
import { openKeyring } from '../core/secrets/open-keyring.store.ts'
import { StartRefusal } from '../core/start-refusal.ts'
import type { Gateway } from '../gateway.ts'
import { masterKeysOf } from '../master-keys.ts'
import { collectSeries } from '../ops/metric-series.ts'
import { registerProcessMetrics } from '../ops/process-metrics.ts'
import { openProcessLog, type ProcessLog } from '../process-log.ts'
import { createReadiness, type Readiness } from '../readiness.ts'
import { openServing } from '../serving.ts'
import { openSharedState } from '../shared-state.ts'
import { untilDatabaseServes } from '../until-database-serves.ts'
import type { ConfigFiles, FromWorker, ToWorker, WorkerRequest, WorkerStart } from './messages.ts'

const statusMs = 1_000

/**
 * The life of a worker: it is told by the primary what to serve, and when to stop. Signals are the primary's business;
 * when the primary is gone, Node.js ends this process.
 */
export async function runWorker(environment: Environment): Promise<void> {
  // A terminal and a service manager send theirs to all processes of a group.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {})
  const stopping = new AbortController()
  const messages = listen(stopping)
  tell({ type: 'hello' })
  const start = await messages.start
  let files: ConfigFiles = start.files
  const loader = createConfigLoader(environment, (path) => {
    const text = files.get(path)
    if (text === undefined) throw Object.assign(new Error(`The primary has not read ${path}.`), { code: 'ENOENT' })
    return text
  })
  const loaded = loader.load()
  if (!loaded.ok) return refuse('configuration_rejected', formatProblems(loaded.problems))
  const { config } = loaded
  const output = openProcessLog(config.settings.logLevel, start.name)
  process.on('unhandledRejection', (error) => {
    output.log.fatal({ err: error }, 'A rejection was not handled; the worker ends.')
    output.close()
    process.exit(1)
  })

  try {
    const serving = await openWorker({ config, start, output, signal: stopping.signal })
    void messages.drainAnnounced.then(() => serving.gateway.announceDrain())
    messages.obey({
      async answer(request) {
        try {
          switch (request.type) {
            case 'metrics':
              return await collectSeries(serving.registry)
            case 'reload': {
              files = request.files
              const next = loader.load()
              return next.ok ? await serving.gateway.reload(next.config) : next.problems
            }
            case 'drain':
              await serving.gateway.drain(messages.deadline)
              return null
          }
        } catch (error) {
          output.log.error({ err: error, request: request.type }, 'What the primary asked for could not be done.')
          throw error
        }
      },
    })
    await messages.closed
    await serving.close()
    output.close()
    process.exit(0)
  } catch (error) {
    if (error instanceof StartRefusal) return refuse(error.reason, error.message, error.exitCode)
    if (!stopping.signal.aborted) output.log.fatal({ err: error }, 'The worker could not go on.')
    output.close()
    process.exit(stopping.signal.aborted ? 0 : 1)
  }
}

interface WorkerServing {
  gateway: Gateway
  registry: Registry
  close(): Promise<void>
}

interface WorkerDeps {
  config: Config
  start: WorkerStart
  output: ProcessLog
  signal: AbortSignal
}

async function openWorker({ config, start, output, signal }: WorkerDeps): Promise<WorkerServing> {
  await using opening = new AsyncDisposableStack()
  const own = <T extends { close(): unknown }>(resource: T): T => {
    opening.defer(async () => void (await resource.close()))
    return resource
  }
  const { settings } = config
  const { log } = output
  const host = hostname()
  const registry = new Registry()
  registerProcessMetrics(registry)
  const readiness = createReadiness()
  let serving: Gateway | undefined
  own(reportStatus(readiness, () => serving?.upstreams() ?? []))

  const clock = createDatabaseClock()
  // Several workers have a database of their own choice: the environment is checked for it.
  const pools = own(openPools({ url: settings.databaseUrl?.reveal() ?? '', log }))
  // The primary has seen to the schema; a worker that replaces another one may find the database away.
  const masters = masterKeysOf(settings, Buffer.from(start.masterKey))
  const keyring = await untilDatabaseServes(() => openKeyring(pools.request, masters), { log, signal, readiness })
  const clockSync = own(startDatabaseClockSync({ pool: pools.request, clock, log }))
  await clockSync.first
  const replica = createReplicaId(host)
  const shared = own(await openSharedState({ settings, replica, registry, log }))
  const gateway = own(
    await openServing({
      config,
      log,
      writeLog: output.writeLine,
      clock,
      pools,
      registry,
      shared,
      replica: { id: replica, host },
      name: start.name,
      names: start.names,
      adopts: start.adopts,
      journals: start.journals,
      keyPepper: Buffer.from(start.keyPepper),
      keyring,
      declare: async () => [], // the primary has done so before it tells us
    }),
  )
  serving = gateway
  readiness.ask(gateway.notReadyReasons)
  const addresses = await gateway.listen(settings.host, start.ports)
  readiness.blockedBy(undefined)
  tell({ type: 'ready', addresses })

  const resources = opening.move()
  return { gateway, registry, close: () => resources.disposeAsync() }
}

/** Tells the primary now and then whether this worker should get calls, and more; silence tells that it is stuck. */
function reportStatus(readiness: Readiness, upstreams: () => readonly UpstreamStatus[]): { close(): void } {
  const report = (): void => tell({ type: 'status', notReady: readiness.reasons(), upstreams: upstreams() })
  report()
  const timer = setInterval(report, statusMs)
  return { close: () => clearInterval(timer) }
}

interface Orders {
  answer(request: WorkerRequest): Promise<NonNullable<unknown> | null>
}

/** What the primary says, from the first moment on; what comes before `obey` waits for it. */
function listen(stopping: AbortController) {
  const start = Promise.withResolvers<WorkerStart>()
  const orders = Promise.withResolvers<Orders>()
  const drainAnnounced = Promise.withResolvers<void>()
  const deadline = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  process.on('message', async (message: ToWorker) => {
    switch (message.type) {
      case 'start':
        return start.resolve(message)
      case 'drain-announced':
        return drainAnnounced.resolve()
      case 'deadline':
        return deadline.resolve()
      case 'close':
        stopping.abort()
        return closed.resolve()
      default:
        try {
          const value = await (await orders.promise).answer(message)
          tell({ type: 'answer', id: message.id, value: value as never })
        } catch {
          tell({ type: 'failed', id: message.id })
        }
    }
  })
  return {
    start: start.promise,
    drainAnnounced: drainAnnounced.promise,
    deadline: deadline.promise,
    closed: closed.promise,
    obey: orders.resolve,
  }
}

function tell(message: FromWorker): void {
  // The primary may be gone; this process is about to notice.
  if (cluster.worker?.isConnected()) process.send?.(message, undefined, undefined, () => {})
}

/** Ends this process with what the operator has to know; the primary tells it. */
function refuse(reason: string, message: string, exitCode = 78): void {
  const end = (): never => process.exit(exitCode)
  process.send?.({ type: 'refused', reason, message, exitCode } satisfies FromWorker, undefined, undefined, end)
}
