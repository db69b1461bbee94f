import type pg from 'pg'
import { partitionsLock } from './partitions.ts'

/** Shorter than the second after which PostgreSQL looks for a deadlock and aborts whoever it likes: it shall be us. */
const lockTimeoutMs = 200
const attemptsMax = 50

/**
 * A transaction of background work beside settlement: whenever it would have to wait for long it lets go of all it
 * holds and begins anew, so that settlement is never aborted for its sake. No partition is dropped meanwhile.
 *
 * @param work - runs once for each attempt, and each time sees what has been committed meanwhile
 */
export async function inPatientTransaction<T>(client: pg.ClientBase, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    await client.query('begin')
    try {
      // The job that drops partitions holds this for a minute at most.
      await client.query(`set local lock_timeout = '2min'`)
      await client.query(`select pg_advisory_xact_lock_shared(${partitionsLock})`)
      await client.query(`set local lock_timeout = ${lockTimeoutMs}`)
      const result = await work()
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback').catch(() => {}) // of a lost connection there is nothing to roll back
      const { code } = error as { code?: string }
      if (attempt === attemptsMax || (code !== '55P03' && code !== '40P01')) throw error
    }
  }
}
