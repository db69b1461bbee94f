import type { Log } from '../log.ts'
import type { LedgerAuditStore } from './ledger-audit.store.ts'

/**
 * Adds up, once an hour, what the ledger says of every open period and compares it with what the period says of itself.
 * A difference is an alert, and never corrected by a machine: somebody has to find out which of the two is right.
 */
export interface LedgerAudit {
  /** @returns how many differences were found; undefined when another replica has just done it */
  run(): Promise<number | undefined>
  statistics(): { runs: number; differences: number; failures: number }
  close(): Promise<void>
}

export interface LedgerAuditDeps {
  store: LedgerAuditStore
  log: Log
  everyMs?: number
  /** How often it is looked whether an audit is due; replicas take turns. */
  lookMs?: number
}

export function createLedgerAudit({ store, log, everyMs = 3_600_000, lookMs = 300_000 }: LedgerAuditDeps): LedgerAudit {
  const counts = { runs: 0, differences: 0, failures: 0 }
  let running: Promise<unknown> | undefined
  const timer = setInterval(() => {
    running ??= run()
      .catch((error: unknown) => {
        counts.failures++
        log.warn({ err: error }, 'The ledger was not audited; tried again soon.')
      })
      .finally(() => {
        running = undefined
      })
  }, lookMs)
  timer.unref()

  async function run(): Promise<number | undefined> {
    const audit = await store.audit(everyMs)
    if (!audit) return undefined
    counts.runs++
    counts.differences += audit.differences.length
    for (const difference of audit.differences) {
      log.error(
        {
          budget_id: difference.budgetId,
          budget_period_id: difference.periodId,
          committed_nano_usd: difference.committedNano.toString(),
          ledger_nano_usd: difference.ledgerNano.toString(),
          leased_nano_usd: difference.leasedNano.toString(),
          leases_nano_usd: difference.leasesNano.toString(),
        },
        'A budget period does not agree with the ledger. Nothing was corrected.',
      )
    }
    return audit.differences.length
  }

  return {
    run,
    statistics: () => ({ ...counts }),
    async close() {
      clearInterval(timer)
      await running
    },
  }
}
