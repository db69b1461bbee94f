/**
 * What settling a batch costs the database: time of the writer's statement and CPU of the server's process for it, by how
 * many keys and tags share a batch, which decides how many rollup rows it moves. The server has to run on this machine.
 *
 *     BENCH_DATABASE_URL=postgresql://... node bench/settlement.ts      an empty database; it is migrated
 *
 * BENCH_BATCHES (60) is how many batches are measured for each line, BENCH_BATCH_ROWS (500) how many calls are in one.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import pg from 'pg'
import { migrateUp } from '../src/core/db/migrate.ts'
import { maintainPartitions } from '../src/core/db/partitions.ts'
import type { Log } from '../src/core/log.ts'
import { createUsageStore } from '../src/core/usage/usage.store.ts'
import { usageEnd, usageIntent } from '../test/support/usage-records.ts'

const url = process.env.BENCH_DATABASE_URL
if (!url) throw new Error('BENCH_DATABASE_URL is not set: bench/database.ts starts a database and prints its URL.')
const batches = Number(process.env.BENCH_BATCHES ?? 60)
const rows = Number(process.env.BENCH_BATCH_ROWS ?? 500)
const print = (line: string) => process.stdout.write(`${line}\n`)
const silent = () => {}
const log: Log = { debug: silent, info: silent, warn: silent, error: silent }

await migrateUp({ url, log })
await maintainPartitions({ url, log })
const pool = new pg.Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 2_000 })
const store = createUsageStore(pool)
const { rows: backends } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
const backend = backends[0] as { pid: number }
for (const [keys, tags] of [
  [1, 2],
  [20, 2],
  [100, 2],
  [500, 2],
  [20, 64],
] as const) {
  print(`${String(keys).padStart(3)} keys, ${String(tags).padStart(2)} tags each: ${await measure(keys, tags)}`)
}
await pool.end()

async function measure(keys: number, tags: number): Promise<string> {
  const callers = Array.from({ length: keys }, (_, key) => ({
    key_id: randomUUID(),
    tags: Object.fromEntries(Array.from({ length: tags }, (_, tag) => [`tag-${tag}`, `value-${key % 10}`])),
  }))
  const reservedAt = new Date().toISOString()
  const times: number[] = []
  let cpuMs = 0
  for (let batch = -5; batch < batches; batch++) {
    const ends = Array.from({ length: rows }, (_, row) =>
      usageEnd(usageIntent({ ...callers[row % keys], reserved_at: reservedAt })),
    )
    const json = Buffer.from(JSON.stringify(ends))
    if (batch === 0) cpuMs = -serverCpuMs() // the first ones fill caches
    const startMs = performance.now()
    if ((await store.apply(json)).changed !== rows) throw new Error('A batch was not applied.')
    if (batch >= 0) times.push(performance.now() - startMs)
  }
  cpuMs += serverCpuMs()
  times.sort((a, b) => a - b)
  const at = (share: number) => `${(times[Math.floor(share * (times.length - 1))] as number).toFixed(1)} ms`
  return `median ${at(0.5)}, p90 ${at(0.9)}, CPU ${(cpuMs / batches).toFixed(1)} ms for ${rows} rows`
}

/** User and system time; in clock ticks of 10 ms, whose error many batches share. See proc_pid_stat(5). */
function serverCpuMs(): number {
  const fields = readFileSync(`/proc/${backend.pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * 10
}
