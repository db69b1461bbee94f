import type { Registry } from 'prom-client'
import type { Config } from './config/load-config.ts'
import type { DatabaseClock } from './core/clock.ts'
import type { Pools } from './core/db/pools.ts'
import type { Log } from './core/log.ts'
import { openReplicaRegistry } from './core/replicas/replica-registry.ts'
import type { Keyring } from './core/secrets/keyring.ts'
import { claimJournals } from './core/usage/journal-claims.ts'
import { createGateway, type Gateway } from './gateway.ts'
import { release } from './release.ts'
import type { SharedState } from './shared-state.ts'
import type { Upkeep } from './upkeep.ts'

/** What each process that serves has, whether it is the only one or one of several. */
export interface ServingDeps {
  config: Config
  log: Log
  /** Takes finished log lines, request lines that is; does nothing where the log's level leaves them out. */
  writeLog(line: string): void
  clock: DatabaseClock
  pools: Pools
  registry: Registry
  shared: SharedState
  replica: { id: string; host: string }
  /** Names this process among those of one start: in the list of replicas, and as the owner of its journal. */
  name: string
  /** Of all processes of this start that serve. */
  names: readonly string[]
  /** Whether this process takes over what others have left that are no longer started. */
  adopts: boolean
  /** Where the usage journals of the data folder lie. */
  journals: string
  keyPepper: Buffer
  /** Opens what is sealed in the database. */
  keyring: Keyring
  /** Where the demo key's secret is kept; undefined makes none. */
  demoKeyFile?: string | undefined
  declare: Upkeep['declare']
}

/** @throws StartRefusal when routing cannot be built, or another process writes the journal */
export async function openServing(deps: ServingDeps): Promise<Gateway> {
  await using opening = new AsyncDisposableStack()
  const own = <T extends { close(): unknown }>(resource: T): T => {
    opening.defer(async () => void (await resource.close()))
    return resource
  }
  const { clock, log, pools, replica, name, names, adopts, journals } = deps
  const claims = own(await claimJournals({ path: journals, owner: name, owners: names, adopts, log }))
  const replicas = own(
    await openReplicaRegistry({
      ...replica,
      pid: process.pid,
      version: release,
      label: name,
      pool: pools.settlement,
      clock,
      log,
    }),
  )
  const gateway = own(
    await createGateway({
      config: deps.config,
      log,
      writeLog: deps.writeLog,
      clock,
      pools,
      registry: deps.registry,
      replica: replica.id,
      replicas,
      redis: deps.shared.redis,
      events: deps.shared.events,
      journalFolder: journals,
      journalOwner: name,
      formerJournalOwners: claims.formerOwners,
      keyPepper: deps.keyPepper,
      keyring: deps.keyring,
      demoKeyFile: deps.demoKeyFile,
      declare: deps.declare,
    }),
  )
  await claims.adopted()
  const resources = opening.move()
  return { ...gateway, close: () => resources.disposeAsync() }
}
