import { join } from 'node:path'
import type { EnvironmentSettings } from '../config/environment.ts'
import { openDataFolder } from '../core/data-folder/data-folder.ts'
import { openRootSecrets } from '../core/data-folder/root-secrets.ts'
import { checkSecretCanaries } from '../core/data-folder/secret-canaries.store.ts'
import { findEmbeddedPostgres, startEmbeddedPostgres } from '../core/db/embedded-postgres.ts'
import { migrateUp, readSchemaState, schemaNewer } from '../core/db/migrate.ts'
import { openPools, type Pools } from '../core/db/pools.ts'
import type { Log } from '../core/log.ts'
import type { MasterKeys } from '../core/secrets/open-keyring.store.ts'
import { StartRefusal } from '../core/start-refusal.ts'
import { masterKeysOf } from '../master-keys.ts'

/** The gateway's database as a command finds it. */
export interface CommandDatabase extends AsyncDisposable {
  readonly url: string
  readonly pools: Pools
  readonly keyPepper: Buffer
  readonly masters: MasterKeys
}

/** Where the database is reached, and what belongs to it; of a gateway that runs beside the command, or of none. */
export interface CommandData extends AsyncDisposable {
  readonly url: string
  readonly secrets: Readonly<Record<'master-key' | 'key-pepper', Buffer>>
  /** The built-in database was started for this command, and nobody else uses it. */
  readonly startedHere: boolean
}

/**
 * Opens the database for one command: the configured one, that of a running gateway, or the built-in one, started for
 * as long as the command takes.
 *
 * @throws StartRefusal when the schema does not fit or the secrets are others
 */
export async function openCommandDatabase(settings: EnvironmentSettings, log: Log): Promise<CommandDatabase> {
  await using opening = new AsyncDisposableStack()
  const data = opening.use(await openCommandData(settings, log))
  const pools = openPools({ url: data.url, log })
  opening.defer(() => pools.close())
  const state = await readSchemaState(pools.admin)
  if (state.status === 'incompatible') throw schemaNewer(state.unknown)
  if (state.status === 'behind') {
    if (!data.startedHere) {
      throw new StartRefusal(
        'schema_behind',
        `The database lacks the migrations ${state.pending.join(', ')}. Run "llmgw migrate" first.`,
      )
    }
    await migrateUp({ url: data.url, log })
  }
  const masters = masterKeysOf(settings, data.secrets['master-key'])
  await checkSecretCanaries(pools.admin, data.secrets, masters.others)
  const resources = opening.move()
  return {
    url: data.url,
    pools,
    keyPepper: data.secrets['key-pepper'],
    masters,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

export async function openCommandData(settings: EnvironmentSettings, log: Log): Promise<CommandData> {
  await using opening = new AsyncDisposableStack()
  const givenSecrets = { 'master-key': settings.masterKey?.reveal(), 'key-pepper': settings.keyPepper?.reveal() }
  const databaseUrl = settings.databaseUrl?.reveal()
  if (databaseUrl === undefined) {
    const folder = await openDataFolder({ dir: settings.dataDir, givenSecrets }).catch((error: unknown) => {
      if (error instanceof StartRefusal && error.reason === 'data_folder_in_use') return undefined
      throw error
    })
    if (folder) {
      opening.defer(() => folder.close())
      const postgres = await startEmbeddedPostgres({ dataDir: folder.path, log })
      opening.defer(() => postgres.close())
      return commandData(postgres.url, folder.secrets.values, true, opening.move())
    }
  }
  // A gateway runs on this folder, or the database is elsewhere: the folder's secrets are only read.
  const { values } = await openRootSecrets(join(settings.dataDir, 'secrets'), givenSecrets)
  if (databaseUrl !== undefined) return commandData(databaseUrl, values, false, opening.move())
  const running = await findEmbeddedPostgres(settings.dataDir)
  if (!running) {
    throw new StartRefusal(
      'data_folder_in_use',
      `A gateway uses the data folder ${settings.dataDir}, but not its built-in database. Give this command the same ` +
        'DATABASE_URL as the gateway has.',
    )
  }
  opening.defer(() => running.close())
  return commandData(running.url, values, false, opening.move())
}

function commandData(
  url: string,
  secrets: CommandData['secrets'],
  startedHere: boolean,
  resources: AsyncDisposableStack,
): CommandData {
  return { url, secrets, startedHere, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
