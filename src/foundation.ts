import type { AddressInfo } from 'node:net'
import type { Config } from './config/load-config.ts'
import { createDatabaseClock, type DatabaseClock } from './core/clock.ts'
import { type DataFolder, openDataFolder } from './core/data-folder/data-folder.ts'
import { checkSecretCanaries } from './core/data-folder/secret-canaries.store.ts'
import { openConnection } from './core/db/connection.ts'
import { startDatabaseClockSync } from './core/db/database-clock-sync.ts'
import { startEmbeddedPostgres } from './core/db/embedded-postgres.ts'
import { migrateUp, readSchemaState, schemaNewer } from './core/db/migrate.ts'
import { maintainPartitions, startPartitionJob } from './core/db/partitions.ts'
import { openPools, type Pools } from './core/db/pools.ts'
import type { Log } from './core/log.ts'
import { type ReplicaLock, takeReplicaLock } from './core/replicas/replica-lock.store.ts'
import type { Keyring } from './core/secrets/keyring.ts'
import { type MasterKeys, openKeyring } from './core/secrets/open-keyring.store.ts'
import { masterKeysOf } from './master-keys.ts'
import { createOpsServer } from './ops/server.ts'
import { portRefusal } from './port-refusal.ts'
import type { Readiness } from './readiness.ts'
import { DatabaseNotFit, untilDatabaseServes } from './until-database-serves.ts'

/** What one start of the gateway has once, however many processes serve: its folder, its private listener, its database. */
export interface Foundation {
  readonly folder: DataFolder
  /** Of the private listener. */
  readonly ops: AddressInfo
  readonly databaseUrl: string
  readonly usesEmbeddedDatabase: boolean
  readonly pools: Pools
  readonly clock: DatabaseClock
  /** Opens what is sealed in the database. */
  readonly keyring: Keyring
  readonly masters: MasterKeys
  close(): Promise<void>
}

export interface FoundationDeps {
  config: Config
  log: Log
  /** Gives the start up, for instance while the database is away. */
  signal: AbortSignal
  /** Names this process to others that are refused because of it. */
  replica: string
  readiness: Readiness
  metrics(): Promise<{ contentType: string; text: string }>
}

/** @throws StartRefusal when waiting cannot help: the message is for the operator */
export async function openFoundation(deps: FoundationDeps): Promise<Foundation> {
  await using opening = new AsyncDisposableStack()
  const own = <T extends { close(): unknown }>(resource: T): T => {
    opening.defer(async () => void (await resource.close()))
    return resource
  }
  const { config, log, signal, readiness } = deps
  const { settings } = config
  const clock = createDatabaseClock()

  const folder = own(
    await openDataFolder({
      dir: settings.dataDir,
      givenSecrets: { 'master-key': settings.masterKey?.reveal(), 'key-pepper': settings.keyPepper?.reveal() },
    }),
  )
  const opsServer = own(
    createOpsServer({
      notReadyReasons: readiness.reasons,
      readinessDetail: readiness.detail,
      metrics: deps.metrics,
    }),
  )
  const ops = await opsServer.listen(settings.host, settings.opsPort).catch(portRefusal('LLMGW_OPS_PORT'))

  const embedded = settings.databaseUrl ? undefined : own(await startEmbeddedPostgres({ dataDir: folder.path, log }))
  const url = settings.databaseUrl?.reveal() ?? (embedded as { url: string }).url
  const retention = {
    usageRetentionDays: config.usage.retentionDays,
    ledgerRetentionDays: config.usage.ledgerRetentionDays,
  }
  const sharesState = settings.redisUrl !== undefined
  let lock: ReplicaLock | undefined
  await untilDatabaseServes(
    async () => {
      lock ??= own(await takeReplicaLock({ url, sharesState, replica: deps.replica, log, signal }))
      await fitSchema(url, settings.migrate, log, signal)
      await maintainPartitions({ url, log, ...retention })
    },
    { log, signal, readiness },
  )
  readiness.ask(() => lock?.notReadyReasons() ?? [])
  const pools = own(openPools({ url, log }))
  const masters = masterKeysOf(settings, folder.secrets.values['master-key'])
  await checkSecretCanaries(pools.admin, folder.secrets.values, masters.others)
  const keyring = await openKeyring(pools.admin, masters)
  const clockSync = own(startDatabaseClockSync({ pool: pools.request, clock, log }))
  await clockSync.first
  own(startPartitionJob({ url, log, ...retention }))

  const resources = opening.move()
  return {
    folder,
    ops,
    databaseUrl: url,
    usesEmbeddedDatabase: embedded !== undefined,
    pools,
    clock,
    keyring,
    masters,
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
    throw new DatabaseNotFit(`the schema lacks ${state.pending.join(', ')}; run "llmgw migrate" (LLMGW_MIGRATE is off)`)
  }
}
