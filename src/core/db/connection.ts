import pg from 'pg'

export interface ConnectionOptions {
  url: string
  /** What the connection is for, as `application_name` shows it. */
  purpose: string
  /** 0, the default, waits without end: these connections are for work that takes its time. */
  statementTimeoutMs?: number
  lockTimeoutMs?: number
}

/**
 * A connection of its own for background work (migrations, partitions), outside the pools and their short timeouts.
 * Use it with `await using`.
 *
 * @throws what pg throws when the database is not there; waits at most 5 s for it
 */
export async function openConnection(options: ConnectionOptions): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: `llmgw ${options.purpose}`,
    connectionTimeoutMillis: 5_000,
    statement_timeout: options.statementTimeoutMs ?? 0,
    lock_timeout: options.lockTimeoutMs ?? 0,
    keepAlive: true,
  })
  // The query under way rejects by itself; without a listener a connection lost while idle would end the process.
  client.on('error', () => {})
  await client.connect()
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}
