import { Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { registerAccountingMetrics } from './accounting-metrics.ts'

const sources = {
  leases: {
    statistics: () => ({
      ...{ periods: 4, waiting: 2, freeNano: 111_111n, reservedNano: 222_222n },
      ...{ taken: 10, refused: 3, unverifiable: 1, returned: 5, recalled: 6, lost: 7 },
    }),
  },
  checkpoints: { statistics: () => ({ running: 8, written: 9, failures: 0 }) },
  sweeper: { statistics: () => ({ replicas: 1, calls: 12, leases: 13, returnedNano: 333_333n, failures: 14 }) },
  audit: { statistics: () => ({ runs: 15, differences: 16, failures: 17 }) },
  alerts: { threshold: 18, overrun: 19 },
}

test('every count is there under its name, and nothing is an amount of money', async () => {
  const registry = new Registry()
  registerAccountingMetrics(registry, sources)
  const text = await registry.metrics()
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  expect(samples).toEqual([
    'llmgw_budget_reservations_total{outcome="granted"} 10',
    'llmgw_budget_reservations_total{outcome="refused"} 3',
    'llmgw_budget_reservations_total{outcome="unverifiable"} 1',
    'llmgw_budget_reservations_waiting 2',
    'llmgw_budget_periods_open 4',
    'llmgw_budget_recalls_total 6',
    'llmgw_budget_leases_returned_total 5',
    'llmgw_budget_leases_lost_total 7',
    'llmgw_budget_alerts_total{kind="threshold"} 18',
    'llmgw_budget_alerts_total{kind="overrun"} 19',
    'llmgw_checkpoint_calls 8',
    'llmgw_checkpoints_written_total 9',
    'llmgw_checkpoint_failures_in_a_row 0',
    'llmgw_swept_total{what="replicas"} 1',
    'llmgw_swept_total{what="calls"} 12',
    'llmgw_swept_total{what="leases"} 13',
    'llmgw_sweep_failures_total 14',
    'llmgw_ledger_audits_total 15',
    'llmgw_ledger_audit_differences_total 16',
    'llmgw_ledger_audit_failures_total 17',
  ])
  expect(text).not.toMatch(/nano|usd|[123]{6}/i)
})
