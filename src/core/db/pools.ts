import pg from 'pg'
import type { Log } from '../log.ts'

export interface PoolsOptions {
  /** A `postgresql://` URL; a percent-encoded host that starts with a slash is the folder of a Unix socket. */
  url: string
  log: Log
  /** How many connections each pool may open. */
  connectionsMax?: Partial<Record<PoolName, number>>
}

export const poolNames = ['request', 'settlement', 'admin'] as const
export type PoolName = (typeof poolNames)[number]

/**
 * Connections by purpose, so that reports cannot starve inference and a burst of calls cannot hold up settlement.
 *
 * Values keep pg's defaults: `bigint`, `numeric` and sums arrive as decimal strings (money goes through `BigInt`, never
 * through a float), `timestamptz` as Date, that is, cut to milliseconds, `jsonb` parsed.
 */
export interface Pools extends Readonly<Record<PoolName, pg.Pool>> {
  close(): Promise<void>
}

interface Limits {
  connectionsMax: number
  /** How long to wait for a connection, free or new. */
  acquireTimeoutMs: number
  /** How long the server works on one statement. */
  statementTimeoutMs: number
}

const limits: Readonly<Record<PoolName, Limits>> = {
  request: { connectionsMax: 10, acquireTimeoutMs: 500, statementTimeoutMs: 2_000 },
  settlement: { connectionsMax: 4, acquireTimeoutMs: 2_000, statementTimeoutMs: 2_000 },
  admin: { connectionsMax: 8, acquireTimeoutMs: 2_000, statementTimeoutMs: 5_000 },
}

const lockTimeoutMs = 1_000
/** The server's timeout answers first; ours ends the wait when the server or the network no longer answers at all. */
const answerGraceMs = 500
const idleTimeoutMs = 30_000
/** Connections move to the new primary some time after a failover, though nothing failed on them. */
const connectionLifetimeS = 1_800

/** Opens nothing yet: connections are made when they are first needed, so a database that is down does not throw here. */
export function openPools({ url, log, connectionsMax = {} }: PoolsOptions): Pools {
  let closing: Promise<void> | undefined
  const open = (name: PoolName): pg.Pool => {
    const { acquireTimeoutMs, statementTimeoutMs, ...defaults } = limits[name]
    const pool = new pg.Pool({
      connectionString: url,
      application_name: `llmgw ${name}`,
      max: connectionsMax[name] ?? defaults.connectionsMax,
      connectionTimeoutMillis: acquireTimeoutMs,
      statement_timeout: statementTimeoutMs,
      query_timeout: statementTimeoutMs + answerGraceMs,
      lock_timeout: lockTimeoutMs,
      // A transaction that its holder forgot must not keep its locks.
      idle_in_transaction_session_timeout: statementTimeoutMs + answerGraceMs,
      idleTimeoutMillis: idleTimeoutMs,
      maxLifetimeSeconds: connectionLifetimeS,
      keepAlive: true,
    })
    // Without listeners a dropped connection would end the process. Whoever uses it learns of it from their query;
    // the pool replaces it. Only parts of the error are logged: pg hangs the whole client on it.
    pool.on('error', (error) => {
      if (!closing) log.warn({ pool: name, ...describe(error) }, 'An idle database connection was lost.')
    })
    pool.on('connect', (client) => {
      client.on('error', (error) => log.debug({ pool: name, ...describe(error) }, 'A database connection failed.'))
    })
    return pool
  }

  const pools = { request: open('request'), settlement: open('settlement'), admin: open('admin') }
  return {
    ...pools,
    close: () => {
      closing ??= Promise.all(Object.values(pools).map((pool) => pool.end())).then(() => undefined)
      return closing
    },
  }
}

function describe(error: Error): { code: string | undefined; reason: string } {
  return { code: (error as { code?: string }).code, reason: error.message }
}
