import type { Config } from './config/load-config.ts'
import { createBudgetLeaseStore } from './core/budgets/budget-leases.store.ts'
import { createLeaseBook, type LeaseBook } from './core/budgets/lease-book.ts'
import { createLedgerAuditStore } from './core/budgets/ledger-audit.store.ts'
import { createLedgerAudit, type LedgerAudit } from './core/budgets/ledger-audit.ts'
import type { DatabaseClock } from './core/clock.ts'
import type { Pools } from './core/db/pools.ts'
import type { EventBus } from './core/events/event-bus.ts'
import type { IdSource } from './core/ids.ts'
import type { Log } from './core/log.ts'
import { formatUsd } from './core/money.ts'
import type { ReplicaRegistry } from './core/replicas/replica-registry.ts'
import { createCheckpointStore } from './core/usage/checkpoints.store.ts'
import { type Checkpoints, createCheckpoints } from './core/usage/checkpoints.ts'
import { createOrphanSweeper, type OrphanSweeper } from './core/usage/orphan-sweeper.ts'
import { createOrphanStore } from './core/usage/orphans.store.ts'
import { createRecordedCalls } from './core/usage/recorded-calls.ts'
import { type BudgetAlert, createUsageStore } from './core/usage/usage.store.ts'
import { openUsageSpool, type UsageSpool } from './core/usage/usage-spool.ts'

/** What money passes through: leases of budgets, the journal, its way to the database, and whoever tidies up after others. */
export interface Accounting {
  readonly leases: LeaseBook
  readonly spool: UsageSpool
  readonly checkpoints: Checkpoints
  readonly sweeper: OrphanSweeper
  readonly audit: LedgerAudit
  /** How many alerts of each kind this replica has raised. */
  readonly alerts: Readonly<Record<BudgetAlert['kind'], number>>
  /** Settles what has ended, then gives all leases back. */
  close(): Promise<void>
}

export interface AccountingDeps {
  config: Config
  pools: Pools
  clock: DatabaseClock
  ids: IdSource
  events: EventBus
  replicas: ReplicaRegistry
  /** Where the usage journals of this data folder lie. */
  journalFolder: string
  journalOwner: string
  formerJournalOwners: readonly string[]
  log: Log
}

/** @throws the file system's error: without a journal no call may be served */
export async function openAccounting(deps: AccountingDeps): Promise<Accounting> {
  const { config, pools, clock, ids, events, replicas, log } = deps
  await using opening = new AsyncDisposableStack()
  const own = <T extends { close(): unknown }>(resource: T): T => {
    opening.defer(async () => void (await resource.close()))
    return resource
  }
  const usage = createUsageStore(pools.settlement)
  const alerts = { threshold: 0, overrun: 0 }
  // Opened before the spool, hence closed after it: what has ended leaves its leases first.
  const leases = own(
    createLeaseBook({
      store: createBudgetLeaseStore(pools.request),
      replica: replicas.id,
      heartbeatMs: () => clock.monotonicMs() - replicas.sinceBeatMs(),
      recallFromOthers: (periodId) => events.publish({ type: 'budget-recall', periodId }),
      releasedToOthers: (periodId) => events.publish({ type: 'budget-released', periodId }),
      clock,
      newId: ids,
      log,
    }),
  )
  opening.defer(
    events.subscribe((event, { local }) => {
      if (local) return
      if (event.type === 'budget-recall') leases.recall(event.periodId)
      else if (event.type === 'budget-released') leases.released(event.periodId)
    }),
  )
  const raise = (alert: BudgetAlert): void => {
    alerts[alert.kind]++
    log.warn(
      {
        budget_id: alert.budgetId,
        budget_period_id: alert.periodId,
        request_id: alert.requestId ?? undefined,
        threshold_percent: alert.thresholdPercent ?? undefined,
        committed_usd: formatUsd(alert.committedNano),
        limit_usd: formatUsd(alert.limitNano),
      },
      alert.kind === 'threshold'
        ? 'A budget has reached a threshold.'
        : 'A call cost more than the most that was held for it.',
    )
    if (alert.thresholdPercent === null) return
    events.publish({
      type: 'budget-alert',
      budgetId: alert.budgetId,
      periodId: alert.periodId,
      thresholdPercent: alert.thresholdPercent,
      committedNano: alert.committedNano.toString(),
      limitNano: alert.limitNano.toString(),
    })
  }
  const recorded = own(createRecordedCalls(events, clock))
  const spool = own(
    await openUsageSpool({
      path: deps.journalFolder,
      owner: deps.journalOwner,
      formerOwners: deps.formerJournalOwners,
      store: usage,
      applied(batch, records) {
        recorded.announce(records)
        for (const { periodId, committedNano, limitNano } of batch.periods) {
          leases.settled(periodId, committedNano, limitNano)
        }
        for (const alert of batch.alerts) raise(alert)
      },
      clock,
      log,
      journalSettings: {
        spoolBytesMax: config.usage.journal.maxBytes,
        spoolRecordsMax: config.usage.journal.maxRecords,
      },
    }),
  )
  const checkpoints = own(createCheckpoints({ store: createCheckpointStore(pools.settlement), clock, log }))
  const sweeper = own(
    createOrphanSweeper({
      store: createOrphanStore(pools.settlement),
      usage,
      vanished: (owners) => replicas.vanished(owners),
      clock,
      log,
    }),
  )
  const audit = own(createLedgerAudit({ store: createLedgerAuditStore(pools.admin), log }))
  const resources = opening.move()
  return { leases, spool, checkpoints, sweeper, audit, alerts, close: () => resources.disposeAsync() }
}
