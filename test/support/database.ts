import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { openConnection } from '../../src/core/db/connection.ts'
import { openPools, type Pools } from '../../src/core/db/pools.ts'
import { withDatabase } from './database-url.ts'
import { warningsOnly } from './log.ts'

export interface TestDatabase {
  url: string
  name: string
  /** Opened when first asked for, closed by `drop`. */
  readonly pools: Pools
  /** Drops the database, whoever is still connected. */
  drop(): Promise<void>
}

/**
 * A database of its own for one suite, copied from the migrated template (or empty). Some 50 ms; make one a file, in
 * `beforeAll`, and drop it in `afterAll`.
 */
export async function createTestDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const { adminUrl, templateName } = inject('postgres')
  const name = `llmgw_test_${randomBytes(6).toString('hex')}`
  await asAdmin(adminUrl, `create database ${name} template ${options.empty ? 'template1' : templateName}`)
  const url = withDatabase(adminUrl, name)
  let pools: Pools | undefined
  return {
    url,
    name,
    get pools() {
      pools ??= openPools({ url, log: warningsOnly, connectionsMax: { request: 4, settlement: 4, admin: 4 } })
      return pools
    },
    drop: async () => {
      await pools?.close()
      await asAdmin(adminUrl, `drop database if exists ${name} with (force)`)
    },
  }
}

async function asAdmin(url: string, sql: string): Promise<void> {
  await using admin = await openConnection({ url, purpose: 'test databases' })
  await admin.query(sql)
}
