/**
 * Plays many seeds of the accounting simulator, on a PostgreSQL of its own:
 *
 *     npm run test:simulator -- --seeds 5000
 *     npm run test:simulator -- --seed 1234        one seed again; with --trace, all that happens in it
 *
 * --mutation puts one of the bugs of `mutations.ts` in, by its name.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openConnection } from '../../src/core/db/connection.ts'
import { startEmbeddedPostgres } from '../../src/core/db/embedded-postgres.ts'
import { migrateUp } from '../../src/core/db/migrate.ts'
import { withDatabase } from '../support/database-url.ts'
import { warningsOnly } from '../support/log.ts'
import { mutations } from './mutations.ts'
import { runSeeds } from './run-seeds.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '5000' },
    from: { type: 'string', default: '0' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    lanes: { type: 'string', default: '2' },
    mutation: { type: 'string' },
  },
})
const mutation = values.mutation === undefined ? undefined : mutations[values.mutation]
const print = (line: string) => process.stdout.write(`${line}\n`)
const [from, count] = values.seed === undefined ? [Number(values.from), Number(values.seeds)] : [Number(values.seed), 1]
const dataDir = await mkdtemp(join(tmpdir(), 'llmgw-simulator-postgres-'))
const postgres = await startEmbeddedPostgres({ dataDir, log: warningsOnly, durable: false })
try {
  const urls: string[] = []
  for (let lane = 0; lane < Math.min(count, Number(values.lanes)); lane++) {
    await using admin = await openConnection({ url: postgres.url, purpose: 'simulator' })
    await admin.query(`create database simulator_${lane}`)
    urls.push(withDatabase(postgres.url, `simulator_${lane}`))
    await migrateUp({ url: urls[lane] as string, log: warningsOnly })
  }
  const startMs = performance.now()
  let done = 0
  const { reports, failure } = await runSeeds({
    from,
    count,
    urls,
    ...(mutation && { mutation }),
    played: () => {
      if (++done % 100 === 0) print(`${done} seeds hold`)
    },
  })
  const sum = (of: (report: (typeof reports)[number]) => number): number =>
    reports.reduce((total, report) => total + of(report), 0)
  print(
    `${reports.length} seeds hold: ${sum(({ steps }) => steps)} steps, ${sum(({ calls }) => calls)} calls, of which ` +
      `${sum(({ dispatched }) => dispatched)} were dispatched and ${sum(({ refused }) => refused)} refused for their budget, ` +
      `${sum(({ unverifiable }) => unverifiable)} unverifiable, ${sum(({ cut }) => cut)} cut; ` +
      `${sum(({ kills }) => kills)} kills, ${sum(({ lost }) => lost)} calls lost with a disk in their first second; ` +
      `${((performance.now() - startMs) / 1_000).toFixed(1)} s`,
  )
  if (values.trace && !failure) print(reports[0]?.trace.join('\n') ?? '')
  if (failure) {
    print(failure.trace.slice(values.seed === undefined ? -40 : 0).join('\n'))
    print(`${failure.message}\n${(failure.cause as Error).stack}\n`)
    print(`Again: npm run test:simulator -- --seed ${failure.seed}`)
    process.exitCode = 1
  }
} finally {
  await postgres.close()
  await rm(dataDir, { recursive: true, force: true })
}
