import type { Registry } from 'prom-client'
import type { Accounting } from '../accounting.ts'
import { type Labels, registerSampled } from './series.ts'

type Sources = {
  [Part in 'leases' | 'checkpoints' | 'sweeper' | 'audit']: Pick<Accounting[Part], 'statistics'>
} & Pick<Accounting, 'alerts'>

/**
 * Budgets and what tidies up after calls, as this process has seen them. Nothing is told apart by key or budget, and no
 * series is a sum of money: how budgets stand is in the database.
 */
export function registerAccountingMetrics(registry: Registry, accounting: Sources): void {
  const { leases, checkpoints, sweeper, audit, alerts } = accounting
  const series = (type: 'counter' | 'gauge') => (name: string, help: string, read: () => number) =>
    registerSampled(registry, { name, help, type }, () => [{ labels: {}, value: read() }])
  const counter = series('counter')
  const gauge = series('gauge')
  const labelled = (name: string, help: string, label: string, read: () => Readonly<Record<string, number>>): void =>
    registerSampled(registry, { name, help, type: 'counter' }, () =>
      Object.entries(read()).map(([value, count]) => ({ labels: { [label]: value } satisfies Labels, value: count })),
    )

  labelled('llmgw_budget_reservations_total', 'What calls asked their budgets to hold.', 'outcome', () => {
    const { taken: granted, refused, unverifiable } = leases.statistics()
    return { granted, refused, unverifiable }
  })
  gauge('llmgw_budget_reservations_waiting', 'Calls that wait for money.', () => leases.statistics().waiting)
  gauge('llmgw_budget_periods_open', 'Budget periods this process knows of.', () => leases.statistics().periods)
  counter('llmgw_budget_recalls_total', 'Times others were short of what is leased here.', () => {
    return leases.statistics().recalled
  })
  counter('llmgw_budget_leases_returned_total', 'Times leased money went back.', () => leases.statistics().returned)
  counter('llmgw_budget_leases_lost_total', 'Leases that were taken away.', () => leases.statistics().lost)
  labelled('llmgw_budget_alerts_total', 'Alerts of budgets.', 'kind', () => alerts)

  gauge('llmgw_checkpoint_calls', 'Calls that are checkpointed once they are a second old.', () => {
    return checkpoints.statistics().running
  })
  counter('llmgw_checkpoints_written_total', 'Checkpoints written.', () => checkpoints.statistics().written)
  gauge('llmgw_checkpoint_failures_in_a_row', 'Database failures.', () => checkpoints.statistics().failures)

  labelled('llmgw_swept_total', 'What gone replicas had left and this one has closed.', 'what', () => {
    const { replicas, calls, leases: left } = sweeper.statistics()
    return { replicas, calls, leases: left }
  })
  counter('llmgw_sweep_failures_total', 'Sweeps that failed.', () => sweeper.statistics().failures)
  counter('llmgw_ledger_audits_total', 'Audits of the ledger.', () => audit.statistics().runs)
  counter('llmgw_ledger_audit_differences_total', 'Budget periods that did not agree with the ledger.', () => {
    return audit.statistics().differences
  })
  counter('llmgw_ledger_audit_failures_total', 'Audits that failed.', () => audit.statistics().failures)
}
