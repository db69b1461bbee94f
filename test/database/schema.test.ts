import type { EntityMetadata } from '@mikro-orm/core'
import { DatabaseSchema } from '@mikro-orm/postgresql'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Orm, openOrm } from '../../src/core/db/orm.ts'
import { partitionedTables } from '../../src/core/db/partitions.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let orm: Orm
beforeAll(async () => {
  database = await createTestDatabase()
  orm = await openOrm({ url: database.url })
})
afterAll(async () => {
  await orm.close()
  await database.drop()
})

const query = async (sql: string, values: unknown[] = []) => (await database.pools.admin.query(sql, values)).rows

const tablesOfTheDesign = `organizations teams admin_users role_bindings admin_tokens sessions audit_events providers
  provider_credentials models model_prices catalog_syncs model_aliases alias_targets api_keys key_metadata rate_limits
  budgets budget_periods budget_leases usage_records usage_attempts ledger_entries usage_hourly usage_daily usage_model_daily
  monthly_usage_summary webhooks webhook_deliveries config_versions`.split(/\s+/)

test('every table of the design is there, and an entity for each', async () => {
  const rows = await query(`select table_name as name from information_schema.tables where table_schema = 'public'`)
  const names = rows.map(({ name }) => name)
  expect(names).toEqual(expect.arrayContaining(tablesOfTheDesign))
  const mapped = entities().map(({ tableName }) => tableName)
  expect(mapped).toEqual(expect.arrayContaining(tablesOfTheDesign))
})

test('entities and migrated tables agree on columns, defaults and foreign keys', async () => {
  expect(await differences()).toEqual('')
})

test('that comparison would notice a missing column and a changed rule', async () => {
  await query('alter table teams drop column slug')
  await query('alter table webhook_deliveries drop constraint webhook_deliveries_webhook_id_fkey')
  const found = await differences()
  expect(found).toContain('alter table "teams" add "slug"')
  expect(found).toContain('add constraint "webhook_deliveries_webhook_id_fkey"')
  await query('alter table teams add column slug text not null, add unique (organization_id, slug)')
  await query(`alter table webhook_deliveries add constraint webhook_deliveries_webhook_id_fkey
    foreign key (webhook_id) references webhooks (id) on delete cascade`)
})

test.each(partitionedTables)('the entity of %s has the columns of the table', async (table) => {
  const columns = await query(
    `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable
     from pg_attribute a
     where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
     order by a.attname`,
    [table],
  )
  const entity = entities().find(({ tableName }) => tableName === table) as EntityMetadata
  const mapped = entity.props.map((property) => ({
    name: property.fieldNames[0],
    type: sqlType(property.columnTypes[0]),
    nullable: property.nullable === true,
  }))
  expect(mapped.sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1))).toEqual(columns)
})

test('every foreign key has an index that begins with its columns', async () => {
  const rows = await query(
    `select c.conrelid::regclass || '.' || c.conname as missing
     from pg_constraint c
     where c.contype = 'f' and not exists (
       select from pg_index i
       where i.indrelid = c.conrelid and i.indpred is null
         and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)`,
  )
  expect(rows).toEqual([])
})

test('every table has a primary key and says when a row was made', async () => {
  const rows = await query(
    `select t.table_name as name,
       exists (select from information_schema.table_constraints c
               where c.table_name = t.table_name and c.constraint_type = 'PRIMARY KEY') as has_key,
       exists (select from information_schema.columns c
               where c.table_name = t.table_name and c.column_name = 'created_at') as has_created_at
     from information_schema.tables t
     where t.table_schema = 'public' and t.table_name <> 'schema_migrations'`,
  )
  expect(rows.filter((row) => !row.has_key || !row.has_created_at)).toEqual([])
})

test('no column is a varchar, a float or a timestamp without time zone', async () => {
  const rows = await query(
    `select table_name, column_name, data_type from information_schema.columns
     where table_schema = 'public' and table_name <> 'schema_migrations'
       and data_type in ('character varying', 'real', 'double precision', 'timestamp without time zone', 'money')`,
  )
  expect(rows).toEqual([])
})

test('every updated_at is kept by the database', async () => {
  const rows = await query(
    `select c.table_name from information_schema.columns c
     where c.table_schema = 'public' and c.column_name = 'updated_at' and not exists (
       select from information_schema.triggers t
       where t.event_object_table = c.table_name and t.trigger_name = 'set_updated_at')`,
  )
  expect(rows).toEqual([])
  await query(`insert into organizations (id, slug, name) values (gen_random_uuid(), 'acme', 'Acme')`)
  const [row] = await query(`update organizations set name = 'Acme Inc.' returning updated_at > created_at as moved`)
  expect(row.moved).toBe(true)
})

test('people can search names and tags by index', async () => {
  const rows = await query(
    `select tablename || ' ' || indexdef as line from pg_indexes where indexdef like '%USING gin%'`,
  )
  const lines = rows.map(({ line }) => String(line)).join('\n')
  for (const [table, column] of [
    ['organizations', 'name gin_trgm_ops'],
    ['teams', 'name gin_trgm_ops'],
    ['admin_users', 'email gin_trgm_ops'],
    ['models', 'name gin_trgm_ops'],
    ['model_aliases', 'name gin_trgm_ops'],
    ['api_keys', 'name gin_trgm_ops'],
    ['key_metadata', 'tags jsonb_path_ops'],
    ['usage_records', 'tags jsonb_path_ops'],
  ]) {
    expect(lines).toMatch(new RegExp(`^${table} .*${column}`, 'm'))
  }
})

test('an entity goes to the database and comes back whole', async () => {
  const { ApiKeyEntity, BudgetEntity } = await import('../../src/core/db/entities/keys-and-budgets.ts')
  const { OrganizationEntity } = await import('../../src/core/db/entities/tenants-and-admins.ts')
  const id = (last: number) => `00000000-0000-7000-8000-00000000000${last}`
  const writing = orm.fork()
  const organization = writing.create(OrganizationEntity, { id: id(1), slug: 'globex', name: 'Globex' })
  const apiKey = writing.create(ApiKeyEntity, {
    id: id(2),
    organization,
    name: 'checkout',
    secretDigest: new Uint8Array(32).fill(7),
    pepperId: 'p1',
    displayPrefix: 'sk-llmgw-abc',
    last4: 'wxyz',
    allowedModels: ['smart', 'openai/*'],
    managedBy: 'admin',
  })
  writing.create(BudgetEntity, {
    id: id(3),
    apiKey,
    amountNano: 9_007_199_254_740_993n,
    period: 'month',
    mode: 'hard',
    managedBy: 'admin',
  })
  await writing.flush()

  const budget = await orm.fork().findOneOrFail(BudgetEntity, id(3), { populate: ['apiKey.organization'] })
  expect(budget.amountNano).toBe(9_007_199_254_740_993n)
  expect(budget.alertThresholdsPercent).toEqual([50, 80, 100])
  expect(budget.apiKey?.$.allowedModels).toEqual(['smart', 'openai/*'])
  expect(new Uint8Array(budget.apiKey?.$.secretDigest as Uint8Array)).toEqual(new Uint8Array(32).fill(7))
  expect(budget.apiKey?.$.organization.$.name).toBe('Globex')
  expect(budget.createdAt).toBeInstanceOf(Date)
})

function entities(): EntityMetadata[] {
  return [...orm.library.getMetadata().getAll().values()] as EntityMetadata[]
}

/**
 * The SQL that would bring the tables to the entities. Indexes, checks and triggers are the migrations' business alone:
 * an entity has no use for them, so they are taken out on both sides.
 */
async function differences(): Promise<string> {
  const { driver, config } = { driver: orm.library.em.getDriver(), config: orm.library.config }
  const { skipTables = [] } = config.get('schemaGenerator')
  const existing = await DatabaseSchema.create(
    driver.getConnection(),
    driver.getPlatform(),
    config,
    'public',
    undefined,
    undefined,
    skipTables,
  )
  const target = orm.library.schema.getTargetSchema()
  const targetNames = new Set(target.getTables().map(({ name }) => name))
  for (const table of [...existing.getTables(), ...target.getTables()]) {
    table.setIndexes(table.getIndexes().filter((index) => index.primary))
    table.setChecks([])
    table.setTriggers([])
    // An entity cannot refer to itself and have its type inferred; sessions keep the bare parent id.
    table.setForeignKeys(
      Object.fromEntries(
        Object.entries(table.getForeignKeys()).filter(([, key]) => key.constraintName !== 'sessions_parent_id_fkey'),
      ),
    )
  }
  expect(existing.getTables().filter(({ name }) => !targetNames.has(name))).toEqual([])
  const generator = Object.assign(Object.create(orm.library.schema), { getTargetSchema: () => target })
  return (await generator.getUpdateSchemaMigrationSQL({ fromSchema: existing, wrap: false, safe: false })).up.trim()
}

function sqlType(columnType: string | undefined): string {
  return columnType === 'timestamptz' ? 'timestamp with time zone' : columnType === 'int' ? 'integer' : `${columnType}`
}
