import type pg from 'pg'
import { type Mutation, noMutation } from './mutations.ts'
import { createRandom } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { World } from './world.ts'

export interface SimulationDeps {
  seed: number
  pool: pg.Pool
  /** Of this seed alone, and empty. */
  folder: string
  mutation?: Mutation
}

export interface SimulationReport {
  seed: number
  steps: number
  calls: number
  dispatched: number
  refused: number
  /** Refused since the database did not answer in time. */
  unverifiable: number
  /** Gone with their process before they got anywhere. */
  cut: number
  kills: number
  /** What happened, line by line. */
  trace: readonly string[]
  /** Calls that went under with the disk of their replica in their first second. */
  lost: number
}

/** A seed that broke a promise, and what had happened until then. */
export class SimulationFailure extends Error {
  readonly seed: number
  readonly trace: readonly string[]

  constructor(seed: number, trace: readonly string[], cause: unknown) {
    super(`Seed ${seed}, step ${trace.length}: ${cause instanceof Error ? cause.message : cause}`, { cause })
    this.seed = seed
    this.trace = trace
  }
}

/**
 * Plays one seed through: some calls on a few replicas, with faults wherever something is waited for, then quiet. Every
 * world has budgets, keys and replicas of its own, so that any number of them may share a database.
 *
 * @throws SimulationFailure when a promise about money was broken
 */
export async function simulate({
  seed,
  pool,
  folder,
  mutation = noMutation,
}: SimulationDeps): Promise<SimulationReport> {
  const random = createRandom(seed)
  const world = new World({ seed, random, pool, folder })
  const scheduler = new Scheduler(world, mutation)
  try {
    await world.createBudgets()
    await scheduler.play()
    await scheduler.comeToRest()
    const lost = await world.watch.checkEnd((call) => scheduler.isDiskLost(call.replica))
    const calls = [...world.calls.values()]
    return {
      seed,
      steps: scheduler.trace.length,
      calls: calls.length,
      dispatched: calls.filter(({ isDispatched }) => isDispatched).length,
      refused: calls.filter(({ refusal }) => refusal === 'budget_exceeded').length,
      unverifiable: calls.filter(({ refusal }) => refusal === 'budget_unverifiable').length,
      cut: calls.filter(({ isDispatched, isOver }) => !isDispatched && !isOver).length,
      trace: scheduler.trace,
      kills: scheduler.kills,
      lost,
    }
  } catch (error) {
    throw new SimulationFailure(seed, scheduler.trace, error)
  } finally {
    await scheduler.releaseFiles()
  }
}
