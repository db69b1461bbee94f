import type { Pool, PoolClient } from 'pg'

/** Commits what `work` did unless it throws. A connection that cannot even roll back is not given back to the pool. */
export async function inTransaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return run(pool, work, () => true)
}

/** As `inTransaction`, and what has decided against itself is rolled back. */
export async function inDecidedTransaction<T extends { ok: boolean }>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  return run(pool, work, ({ ok }) => ok)
}

async function run<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
  isToCommit: (result: T) => boolean,
): Promise<T> {
  const client = await pool.connect()
  let broken = false
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query(isToCommit(result) ? 'commit' : 'rollback')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => {
      broken = true
    })
    throw error
  } finally {
    client.release(broken)
  }
}
