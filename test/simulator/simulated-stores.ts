import type { BudgetLeaseStore } from '../../src/core/budgets/budget-leases.store.ts'
import { type CheckpointStore, createCheckpointStore } from '../../src/core/usage/checkpoints.store.ts'
import { createOrphanStore, type OrphanStore } from '../../src/core/usage/orphans.store.ts'
import { createUsageStore, type UsageStore } from '../../src/core/usage/usage.store.ts'
import type { UsageEnd } from '../../src/core/usage/usage-record.ts'
import type { Mutation } from './mutations.ts'
import type { SimulatedReplica } from './simulated-replica.ts'
import { runWithRealTimers, runWithTimers } from './simulated-timers.ts'

/** The real stores of a replica, each of whose statements waits for the scheduler. */
export interface SimulatedStores {
  leases(store: BudgetLeaseStore): BudgetLeaseStore
  usage(name: string): UsageStore
  checkpoints: CheckpointStore
  orphans: OrphanStore
}

export function storesOf(replica: SimulatedReplica, mutation: Mutation): SimulatedStores {
  const { world } = replica
  const { operations, pool, watch } = world
  const wait = <T>(name: string, work: () => Promise<T>): Promise<T> => operations.wait(replica, name, work)
  const usage = mutation.usage(createUsageStore(pool), pool)
  const checkpoints = createCheckpointStore(pool)
  const orphans = createOrphanStore(pool)
  return {
    leases: (store) => ({
      take: (owner, asks) => wait('take', () => store.take(owner, asks)),
      giveBack: (returns) => wait('give back', () => store.giveBack(returns)),
    }),
    usage: (name) => ({
      apply(records) {
        const copy = Buffer.from(records) // the writer uses its buffer again once it has given up on this
        return wait(name, async () => {
          const applied = await usage.apply(copy)
          watch.applied(JSON.parse(copy.toString('utf8')) as UsageEnd[])
          return applied
        })
      },
    }),
    checkpoints: {
      write: (rows) =>
        wait('checkpoint', async () => {
          await checkpoints.write(rows)
          watch.checkpointed(rows)
        }),
    },
    orphans: mutation.orphans({
      // The lock goes with its connection, and that with the process.
      alone: (work) =>
        runWithRealTimers(async () => {
          world.outside++
          try {
            return await orphans.alone(async () => {
              watch.sweepBegins(replica)
              world.outside--
              try {
                return await Promise.race([runWithTimers(replica, work), replica.killed.promise])
              } finally {
                world.outside++
              }
            })
          } finally {
            world.outside--
          }
        }),
      owners: () => wait('owners', () => orphans.owners()),
      openCalls: (owner, max) => wait('open calls', () => orphans.openCalls(owner, max)),
      takeLeases: (owner) =>
        wait('take leases', async () => {
          await world.tellSilence(owner)
          const leases = await watch.leasesAreTaken(replica, owner)
          const taken = await orphans.takeLeases(owner)
          if (taken.leases > 0) watch.leasesWereTaken(owner, leases)
          return taken
        }),
    }),
  }
}
