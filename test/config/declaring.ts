import { createHmac } from 'node:crypto'
import { loadConfig } from '../../src/config/load-config.ts'
import { formatProblems } from '../../src/config/problem.ts'
import { createUuidV7Source } from '../../src/core/ids.ts'
import { displayOf } from '../../src/core/keys/key-format.ts'
import { type ApplyDeclaredResult, applyDeclaredConfiguration } from '../../src/core/routing/declared.ts'
import type { DeclaredConfiguration } from '../../src/core/routing/declared-configuration.ts'
import { createTestDatabase } from '../support/database.ts'

export const digestOf = (secret: string): Buffer => createHmac('sha256', 'pepper').update(secret).digest()
export const ids = createUuidV7Source()

/** Key secrets that are made are all this one. */
export const generatedSecret = 'generated-secret-of-twenty-chars'

/** A database of its own, and a way to apply to it what a file says. */
export async function openDeclaring() {
  const database = await createTestDatabase()
  const pool = database.pools.admin

  const apply = (yaml: string, environment: Record<string, string> = {}): Promise<ApplyDeclaredResult> =>
    applyDeclaredConfiguration(declaredBy(yaml, environment), {
      pool,
      ids,
      digestSecret: (secret) => ({ digest: digestOf(secret), pepperId: 'test', ...displayOf(secret) }),
      generateSecret: () => generatedSecret,
    })

  async function applied(yaml: string, environment: Record<string, string> = {}) {
    const result = await apply(yaml, environment)
    if (!result.ok) throw new Error(formatProblems(result.problems))
    return result
  }

  async function rows<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
    const result = await pool.query<Row>(sql, values)
    return result.rows
  }

  async function count(table: string): Promise<number> {
    const [row] = await rows<{ count: number }>(`select count(*)::int as count from ${table}`)
    return row?.count ?? -1
  }

  return { apply, applied, rows, count, close: () => database.drop() }
}

function declaredBy(yaml: string, environment: Record<string, string>): DeclaredConfiguration {
  const result = loadConfig({ LLMGW_CONFIG: '/llmgw.yaml', ...environment }, () => yaml)
  if (!result.ok) throw new Error(formatProblems(result.problems))
  return result.config.declared
}
