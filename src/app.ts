import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { Config } from './config/load-config.ts'
import type { ConfigProblem } from './config/problem.ts'
import { createDatabaseClock } from './core/clock.ts'
import { type DataFolder, openDataFolder } from './core/data-folder/data-folder.ts'
import { checkSecretCanaries } from './core/data-folder/secret-canaries.store.ts'
import { openConnection } from './core/db/connection.ts'
import { startDatabaseClockSync } from './core/db/database-clock-sync.ts'
import { startEmbeddedPostgres } from './core/db/embedded-postgres.ts'
import { migrateUp, readSchemaState, schemaNewer } from './core/db/migrate.ts'
import { maintainPartitions, startPartitionJob } from './core/db/partitions.ts'
import { openPools } from './core/db/pools.ts'
import type { Log } from './core/log.ts'
import { StartRefusal } from './core/start-refusal.ts'
import { createGateway, type Gateway } from './gateway.ts'
import { registerProcessMetrics } from './ops/process-metrics.ts'
import { createOpsServer } from './ops/server.ts'

/** What the process runs: everything opened, in order, and how it ends. */
export interface App {
  readonly rest: AddressInfo
  readonly ops: AddressInfo
  /** What an operator should be told once, after the start. */
  readonly notices: StartNotices
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
}

const retryMsMin = 1_000
const retryMsMax = 30_000

/** What the app says to an operator at once, rather than when all is open. */
export interface Operator {
  /** The secret of a key that was declared without one. It cannot be read again, whatever happens after this. */
  showKey(key: { name: string; secret: string }): void
  /** Takes the request log's finished lines; nothing is written where the log's level leaves them out. */
  writeLog(line: string): void
}

/**
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
  const registry = new Registry()
  registerProcessMetrics(registry)
  const clock = createDatabaseClock()

  const folder = own(
    await openDataFolder({
      dir: settings.dataDir,
      givenSecrets: { 'master-key': settings.masterKey?.reveal(), 'key-pepper': settings.keyPepper?.reveal() },
    }),
  )
  let notReady: readonly string[] = ['starting']
  let gateway: Gateway | undefined
  const ops = own(
    createOpsServer({
      notReadyReasons: () => [...notReady, ...(gateway?.notReadyReasons() ?? [])],
      metrics: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
    }),
  )
  const opsAddress = await ops.listen(settings.host, settings.opsPort).catch(portRefusal('LLMGW_OPS_PORT'))

  const embedded = settings.databaseUrl ? undefined : own(await startEmbeddedPostgres({ dataDir: folder.path, log }))
  const url = settings.databaseUrl?.reveal() ?? (embedded as { url: string }).url
  const retention = {
    usageRetentionDays: config.usage.retentionDays,
    ledgerRetentionDays: config.usage.ledgerRetentionDays,
  }
  await untilDatabaseServes(
    async () => {
      await fitSchema(url, settings.migrate, log, signal)
      await maintainPartitions({ url, log, ...retention })
    },
    {
      log,
      signal,
      whileWaiting: (reason) => {
        notReady = [reason]
      },
    },
  )
  const pools = own(openPools({ url, log }))
  await checkSecretCanaries(pools.admin, folder.secrets.values)
  const clockSync = own(startDatabaseClockSync({ pool: pools.request, clock, log }))
  await clockSync.first
  own(startPartitionJob({ url, log, ...retention }))

  gateway = own(
    await createGateway({
      config,
      log,
      clock,
      pools,
      registry,
      journalFolder: join(folder.path, 'journal'),
      keyPepper: folder.secrets.values['key-pepper'],
      demoKeyFile: embedded ? join(folder.path, 'secrets', 'demo-key') : undefined,
      replica: `${hostname()}-${process.pid}`,
      showKey: operator.showKey,
      writeLog: operator.writeLog,
    }),
  )
  const restAddress = await gateway.listen(settings.host, settings.restPort).catch(portRefusal('LLMGW_PORT'))
  notReady = []

  const opened = gateway
  const resources = opening.move()
  return {
    rest: restAddress,
    ops: opsAddress,
    notices: noticesOf(folder, opened, embedded !== undefined),
    reload: (next) => opened.reload(next),
    async drain(delayMs, deadline) {
      notReady = ['draining']
      await Promise.race([delay(delayMs, undefined, { ref: false }), deadline])
      await opened.drain(deadline)
    },
    close: () => resources.disposeAsync(),
  }
}

async function fitSchema(url: string, migrate: 'auto' | 'off', log: Log, signal: AbortSignal): Promise<void> {
  if (migrate === 'auto') {
    // Comparing costs one query; loading the migration library costs most of a second.
    await using client = await openConnection({ url, purpose: 'schema' })
    const state = await readSchemaState(client)
    if (state.status === 'incompatible') throw schemaNewer(state.unknown)
    if (state.status === 'behind') await migrateUp({ url, log, signal })
    return
  }
  await using client = await openConnection({ url, purpose: 'schema' })
  const state = await readSchemaState(client)
  if (state.status === 'incompatible') throw schemaNewer(state.unknown)
  if (state.status === 'behind') {
    throw new SchemaBehind(`the schema lacks ${state.pending.join(', ')}; run "llmgw migrate" (LLMGW_MIGRATE is off)`)
  }
}

/** Waiting helps, but somebody has to do something first. */
class SchemaBehind extends Error {}

interface Waiting {
  log: Log
  signal: AbortSignal
  whileWaiting(reason: string): void
}

/** A database that is away is no reason to die: the process stays, unready, and tries again. */
async function untilDatabaseServes(
  prepare: () => Promise<void>,
  { log, signal, whileWaiting }: Waiting,
): Promise<void> {
  for (let limitMs = retryMsMin; ; limitMs = Math.min(limitMs * 2, retryMsMax)) {
    try {
      return await prepare()
    } catch (error) {
      if (error instanceof StartRefusal || signal.aborted) throw error
      const waitMs = retryMsMin + Math.random() * (limitMs - retryMsMin)
      log.error({ err: error, retry_in_ms: Math.round(waitMs) }, 'The database does not serve yet; trying again.')
      whileWaiting(error instanceof SchemaBehind ? error.message : 'waiting for the database')
      await delay(waitMs, undefined, { signal })
    }
  }
}

const portRefusal =
  (variable: string) =>
  (error: NodeJS.ErrnoException): never => {
    const why =
      error.code === 'EADDRINUSE' ? 'is in use by another process' : `cannot be listened on (${error.code ?? error})`
    throw new StartRefusal('port_unusable', `The port of ${variable} ${why}. Choose another one with ${variable}.`, {
      cause: error,
    })
  }

function noticesOf(folder: DataFolder, gateway: Gateway, usesEmbeddedDatabase: boolean): StartNotices {
  return {
    usesEmbeddedDatabase,
    dataFolder: folder.path,
    generatedSecretFiles: folder.secrets.generated.map(({ file }) => file),
    demoKey: gateway.demoKey,
    warnings: [...folder.secrets.warnings, ...gateway.warnings],
  }
}
