import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import { openAdminPlane } from './administration.ts'
import type { Config } from './config/load-config.ts'
import type { ConfigProblem } from './config/problem.ts'
import type { Log } from './core/log.ts'
import { createReplicaId } from './core/replicas/replica-id.ts'
import { openFoundation } from './foundation.ts'
import { registerProcessMetrics } from './ops/process-metrics.ts'
import { readinessUpstreams } from './ops/readiness-upstreams.ts'
import { createReadiness } from './readiness.ts'
import { openServing } from './serving.ts'
import { openSharedState } from './shared-state.ts'
import { openUpkeep } from './upkeep.ts'

/** What the process runs: everything opened, in order, and how it ends. */
export interface App {
  readonly rest: AddressInfo
  readonly grpc: AddressInfo
  readonly ops: AddressInfo
  readonly admin: AddressInfo
  /** What an operator should be told once, after the start. */
  readonly notices: StartNotices
  /** Resolves when the app can serve no more, and never will; its message is for the operator. */
  readonly failed: Promise<Error>
  /** Puts another configuration in force, all of it or nothing; returns why not. */
  reload(config: Config): Promise<readonly ConfigProblem[]>
  /**
   * Readiness says no at once; after the delay nothing new is accepted, and what runs may end until the deadline.
   *
   * @param delayMs - for load balancers to notice
   */
  drain(delayMs: number, deadline: Promise<void>): Promise<void>
  /** Closes everything in the reverse order. */
  close(): Promise<void>
}

export interface StartNotices {
  usesEmbeddedDatabase: boolean
  dataFolder: string
  /** Files with secrets that this start has made. */
  generatedSecretFiles: readonly string[]
  /** Of the demo key; undefined when there is none. */
  demoKey: string | undefined
  warnings: readonly string[]
  /** By which the first administrator comes in, once; undefined when there is one. */
  setupToken: string | undefined
}

/** What the app says to an operator at once, rather than when all is open. */
export interface Operator {
  /** The secret of a key that was declared without one. It cannot be read again, whatever happens after this. */
  showKey(key: { name: string; secret: string }): void
  /** Takes the request log's finished lines; nothing is written where the log's level leaves them out. */
  writeLog(line: string): void
}

/** Of a process that serves alone. */
const soleName = 'main'

/**
 * Opens everything in this process, which serves alone; see `openPrimary` for several.
 *
 * @param signal - gives the start up, for instance while the database is away
 * @throws StartRefusal when waiting cannot help: the message is for the operator
 */
export async function openApp(
  config: Config,
  log: Log,
  signal: AbortSignal,
  operator: Operator = { showKey: () => {}, writeLog: () => {} },
): Promise<App> {
  await using opening = new AsyncDisposableStack()
  const own = <T extends { close(): unknown }>(resource: T): T => {
    opening.defer(async () => void (await resource.close()))
    return resource
  }
  const { settings } = config
  const host = hostname()
  const replica = createReplicaId(host)
  const registry = new Registry()
  registerProcessMetrics(registry)
  const readiness = createReadiness()
  const foundation = own(
    await openFoundation({
      config,
      log,
      signal,
      replica,
      readiness,
      metrics: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    }),
  )
  const { folder, pools, clock, usesEmbeddedDatabase } = foundation
  const keyPepper = folder.secrets.values['key-pepper']
  const shared = own(await openSharedState({ settings, replica, registry, log }))
  const upkeep = own(
    await openUpkeep({
      config,
      log,
      clock,
      pools,
      keyPepper,
      showKey: operator.showKey,
      changed: () => shared.events.publish({ type: 'configuration-changed' }),
    }),
  )
  const gateway = own(
    await openServing({
      config,
      log,
      writeLog: operator.writeLog,
      clock,
      pools,
      registry,
      shared,
      replica: { id: replica, host },
      name: soleName,
      names: [soleName],
      adopts: true,
      journals: join(folder.path, 'journal'),
      keyPepper,
      keyring: foundation.keyring,
      demoKeyFile: usesEmbeddedDatabase ? join(folder.path, 'secrets', 'demo-key') : undefined,
      declare: upkeep.declare,
    }),
  )
  let inForce = config
  const admin = own(
    await openAdminPlane({
      config: () => inForce,
      pools,
      clock,
      masters: foundation.masters,
      keyring: foundation.keyring,
      keyPepper,
      events: shared.events,
      upstreams: () => [{ process: soleName, upstreams: gateway.upstreams() }],
      limitUse: gateway.limitUse,
      log,
    }),
  )
  readiness.ask(gateway.notReadyReasons)
  readiness.describe(() => ({ upstreams: readinessUpstreams(gateway.upstreams()) }))
  const { rest, grpc } = await gateway.listen(settings.host, { rest: settings.restPort, grpc: settings.grpcPort })
  readiness.blockedBy(undefined)

  const resources = opening.move()
  return {
    rest,
    grpc,
    ops: foundation.ops,
    admin: admin.address,
    notices: {
      usesEmbeddedDatabase,
      dataFolder: folder.path,
      generatedSecretFiles: folder.secrets.generated.map(({ file }) => file),
      demoKey: gateway.demoKey,
      warnings: [...folder.secrets.warnings, ...upkeep.warnings],
      setupToken: admin.setupToken,
    },
    failed: new Promise(() => {}),
    async reload(next) {
      const problems = await gateway.reload(next)
      if (problems.length === 0) inForce = next
      return problems
    },
    async drain(delayMs, deadline) {
      readiness.blockedBy('draining')
      gateway.announceDrain()
      await Promise.race([delay(delayMs, undefined, { ref: false }), deadline])
      await gateway.drain(deadline)
    },
    close: () => resources.disposeAsync(),
  }
}
