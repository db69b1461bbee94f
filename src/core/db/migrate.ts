import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import type { Log } from '../log.ts'
import { StartRefusal } from '../start-refusal.ts'
import { openConnection } from './connection.ts'

export interface MigrateOptions {
  url: string
  log: Log
  /** Where the migration files are; a parameter so that tests can bring their own. */
  folder?: string
  signal?: AbortSignal
}

export interface MigrateResult {
  /** Names without extension, in the order in which they ran. */
  migrations: readonly string[]
}

export type SchemaState =
  | { status: 'current' }
  | { status: 'behind'; pending: readonly string[] }
  /** A newer release was here; everything it did is declared to suit this one. */
  | { status: 'ahead'; unknown: readonly string[] }
  | { status: 'incompatible'; unknown: readonly string[] }

export const migrationsFolder = path.join(import.meta.dirname, '../../../migrations')

const migrationsTable = 'schema_migrations'
/** Any number will do as long as every release uses the same: one runner at a time for the whole database. */
const advisoryLock = 'hashtext($$llmgw migrations$$)'
const waitForOthersMs = 300_000
/** A migration waits this long for a lock that calls hold, and calls wait behind it; then it steps back and retries. */
const lockTimeoutMs = 2_000
const attemptsMax = 10

/**
 * Brings the schema up to this release. Of several replicas one migrates, the others wait and find nothing to do.
 *
 * @throws StartRefusal `schema_newer` when a newer release changed the schema in a way that this one cannot work with
 */
export async function migrateUp(options: MigrateOptions): Promise<MigrateResult> {
  return whileNobodyElseMigrates(options, async (client, known) => {
    const state = compareSchema(known, await appliedMigrations(client))
    if (state.status === 'incompatible') throw schemaNewer(state.unknown)
    if (state.status === 'ahead') {
      options.log.warn({ migrations: state.unknown }, 'The schema is that of a newer release; it suits this one, too.')
    }
    if (state.status !== 'behind') return { migrations: [] }
    await runMigrations(options, { direction: 'up' })
    options.log.info({ migrations: state.pending }, 'Migrated the database.')
    return { migrations: state.pending }
  })
}

/**
 * Takes migrations back, for development and tests; releases only go forward.
 *
 * @param options.to - the last migration to keep, without extension; 0 takes everything back, undefined the last one
 * @throws RangeError when there is no such migration; nothing was taken back then
 */
export async function migrateDown(options: MigrateOptions & { to?: string | 0 }): Promise<MigrateResult> {
  return whileNobodyElseMigrates(options, async (client) => {
    const applied = await appliedMigrations(client)
    if (typeof options.to === 'string' && !applied.includes(options.to)) {
      // The library would take everything back, and everything is gone then.
      throw new RangeError(`There is no migration "${options.to}" to go back to. There are: ${applied.join(', ')}.`)
    }
    return { migrations: await runMigrations(options, { direction: 'down', to: options.to }) }
  })
}

/** Compares files and database with one query and without loading the migration library. */
export async function readSchemaState(client: pg.ClientBase | pg.Pool, folder?: string): Promise<SchemaState> {
  return compareSchema(await knownMigrations(folder), await appliedMigrations(client))
}

/** @throws StartRefusal `schema_newer` unless this release can work with the schema as it is */
export function schemaNewer(unknown: readonly string[]): StartRefusal {
  return new StartRefusal(
    'schema_newer',
    `The database schema is newer than this release: it has ${unknown.join(', ')}. Start the release that made it, or ` +
      'a newer one.',
  )
}

/**
 * A migration that this release does not have makes the schema unfit for it, unless the migration's name says since
 * which one releases can work with it: `20270301000001_add_regions_suits_20261123000004` suits every release that has
 * 20261123000004. That keeps a rollback by one release possible after an expanding migration.
 *
 * @param known - the migrations of this release, sorted
 */
export function compareSchema(known: readonly string[], applied: readonly string[]): SchemaState {
  const unknown = applied.filter((name) => !known.includes(name))
  const unfit = unknown.filter((name) => {
    const suited = /_suits_(\d{14})$/.exec(name)?.[1]
    return suited === undefined || !known.some((candidate) => candidate.startsWith(suited))
  })
  if (unfit.length > 0) return { status: 'incompatible', unknown: unfit }
  const pending = known.filter((name) => !applied.includes(name))
  if (pending.length > 0) return { status: 'behind', pending }
  return unknown.length > 0 ? { status: 'ahead', unknown } : { status: 'current' }
}

async function knownMigrations(folder = migrationsFolder): Promise<string[]> {
  const files = await readdir(folder)
  return files
    .filter((file) => /^\d{14}_.*(?<!\.d)\.[jt]s$/.test(file))
    .map((file) => file.slice(0, -3))
    .sort()
}

async function appliedMigrations(client: pg.ClientBase | pg.Pool): Promise<string[]> {
  const exists = await client.query(`select to_regclass('${migrationsTable}') as found`)
  if (exists.rows[0].found === null) return []
  const { rows } = await client.query<{ name: string }>(`select name from ${migrationsTable} order by id`)
  return rows.map((row) => row.name)
}

async function whileNobodyElseMigrates<T>(
  options: MigrateOptions,
  work: (client: pg.Client, known: readonly string[]) => Promise<T>,
): Promise<T> {
  const known = await knownMigrations(options.folder)
  await using client = await openConnection({
    url: options.url,
    purpose: 'migrations',
    lockTimeoutMs: waitForOthersMs,
  })
  // Ends the wait for the lock, too: the server gives up a lock, and a wait for one, with the connection.
  const abort = () => void client.end().catch(() => {})
  options.signal?.addEventListener('abort', abort, { once: true })
  try {
    options.signal?.throwIfAborted()
    await client.query(`select pg_advisory_lock(${advisoryLock})`)
    return await work(client, known)
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}

type Direction = { direction: 'up' } | { direction: 'down'; to: string | 0 | undefined }

async function runMigrations(options: MigrateOptions, run: Direction): Promise<string[]> {
  // Half a second to load, so only when there is something to do.
  const [{ MikroORM }, { Migrator }] = await Promise.all([
    import('@mikro-orm/postgresql'),
    import('@mikro-orm/migrations'),
  ])
  const orm = await MikroORM.init({
    clientUrl: options.url,
    driverOptions: { application_name: 'llmgw migrations', lock_timeout: lockTimeoutMs },
    entities: [],
    discovery: { warnWhenNoEntities: false },
    extensions: [Migrator],
    logger: () => {},
    migrations: {
      path: options.folder ?? migrationsFolder,
      glob: '!(*.d).{js,ts}',
      tableName: migrationsTable,
      // One transaction each: locks are held for one change, and what is done stays done.
      transactional: true,
      allOrNothing: false,
      // Switching off constraints needs a superuser, and nothing here wants it.
      disableForeignKeys: false,
      snapshot: false,
      silent: true,
    },
  })
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        const migrated =
          run.direction === 'up'
            ? await orm.migrator.up()
            : await orm.migrator.down(run.to === undefined ? undefined : { to: run.to })
        return migrated.map(({ name }) => name.replace(/\.[jt]s$/, ''))
      } catch (error) {
        if (attempt === attemptsMax || !isLockTimeout(error)) throw error
        options.log.warn({ err: error, attempt }, 'A migration could not get its lock; trying again.')
        await delay(Math.random() * 1_000 * attempt, undefined, options.signal ? { signal: options.signal } : {})
      }
    }
  } finally {
    await orm.close(true)
  }
}

function isLockTimeout(error: unknown): boolean {
  for (let current = error; current instanceof Error; current = current.cause) {
    if ((current as { code?: string }).code === '55P03') return true
  }
  return false
}
