import type { Pool } from 'pg'
import { replicaGoneAfterMs } from '../replicas/replicas.store.ts'
import type { UsageIntent } from './usage-record.ts'

/** What replicas may leave behind in the database. All methods throw what the database throws. */
export interface OrphanStore {
  /** Does the work unless another replica is at it. @returns undefined then */
  alone<Result>(work: () => Promise<Result>): Promise<Result | undefined>
  /** Replicas that own calls under way or leases, living ones included. */
  owners(): Promise<readonly string[]>
  /** Calls of a replica that have a row and no end, oldest first. */
  openCalls(replica: string, max: number): Promise<readonly OpenCall[]>
  /** Gives back what a replica holds of budgets, unless it has come back to life meanwhile. */
  takeLeases(replica: string): Promise<{ leases: number; nano: bigint }>
}

/** As last checkpointed. */
export interface OpenCall {
  /** `orphan_cost_nano` is what the call had cost by then. */
  intent: UsageIntent
  outputTokens: number
}

const ownersSql = `
  select owner_replica as owner from budget_leases
  union
  select owner_replica from usage_records where state = 'reserved'`

const openCallsSql = `
  select json_build_object(
    'request_id', request_id, 'reserved_at', reserved_at, 'organization_id', organization_id, 'team_id', team_id,
    'key_id', key_id, 'caller_key_id', caller_key_id, 'operation', operation, 'door', door,
    'requested_model', requested_model, 'alias', alias,
    'provider', provider, 'model', model, 'stream', stream, 'input_tokens_estimate', input_tokens,
    'orphan_cost_nano', provider_cost_nano::text, 'price_version', price_version, 'unpriced', unpriced,
    'reserved_nano', reserved_nano::text, 'budget_period_ids', to_json(budget_period_ids),
    'budget_lease_ids', to_json(budget_lease_ids), 'tags', tags, 'end_user', end_user,
    'client_request_id', client_request_id, 'owner_replica', owner_replica) as intent,
    checkpoint_output_tokens::float8 as "outputTokens"
  from usage_records
  where state = 'reserved' and owner_replica = $1
  order by reserved_at, request_id
  limit $2`

const lockPeriodsSql = `
  select p.id from budget_periods p
  where p.id in (select l.budget_period_id from budget_leases l where l.owner_replica = $1)
  order by p.id
  for update`

/** Under the lock: an owner that has come back looks at its leases under the same lock, after its heartbeat. */
const takeLeasesSql = `
  with gone as (
    delete from budget_leases l
    where l.owner_replica = $1 and l.budget_period_id = any($2)
      and not exists (
        select from replicas r
        where r.id = $1 and r.stopped_at is null
          and r.heartbeat_at > clock_timestamp() - $3 * interval '1 millisecond'
      )
    returning l.budget_period_id, l.amount_nano
  ), returned as (
    update budget_periods p set leased_nano = p.leased_nano - sums.nano
    from (select budget_period_id, sum(amount_nano) as nano from gone group by budget_period_id) sums
    where p.id = sums.budget_period_id
  )
  select count(*)::integer as leases, coalesce(sum(amount_nano), 0)::text as nano from gone`

/** @param pool - whose users need not be quick */
export function createOrphanStore(pool: Pool): OrphanStore {
  return {
    async alone(work) {
      const client = await pool.connect()
      let failure: Error | undefined
      try {
        const { rows } = await client.query<{ held: boolean }>(`select pg_try_advisory_lock(${advisoryLock}) as held`)
        if (!rows[0]?.held) return undefined
        try {
          return await work()
        } finally {
          await client.query(`select pg_advisory_unlock(${advisoryLock})`)
        }
      } catch (error) {
        failure = error as Error
        throw error
      } finally {
        client.release(failure) // a connection that failed goes, and the lock with it
      }
    },

    async owners() {
      const { rows } = await pool.query<{ owner: string }>(ownersSql)
      return rows.map(({ owner }) => owner)
    },

    async openCalls(replica, max) {
      const { rows } = await pool.query<OpenCall>(openCallsSql, [replica, max])
      return rows
    },

    async takeLeases(replica) {
      const client = await pool.connect()
      let failure: Error | undefined
      try {
        await client.query('begin')
        const locked = await client.query<{ id: string }>(lockPeriodsSql, [replica])
        const { rows } = await client.query<{ leases: number; nano: string }>(takeLeasesSql, [
          replica,
          locked.rows.map(({ id }) => id),
          replicaGoneAfterMs,
        ])
        await client.query('commit')
        const [taken] = rows as [{ leases: number; nano: string }] // an aggregate gives one row
        return { leases: taken.leases, nano: BigInt(taken.nano) }
      } catch (error) {
        failure = error as Error
        throw error
      } finally {
        client.release(failure)
      }
    },
  }
}

/** Any number will do as long as every release uses the same. */
const advisoryLock = 'hashtext($$llmgw orphans$$)'
