import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { Mutation } from './mutations.ts'
import { SimulationFailure, type SimulationReport, simulate } from './simulate.ts'
import { installSimulatedTimers } from './simulated-timers.ts'

export interface SeedRun {
  /** First seed, and how many. */
  from: number
  count: number
  /** One database for each seed that is played at a time: sweepers of one database take turns. */
  urls: readonly string[]
  mutation?: Mutation
  /** No seed is begun after so long. */
  msMax?: number
  /** Told of each seed that held. */
  played?: (report: SimulationReport) => void
}

export interface SeedRunResult {
  reports: readonly SimulationReport[]
  /** The first one; no seed is begun after it. */
  failure: SimulationFailure | undefined
}

/** Plays seeds, several at a time, until all are done or one has failed. */
export async function runSeeds(run: SeedRun): Promise<SeedRunResult> {
  const { from, count, urls, mutation, msMax = Number.POSITIVE_INFINITY, played } = run
  const folder = await mkdtemp(join(tmpdir(), 'llmgw-simulator-'))
  const uninstall = installSimulatedTimers()
  const startMs = performance.now()
  const reports: SimulationReport[] = []
  let failure: SimulationFailure | undefined
  let next = from
  try {
    await Promise.all(
      urls.map(async (url) => {
        const pool = new pg.Pool({ connectionString: url, max: 8 })
        // Connections may go with their server, when a run is cut short.
        pool.on('error', () => {})
        pool.on('connect', (client) => client.on('error', () => {}))
        while (!failure && next < from + count && performance.now() - startMs < msMax) {
          const seed = next++
          const journals = join(folder, String(seed))
          await mkdir(journals)
          try {
            const report = await simulate({ seed, pool, folder: journals, ...(mutation && { mutation }) })
            reports.push(report)
            played?.(report)
          } catch (error) {
            if (!(error instanceof SimulationFailure)) throw error
            failure ??= error
          }
          await rm(journals, { recursive: true, force: true })
        }
        await pool.end()
      }),
    )
    return { reports, failure }
  } finally {
    uninstall()
    await rm(folder, { recursive: true, force: true })
  }
}
