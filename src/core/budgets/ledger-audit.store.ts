import type { Pool, QueryConfig } from 'pg'

export interface LedgerAuditStore {
  /**
   * Audits all open periods, and those that ended a day ago at most, as of one moment.
   *
   * @param everyMs - an audit younger than this, whoever made it, is enough
   * @returns undefined when there is one, or one is being made
   * @throws what the database throws
   */
  audit(everyMs: number): Promise<{ periods: number; differences: readonly LedgerDifference[] } | undefined>
}

/** Nano-USD. */
export interface LedgerDifference {
  periodId: string
  budgetId: string
  committedNano: bigint
  /** What the period's entries add up to, those included that retention has dropped. */
  ledgerNano: bigint
  leasedNano: bigint
  /** What the period's leases add up to. */
  leasesNano: bigint
}

/** Sums of a busy quarter take a while, and nobody waits for them. */
const auditTimeoutMs = 300_000

const auditSql = `
  with standing as (
    select p.id, p.budget_id, p.committed_nano, p.leased_nano, p.limit_nano,
      p.archived_nano + coalesce((select sum(e.amount_nano) from ledger_entries e where e.budget_period_id = p.id), 0)
        as ledger_nano,
      coalesce((select sum(l.amount_nano) from budget_leases l where l.budget_period_id = p.id), 0) as leases_nano
    from budget_periods p
    where p.period_end is null or p.period_end > now() - interval '1 day'
  ), difference as (
    select * from standing where committed_nano <> ledger_nano or leased_nano <> leases_nano
  ), alerted as (
    insert into budget_alerts (id, budget_period_id, kind, committed_nano, limit_nano, difference_nano)
    select gen_random_uuid(), id, 'audit', committed_nano, limit_nano,
      committed_nano - ledger_nano + leased_nano - leases_nano
    from difference
    on conflict do nothing
  ), audited as (
    insert into budget_audits (periods, differences, started_at)
    select (select count(*) from standing), (select count(*) from difference), now()
    returning periods
  )
  select audited.periods, (
    select json_agg(json_build_object('periodId', id, 'budgetId', budget_id, 'committedNano', committed_nano::text,
      'ledgerNano', ledger_nano::text, 'leasedNano', leased_nano::text, 'leasesNano', leases_nano::text))
    from difference
  ) as differences
  from audited`

export function createLedgerAuditStore(pool: Pool): LedgerAuditStore {
  return {
    async audit(everyMs) {
      const client = await pool.connect()
      let failure: Error | undefined
      try {
        await client.query(`begin; set local statement_timeout = ${auditTimeoutMs}`)
        const due = await client.query<{ due: boolean }>(
          `select pg_try_advisory_xact_lock(hashtext($$llmgw ledger audit$$)) and not exists (
             select from budget_audits where started_at > clock_timestamp() - $1 * interval '1 millisecond'
           ) as due`,
          [everyMs],
        )
        if (!due.rows[0]?.due) {
          await client.query('rollback')
          return undefined
        }
        const query: QueryConfig & { query_timeout: number } = { text: auditSql, query_timeout: auditTimeoutMs + 1_000 }
        const { rows } = await client.query<{ periods: number; differences: DifferenceRow[] | null }>(query)
        await client.query('commit')
        const [{ periods, differences }] = rows as [{ periods: number; differences: DifferenceRow[] | null }]
        return { periods, differences: (differences ?? []).map(differenceOf) }
      } catch (error) {
        failure = error as Error
        throw error
      } finally {
        client.release(failure)
      }
    },
  }
}

/** Money as decimal text: JSON numbers are floats. */
type DifferenceRow = { [Name in keyof LedgerDifference]: string }

const differenceOf = (row: DifferenceRow): LedgerDifference => ({
  periodId: row.periodId,
  budgetId: row.budgetId,
  committedNano: BigInt(row.committedNano),
  ledgerNano: BigInt(row.ledgerNano),
  leasedNano: BigInt(row.leasedNano),
  leasesNano: BigInt(row.leasesNano),
})
