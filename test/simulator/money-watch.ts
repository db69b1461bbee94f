import { budgetPeriodAt } from '../../src/core/budgets/budget-period.ts'
import type { UsageCheckpoint } from '../../src/core/usage/checkpoints.store.ts'
import type { UsageEnd } from '../../src/core/usage/usage-record.ts'
import type { SimulatedCall } from './simulated-call.ts'
import type { SimulatedReplica } from './simulated-replica.ts'
import { Violation } from './violation.ts'
import type { World } from './world.ts'

interface PeriodRow {
  id: string
  budget_id: string
  mode: string
  limit: string
  committed: string
  leased: string
  leases: string
  ledger: string
  /** What may have been spent beyond the limit: overruns, corrections of estimates, and calls whose lease was taken away. */
  excess: string
}

const periodsSql = `
  select p.id, p.budget_id, p.mode, p.limit_nano as limit, p.committed_nano as committed, p.leased_nano as leased,
    coalesce((select sum(l.amount_nano) from budget_leases l where l.budget_period_id = p.id), 0) as leases,
    coalesce(entries.sum, 0) as ledger, coalesce(entries.excess, 0) as excess
  from budget_periods p
  left join lateral (
    select sum(e.amount_nano) as sum, sum(
      case when e.kind = 'adjust' then greatest(e.amount_nano, 0)
        when e.request_id = any($2) then e.amount_nano
        else (select r.overrun_nano from usage_records r where r.reserved_at = e.reserved_at and r.request_id = e.request_id)
      end) as excess
    from ledger_entries e where e.budget_period_id = p.id
  ) entries on true
  where p.budget_id = any($1)`

/** Knows what must hold of a world's money at every moment, and at the end. */
export class MoneyWatch {
  readonly #world: World
  /** Calls that were under way, and not known to the database, when the lease they had reserved from was taken away. */
  readonly #late = new Set<string>()
  readonly #checkpointed = new Set<string>()
  readonly #terminal = new Set<string>()
  /** Calls that had a row when a replica began to sweep. */
  readonly #knownToSweeper = new Map<SimulatedReplica, ReadonlySet<string>>()
  /** What is leased to each replica. */
  readonly #leasedNano = new Map<string, bigint>()
  readonly #sweptOwners = new Set<string>()

  constructor(world: World) {
    this.#world = world
  }

  applied(ends: readonly UsageEnd[]): void {
    for (const { request_id } of ends) this.#terminal.add(request_id)
  }

  checkpointed(rows: readonly UsageCheckpoint[]): void {
    for (const { request_id } of rows) this.#checkpointed.add(request_id)
  }

  sweepBegins(replica: SimulatedReplica): void {
    this.#knownToSweeper.set(replica, new Set(this.#checkpointed))
  }

  isKnownToDatabase(id: string): boolean {
    return this.#checkpointed.has(id) || this.#terminal.has(id)
  }

  /** @returns the leases that are about to be taken. @throws Violation when calls that are held in them come later */
  async leasesAreTaken(sweeper: SimulatedReplica, owner: string): Promise<readonly string[]> {
    const { rows } = await this.#world.pool.query<{ id: string }>(
      'select id from budget_leases where owner_replica = $1',
      [owner],
    )
    const known = this.#knownToSweeper.get(sweeper)
    for (const { id, intent } of this.#world.calls.values()) {
      if (intent?.owner_replica !== owner || this.#terminal.has(id) || !known?.has(id)) continue
      throw new Violation(`M1: the leases of ${owner} are taken before its call ${id} is closed.`)
    }
    return rows.map(({ id }) => id)
  }

  leasesWereTaken(owner: string, leases: readonly string[]): void {
    this.#sweptOwners.add(owner)
    for (const { id, intent } of this.#world.calls.values()) {
      if (!intent || this.#terminal.has(id)) continue
      if (intent.budget_lease_ids.some((lease) => lease !== null && leases.includes(lease))) this.#late.add(id)
    }
  }

  /** What must hold after every statement. @throws Violation */
  async check(): Promise<void> {
    const { pool, budgets } = this.#world
    const values = [budgets.map(({ id }) => id), [...this.#late]]
    const { rows } = await pool.query<PeriodRow>({ name: 'simulator periods', text: periodsSql, values })
    for (const row of rows) this.#checkPeriod(row)
    const held = await pool.query<{ owner: string; nano: string }>({
      name: 'simulator leases',
      text: `select l.owner_replica as owner, sum(l.amount_nano) as nano from budget_leases l
        join budget_periods p on p.id = l.budget_period_id where p.budget_id = any($1) group by l.owner_replica`,
      values: [values[0]],
    })
    this.#leasedNano.clear()
    for (const { owner, nano } of held.rows) this.#leasedNano.set(owner, BigInt(nano))
    this.checkHoldings()
  }

  /** As far as it can be told without the database. @throws Violation */
  checkHoldings(): void {
    for (const replica of this.#world.replicas) {
      if (replica.state === 'gone' || this.#sweptOwners.has(replica.id)) continue
      const leased = this.#leasedNano.get(replica.id) ?? 0n
      const { freeNano, reservedNano } = replica.leases.statistics()
      if (freeNano < 0n || reservedNano < 0n) throw new Violation(`M1: ${replica.id} holds less than nothing.`)
      if (freeNano + reservedNano > leased)
        throw new Violation(
          `M1: ${replica.id} holds ${freeNano} free and ${reservedNano} reserved, and has leased ${leased}.`,
        )
    }
  }

  #checkPeriod(row: PeriodRow): void {
    const [limit, committed, leased] = [BigInt(row.limit), BigInt(row.committed), BigInt(row.leased)]
    if (leased !== BigInt(row.leases))
      throw new Violation(`M7: ${leased} is leased of period ${row.id}, and its leases add up to ${row.leases}.`)
    if (committed !== BigInt(row.ledger))
      throw new Violation(`M7: ${committed} is committed of period ${row.id}, and its ledger adds up to ${row.ledger}.`)
    if (row.mode === 'hard' && committed + leased > limit + BigInt(row.excess))
      throw new Violation(
        `M1: ${committed} committed and ${leased} leased of period ${row.id} exceed ${limit} and ${row.excess} of excess.`,
      )
    if (row.mode === 'soft' && leased !== 0n) throw new Violation(`M1: a soft budget has ${leased} leased.`)
  }

  /** Nothing is held by replicas that are left. @throws Violation */
  async checkNothingHeldByTheLiving(): Promise<void> {
    const living = this.#world.replicas.filter(({ state }) => state !== 'gone')
    for (const replica of living) {
      const { reservedNano, waiting } = replica.leases.statistics()
      if (reservedNano !== 0n || waiting !== 0)
        throw new Violation(`M5: ${replica.id} has ${reservedNano} reserved and ${waiting} waiting, and no call.`)
    }
    await this.#checkLeases(
      living.map(({ id }) => id),
      'M5: leases are kept although no call runs',
    )
  }

  /** Whether a sweeper has something to do yet. */
  async anythingLeft(): Promise<boolean> {
    const { rows } = await this.#world.pool.query<{ left: boolean }>(
      `select exists (select from budget_leases where starts_with(owner_replica, $1))
         or exists (select from usage_records where starts_with(owner_replica, $1) and state = 'reserved') as left`,
      [this.#world.name],
    )
    return rows[0]?.left ?? false
  }

  async #checkLeases(owners: readonly string[], message: string): Promise<void> {
    const { rows } = await this.#world.pool.query<{ owner: string; nano: string }>(
      `select owner_replica as owner, amount_nano as nano from budget_leases
       where owner_replica = any($1) and amount_nano > 0`,
      [owners],
    )
    if (rows.length > 0) throw new Violation(`${message}: ${JSON.stringify(rows)}.`)
  }

  /**
   * What must hold once everything is quiet.
   *
   * @param isLost - whether a call went under with the disk of its replica
   * @returns how many calls have no record, which only those may lack that were lost in their first second
   * @throws Violation
   */
  async checkEnd(isLost: (call: SimulatedCall) => boolean): Promise<number> {
    const { pool, replicas, calls } = this.#world
    await this.#checkLeases(
      replicas.map(({ id }) => id),
      'M5: leases have outlived their replicas',
    )
    const ids = [...calls.keys()]
    const { rows } = await pool.query<RecordRow>(recordsSql, [ids])
    const records = Map.groupBy(rows, ({ request_id }) => request_id)
    let missing = 0
    for (const call of calls.values()) {
      const [record, ...more] = records.get(call.id) ?? []
      if (more.length > 0) throw new Violation(`M2: the call ${call.id} has ${more.length + 1} records.`)
      if (record) this.#checkRecord(call, record, isLost(call))
      else if (call.isDispatched && isLost(call) && !this.isKnownToDatabase(call.id)) missing++
      else if (call.isDispatched) throw new Violation(`M2: the call ${call.id} has no record.`)
    }
    return missing
  }

  #checkRecord(call: SimulatedCall, record: RecordRow, isLost: boolean): void {
    const { id, caller, intent, end } = call
    if (!intent) throw new Violation(`M2: the call ${id} was refused and has a record.`)
    if (!['settled', 'released', 'estimated'].includes(record.state))
      throw new Violation(`M2: the call ${id} ends as ${record.state}.`)
    const cost = BigInt(record.cost)
    const isKnown = call.isOver && !(isLost && record.finish === 'orphaned')
    if (isKnown && cost !== BigInt(end?.provider_cost_nano ?? -1))
      throw new Violation(`M3: the call ${id} ended at ${end?.provider_cost_nano} and is recorded at ${cost}.`)
    if (isKnown && call.costNano !== undefined && cost !== call.costNano)
      throw new Violation(`M3: the provider charges ${call.costNano} for the call ${id}, which is recorded at ${cost}.`)
    if (BigInt(record.money) !== cost)
      throw new Violation(`M3: the call ${id} cost ${cost}, and its ledger adds up to ${record.money}.`)
    if (cost === 0n) return
    const expected = caller.budgets.map(
      ({ id: budgetId, period, timeZone }) =>
        `${budgetId} ${budgetPeriodAt(period, timeZone, call.arrivedMs).startMs} ${cost}`,
    )
    const charged = record.periods.map(({ budget, start, nano }) => `${budget} ${start} ${nano}`)
    if (expected.sort().join() !== charged.sort().join())
      throw new Violation(`M6: the call ${id} should be charged to ${expected.join()}, and is to ${charged.join()}.`)
  }
}

interface RecordRow {
  request_id: string
  state: string
  finish: string | null
  cost: string
  /** The sum of its ledger entries without a period. */
  money: string
  periods: { budget: string; start: number; nano: number }[]
}

const recordsSql = `
  select r.request_id, r.state, r.finish, r.provider_cost_nano as cost,
    coalesce((select sum(e.amount_nano) from ledger_entries e
      where e.request_id = r.request_id and e.reserved_at = r.reserved_at and e.budget_period_id is null), 0) as money,
    coalesce((select json_agg(charged) from (
      select p.budget_id as budget, extract(epoch from p.period_start)::bigint * 1000 as start, sum(e.amount_nano) as nano
      from ledger_entries e join budget_periods p on p.id = e.budget_period_id
      where e.request_id = r.request_id group by p.id having sum(e.amount_nano) <> 0
    ) charged), '[]') as periods
  from usage_records r
  where r.request_id = any($1)`
