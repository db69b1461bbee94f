import type { PoolClient } from 'pg'

const advisoryLock = 'hashtext($$llmgw declared configuration$$)'

/** Other replicas may take their turns first, each of them some ten milliseconds. */
const lockWaitMs = 30_000

/**
 * Until the transaction ends, nobody else changes what is declared or managed: not the file, not an administrator.
 * Bounded on the server and here, whatever is usual for the pool.
 */
export async function waitForConfigurationTurn(client: PoolClient): Promise<void> {
  const { rows } = await client.query<{ lock: string; statement: string }>(
    `select current_setting('lock_timeout') as lock, current_setting('statement_timeout') as statement`,
  )
  await client.query(`set local lock_timeout = ${lockWaitMs}; set local statement_timeout = ${lockWaitMs}`)
  const wait = { text: `select pg_advisory_xact_lock(${advisoryLock})`, query_timeout: lockWaitMs + 1_000 }
  await client.query(wait)
  await client.query(`select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`, [
    rows[0]?.lock,
    rows[0]?.statement,
  ])
}
