import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../src/core/db/embedded-postgres.ts'
import { eventually } from '../../support/eventually.ts'
import { silent } from '../../support/log.ts'
import { openPostgresProxy, type PostgresProxy } from '../../support/postgres-proxy.ts'

/** A PostgreSQL of the suite's own, which may be stopped and killed, behind a proxy that replicas reach it through. */
export interface FaultPostgres extends AsyncDisposable {
  readonly proxy: PostgresProxy
  /** Past the proxy: for looking while the replicas cannot. */
  readonly pool: pg.Pool
  /** Really stops the server; replicas are refused meanwhile. */
  stop(): Promise<void>
  start(): Promise<void>
  /**
   * Kills a backend with SIGKILL in the middle of a replica's settlement, once one is caught at it. The server takes
   * that for a crash: it drops every session and recovers, and what was not committed is gone.
   *
   * @returns whether one was caught in time
   */
  killSettlement(msMax: number): Promise<boolean>
}

/** @param dataDir - exists, and is empty at first */
export async function startFaultPostgres(dataDir: string): Promise<FaultPostgres> {
  const begin = () => startEmbeddedPostgres({ dataDir, log: silent, durable: false })
  let server: EmbeddedPostgres | undefined = await begin()
  const { url } = server
  const pool = new pg.Pool({ connectionString: url, max: 4, connectionTimeoutMillis: 5_000 })
  pool.on('error', () => {}) // connections are cut all the time here
  pool.on('connect', (client) => client.on('error', () => {}))
  // Nothing is synced to the disk here, which no test takes away, but what is committed survives the death of a process.
  await pool.query('alter database postgres set synchronous_commit = on')
  const proxy = await openPostgresProxy(url)
  return {
    proxy,
    pool,
    async stop() {
      proxy.mode = 'down'
      await server?.close()
      server = undefined
    },
    async start() {
      server ??= await begin()
      proxy.mode = 'up'
    },
    async killSettlement(msMax) {
      const client = await pool.connect()
      try {
        for (const deadlineMs = performance.now() + msMax; performance.now() < deadlineMs; await delay(1)) {
          const { rows } = await client.query<{ pid: number }>(
            `select pid from pg_stat_activity
             where application_name = 'llmgw settlement' and state in ('active', 'idle in transaction')`,
          )
          if (!rows[0]) continue
          try {
            process.kill(rows[0].pid, 'SIGKILL')
          } catch {
            continue // It has ended by itself meanwhile.
          }
          await eventually('the server to have recovered', () => answers(pool))
          return true
        }
        return false
      } finally {
        client.release(true)
      }
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]()
      await pool.end()
      await server?.close()
    },
  }
}

const answers = (pool: pg.Pool): Promise<boolean> =>
  pool.query('select 1').then(
    () => true,
    () => false,
  )
