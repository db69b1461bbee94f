/**
 * A PostgreSQL of its own for load figures, so that its work is not counted as the gateway's: prints the URL to put
 * into BENCH_DATABASE_URL, and serves until it is stopped.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { startEmbeddedPostgres } from '../src/core/db/embedded-postgres.ts'

const folder = await mkdtemp(join(tmpdir(), 'llmgw-bench-'))
const log = pino({ level: 'warn' }, pino.destination(2))
const postgres = await startEmbeddedPostgres({ dataDir: folder, log })
process.stdout.write(`${postgres.url}\n`)

const stopped = Promise.withResolvers<void>()
process.once('SIGINT', stopped.resolve)
process.once('SIGTERM', stopped.resolve)
const idle = setInterval(() => {}, 1 << 30)
await stopped.promise
clearInterval(idle)
await postgres.close()
await rm(folder, { recursive: true, force: true })
