import cluster from 'node:cluster'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Registry } from 'prom-client'
import { openAdminPlane } from '../administration.ts'
import type { App, Operator } from '../app.ts'
import type { Config, ConfigLoader } from '../config/load-config.ts'
import type { Limiter } from '../core/limits/limiter.ts'
import type { Log } from '../core/log.ts'
import { createReplicaId } from '../core/replicas/replica-id.ts'
import { openFoundation } from '../foundation.ts'
import { openLimiter } from '../limiter.ts'
import { collectSeries, mergeSeries, renderSeries } from '../ops/metric-series.ts'
import { registerProcessMetrics } from '../ops/process-metrics.ts'
import { readinessUpstreams } from '../ops/readiness-upstreams.ts'
import { registerSampled } from '../ops/series.ts'
import { createReadiness } from '../readiness.ts'
import { openSharedState } from '../shared-state.ts'
import { openUpkeep } from '../upkeep.ts'
import { workerArgument } from './worker-argument.ts'
import { openWorkerPool, type WorkerPool } from './worker-pool.ts'

export interface PrimaryDeps {
  config: Config
  /** See `ConfigLoader`: workers load the same configuration from these. */
  filesRead: ConfigLoader['filesRead']
  log: Log
  /** Gives the start up, for instance while the database is away. */
  signal: AbortSignal
  operator: Operator
}

/**
 * The gateway as several processes: workers serve, this one does what must be done once. It holds the data folder, the
 * private listener and the schema, declares the configuration, tells workers what to serve and when to stop, and
 * replaces those that die. No call goes through it: it only hands out connections.
 *
 * @throws StartRefusal when waiting cannot help: the message is for the operator
 */
export async function openPrimary({ config, filesRead, log, signal, operator }: PrimaryDeps): Promise<App> {
  await using opening = new AsyncDisposableStack()
  const own = <T extends { close(): unknown }>(resource: T): T => {
    opening.defer(async () => void (await resource.close()))
    return resource
  }
  let filesInForce = filesRead()
  const { settings } = config
  const replica = createReplicaId(hostname())
  const registry = new Registry()
  registerProcessMetrics(registry)
  const readiness = createReadiness()
  let workers: WorkerPool | undefined
  registerWorkerMetrics(registry, () => workers?.workers() ?? [])
  const foundation = own(
    await openFoundation({
      config,
      log,
      signal,
      replica,
      readiness,
      async metrics() {
        const primary = { worker: 'primary', series: await collectSeries(registry) }
        const collected = await workers?.collect()
        return renderSeries(mergeSeries([primary, ...(collected?.workers ?? [])], collected?.ended))
      },
    }),
  )
  const { folder, pools, clock } = foundation
  const keyPepper = folder.secrets.values['key-pepper']
  const { redis, events } = own(await openSharedState({ settings, replica, registry, log }))
  const changed = (): void => events.publish({ type: 'configuration-changed' })
  const upkeep = own(await openUpkeep({ config, log, clock, pools, keyPepper, showKey: operator.showKey, changed }))

  cluster.setupPrimary({
    exec: fileURLToPath(new URL('../main.ts', import.meta.url)),
    args: [workerArgument],
    serialization: 'advanced',
  })
  const opened = own(
    openWorkerPool({
      names: Array.from({ length: settings.workers }, (_, index) => `worker-${index + 1}`),
      fork: () => cluster.fork(),
      files: filesInForce,
      ports: { rest: settings.restPort, grpc: settings.grpcPort },
      common: { journals: join(folder.path, 'journal'), keyPepper, masterKey: folder.secrets.values['master-key'] },
      monotonicMs: clock.monotonicMs,
      log,
    }),
  )
  workers = opened
  const { masters, keyring } = foundation
  let inForce = config
  const limiter = own(await openLimiter({ redis, clock, expectedReplicas: () => settings.workers }))
  const limitUse: Limiter['current'] = (organizationId, limits) => limiter.current(organizationId, limits)
  const upstreams = () => opened.workers().map(({ name, upstreams: known }) => ({ process: name, upstreams: known }))
  const admin = own(
    await openAdminPlane({
      config: () => inForce,
      pools,
      clock,
      masters,
      keyring,
      keyPepper,
      events,
      upstreams,
      limitUse,
      log,
    }),
  )
  readiness.ask(opened.notReadyReasons)
  readiness.describe(() => ({
    workers: opened.workers().map(({ name, isReady, upstreams }) => ({
      worker: name,
      ready: isReady,
      upstreams: readinessUpstreams(upstreams),
    })),
  }))
  const { rest, grpc } = await Promise.race([opened.ready, aborted(signal)])
  readiness.blockedBy(undefined)

  const resources = opening.move()
  return {
    rest,
    grpc,
    ops: foundation.ops,
    admin: admin.address,
    notices: {
      usesEmbeddedDatabase: false,
      dataFolder: folder.path,
      generatedSecretFiles: folder.secrets.generated.map(({ file }) => file),
      demoKey: undefined,
      warnings: [...folder.secrets.warnings, ...upkeep.warnings],
      setupToken: admin.setupToken,
    },
    failed: opened.failed,
    async reload(next) {
      const files = filesRead()
      const refused = await upkeep.declare(next.declared)
      if (refused.length > 0) return refused
      const problems = await opened.reload(files)
      if (problems.length > 0) {
        // What one worker cannot serve must not be what the next one finds.
        await upkeep.declare(inForce.declared)
        await opened.reload(filesInForce)
        return problems
      }
      inForce = next
      filesInForce = files
      return []
    },
    async drain(delayMs, deadline) {
      readiness.blockedBy('draining')
      opened.announceDrain()
      await Promise.race([delay(delayMs, undefined, { ref: false }), deadline])
      await opened.drain(deadline)
    },
    close: () => resources.disposeAsync(),
  }
}

function registerWorkerMetrics(registry: Registry, workers: WorkerPool['workers']): void {
  const perWorker = (value: (worker: ReturnType<WorkerPool['workers']>[number]) => number) => () =>
    workers().map((worker) => ({ labels: { worker: worker.name }, value: value(worker) }))
  registerSampled(
    registry,
    { name: 'llmgw_worker_ready', help: 'Whether a worker should get calls.', type: 'gauge' },
    perWorker(({ isReady }) => (isReady ? 1 : 0)),
  )
  registerSampled(
    registry,
    { name: 'llmgw_worker_restarts_total', help: 'Workers that died and were replaced.', type: 'counter' },
    perWorker(({ restarts }) => restarts),
  )
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
