import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrateDown, migrateUp, readSchemaState } from '../../src/core/db/migrate.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createRecordingLog, silent } from '../support/log.ts'

let database: TestDatabase
let folder: string
beforeEach(async () => {
  database = await createTestDatabase({ empty: true })
  folder = await mkdtemp(path.join(tmpdir(), 'llmgw-migrations-'))
})
afterEach(async () => {
  await database.drop()
  await rm(folder, { recursive: true })
})

const objects = async () =>
  (
    await database.pools.admin.query(
      `select relname as name from pg_class where relnamespace = 'public'::regnamespace
       union all
       select proname from pg_proc
       where pronamespace = 'public'::regnamespace
         and not exists (select from pg_depend d where d.objid = pg_proc.oid and d.deptype = 'e')
       order by 1`,
    )
  ).rows.map(({ name }) => name)

async function writeMigration(name: string, up: string, down = ''): Promise<void> {
  const library = JSON.stringify(import.meta.resolve('@mikro-orm/migrations'))
  await writeFile(
    path.join(folder, `${name}.ts`),
    `import { Migration } from ${library}
     export class M extends Migration {
       override up() { this.addSql(${JSON.stringify(up)}) }
       override down() { this.addSql(${JSON.stringify(down)}) }
     }`,
  )
}

test('our migrations go up, down to nothing, and up again to the same schema', async () => {
  const up = await migrateUp({ url: database.url, log: silent })
  expect(up.migrations.length).toBeGreaterThanOrEqual(4)
  const schema = await objects()
  expect(await readSchemaState(database.pools.admin)).toEqual({ status: 'current' })

  const down = await migrateDown({ url: database.url, log: silent, to: 0 })
  expect(down.migrations).toEqual([...up.migrations].reverse())
  expect((await objects()).filter((name) => !name.startsWith('schema_migrations'))).toEqual([])

  await migrateUp({ url: database.url, log: silent })
  expect(await objects()).toEqual(schema)
})

test('the last migration alone can be taken back', async () => {
  await writeMigration('20260101000001_one', 'create table one ()', 'drop table one')
  await writeMigration('20260101000002_two', 'create table two ()', 'drop table two')
  await migrateUp({ url: database.url, log: silent, folder })
  const { migrations } = await migrateDown({ url: database.url, log: silent, folder })
  expect(migrations).toEqual(['20260101000002_two'])
  expect(await readSchemaState(database.pools.admin, folder)).toEqual({
    status: 'behind',
    pending: ['20260101000002_two'],
  })
})

test('of several replicas that start at once one migrates', async () => {
  await writeMigration('20260101000001_one', 'create table one (); select pg_sleep(0.2)')
  const runs = await Promise.all(Array.from({ length: 3 }, () => migrateUp({ url: database.url, log: silent, folder })))
  expect(runs.map(({ migrations }) => migrations.length).sort()).toEqual([0, 0, 1])
})

test('a migration that meets a lock steps back and tries again', async () => {
  await database.pools.admin.query('create table busy ()')
  await writeMigration('20260101000001_wait', 'alter table busy add column x int')
  const holder = await database.pools.admin.connect()
  await holder.query('begin')
  await holder.query('set local idle_in_transaction_session_timeout = 0')
  await holder.query('lock table busy')
  const log = createRecordingLog()
  const migrating = migrateUp({ url: database.url, log, folder })
  await expect
    .poll(() => log.lines.map(({ message }) => message), { timeout: 10_000 })
    .toContain('A migration could not get its lock; trying again.')
  await holder.query('rollback')
  holder.release()
  expect((await migrating).migrations).toEqual(['20260101000001_wait'])
})

test('a migration that fails leaves nothing of itself and keeps what came before', async () => {
  await writeMigration('20260101000001_good', 'create table good ()')
  await writeMigration('20260101000002_bad', 'create table half (); select 1/0')
  await expect(migrateUp({ url: database.url, log: silent, folder })).rejects.toThrow(/division by zero/)
  expect(await objects()).toEqual(expect.arrayContaining(['good']))
  expect(await objects()).not.toContain('half')
  expect(await readSchemaState(database.pools.admin, folder)).toEqual({
    status: 'behind',
    pending: ['20260101000002_bad'],
  })
})

test('a schema that a newer release made is refused and not touched', async () => {
  await writeMigration('20260101000001_one', 'create table one ()')
  await migrateUp({ url: database.url, log: silent, folder })
  await database.pools.admin.query(`insert into schema_migrations (name) values ('20990101000001_future')`)
  await writeMigration('20260101000002_two', 'create table two ()')
  await expect(migrateUp({ url: database.url, log: silent, folder })).rejects.toMatchObject({
    reason: 'schema_newer',
    message: expect.stringContaining('The database schema is newer than this release: it has 20990101000001_future'),
  })
  expect(await objects()).not.toContain('two')
})

test('waiting for another replica ends with the signal', async () => {
  const holder = await database.pools.admin.connect()
  await holder.query(`select pg_advisory_lock(hashtext('llmgw migrations'))`)
  const waiting = migrateUp({ url: database.url, log: silent, folder, signal: AbortSignal.timeout(100) })
  await expect(waiting).rejects.toThrow()
  await holder.query('select pg_advisory_unlock_all()')
  holder.release()
})
