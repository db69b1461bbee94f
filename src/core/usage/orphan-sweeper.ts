import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { OrphanStore } from './orphans.store.ts'
import { orphanEnd } from './recovery.ts'
import type { UsageStore } from './usage.store.ts'

/**
 * Closes what replicas that are gone have left behind: calls that they had checkpointed, as estimates, and then the
 * leases of budgets that they held. Every replica has a sweeper, and one of them works at a time.
 *
 * The order matters: a call's estimate leaves the lease that its money was held in, and only what is left of the lease
 * goes back to the budget.
 */
export interface OrphanSweeper {
  sweep(): Promise<SweepReport>
  statistics(): SweepReport & { failures: number }
  close(): Promise<void>
}

export interface SweepReport {
  replicas: number
  calls: number
  leases: number
  /** Nano-USD. */
  returnedNano: bigint
}

export interface OrphanSweeperDeps {
  store: OrphanStore
  usage: UsageStore
  /** Which of these replicas are gone. @throws what the database throws */
  vanished(replicas: readonly string[]): Promise<ReadonlySet<string>>
  clock: Clock
  log: Log
  everyMs?: number
}

const callsAtOnce = 500

export function createOrphanSweeper({
  store,
  usage,
  vanished,
  clock,
  log,
  everyMs = 15_000,
}: OrphanSweeperDeps): OrphanSweeper {
  const total = { ...nothing, failures: 0 }
  let sweeping: Promise<unknown> | undefined
  const timer = setInterval(() => {
    sweeping ??= sweep()
      .catch((error: unknown) => {
        total.failures++
        log.warn({ err: error }, 'What vanished replicas have left could not be swept up; tried again soon.')
      })
      .finally(() => {
        sweeping = undefined
      })
  }, everyMs)
  timer.unref()

  async function sweep(): Promise<SweepReport> {
    return (
      (await store.alone(async () => {
        const report = { ...nothing }
        for (const replica of await vanished(await store.owners())) {
          report.calls += await closeCalls(replica)
          const { leases, nano } = await store.takeLeases(replica)
          report.leases += leases
          report.returnedNano += nano
          report.replicas++
        }
        if (report.calls + report.leases > 0) {
          log.warn(
            {
              replicas: report.replicas,
              calls: report.calls,
              leases: report.leases,
              nano_usd: `${report.returnedNano}`,
            },
            'Replicas that are gone were swept up after: their calls are closed as estimates, their leases given back.',
          )
        }
        total.replicas += report.replicas
        total.calls += report.calls
        total.leases += report.leases
        total.returnedNano += report.returnedNano
        return report
      })) ?? nothing
    )
  }

  async function closeCalls(replica: string): Promise<number> {
    let closed = 0
    for (;;) {
      const open = await store.openCalls(replica, callsAtOnce)
      if (open.length === 0) return closed
      const endedAt = new Date(clock.nowMs()).toISOString()
      const ends = open.map(({ intent, outputTokens }) => orphanEnd(intent, endedAt, outputTokens))
      const { changed } = await usage.apply(Buffer.from(JSON.stringify(ends)))
      closed += changed
      if (changed === 0) return closed // whoever owned them has closed them first
    }
  }

  return {
    sweep,
    statistics: () => ({ ...total }),
    async close() {
      clearInterval(timer)
      await sweeping
    },
  }
}

const nothing: SweepReport = { replicas: 0, calls: 0, leases: 0, returnedNano: 0n }
