import { MikroORM, type SqlEntityManager, UnderscoreNamingStrategy } from '@mikro-orm/postgresql'
import * as keysAndBudgets from './entities/keys-and-budgets.ts'
import * as routingAndCatalog from './entities/routing-and-catalog.ts'
import * as tenantsAndAdmins from './entities/tenants-and-admins.ts'
import * as usage from './entities/usage.ts'
import { partitionedTables } from './partitions.ts'

export interface OrmOptions {
  url: string
  connectionsMax?: number
}

export interface Orm {
  /** One unit of work, for one request or one resolver that reads; never shared. */
  fork(): SqlEntityManager
  /** The library itself, for its schema tools. */
  readonly library: MikroORM
  close(): Promise<void>
}

/** Partitions come and go without a migration, and the diff of schemas would want to drop them. */
export const tablesBeyondEntities: readonly (string | RegExp)[] = [
  'schema_migrations',
  ...partitionedTables.flatMap((table) => [table, new RegExp(`^${table}_`)]),
]

const statementTimeoutMs = 5_000

/**
 * Opens the entities over a pool of their own, for the admin side; the request path and settlement use plain SQL. It
 * connects when first used.
 */
export async function openOrm({ url, connectionsMax = 4 }: OrmOptions): Promise<Orm> {
  const library = await MikroORM.init({
    clientUrl: url,
    pool: { min: 0, max: connectionsMax },
    driverOptions: {
      application_name: 'llmgw admin orm',
      connectionTimeoutMillis: 2_000,
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + 500,
      lock_timeout: 1_000,
    },
    entities: [tenantsAndAdmins, routingAndCatalog, keysAndBudgets, usage].flatMap((domain) => Object.values(domain)),
    namingStrategy: PostgresNamingStrategy,
    // One unit of work each: the global one would mix what different users may see.
    allowGlobalContext: false,
    logger: () => {},
    schemaGenerator: {
      skipTables: [...tablesBeyondEntities],
      defaultUpdateRule: 'no action',
      defaultDeleteRule: 'no action',
      ignoreTriggers: true,
    },
  })
  return { library, fork: () => library.em.fork(), close: () => library.close(true) }
}

/** Constraints are named as PostgreSQL names them in our migrations. */
class PostgresNamingStrategy extends UnderscoreNamingStrategy {
  override indexName(
    tableName: string,
    columns: string[],
    type: 'primary' | 'foreign' | 'unique' | 'index' | 'sequence' | 'check' | 'default',
  ): string {
    if (type === 'foreign') return `${tableName}_${columns.join('_')}_fkey`
    if (type === 'unique') return `${tableName}_${columns.join('_')}_key`
    return super.indexName(tableName, columns, type)
  }
}
