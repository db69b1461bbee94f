/**
 * What a hot hard budget costs: three lease books on one database, each with callers that reserve and settle one after
 * the other, all out of the same budget; settlement goes through the real statement in batches, and rests of leases go
 * back and forth.
 *
 *     BENCH_DATABASE_URL=postgresql://... node bench/budgets.ts      an empty database; it is migrated
 *
 * BENCH_SECONDS (10) is how long it is measured after three seconds in which leases grow to what is spent,
 * BENCH_CALLERS (16) how many calls each replica has under way, BENCH_CALL_MS (0) how long a call takes; 0 is a turn of
 * the event loop.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import pg from 'pg'
import type { Budget } from '../src/core/budgets/budget.ts'
import { createBudgetLeaseStore } from '../src/core/budgets/budget-leases.store.ts'
import { createLeaseBook, type LeaseBook } from '../src/core/budgets/lease-book.ts'
import { createDatabaseClock } from '../src/core/clock.ts'
import { migrateUp } from '../src/core/db/migrate.ts'
import { maintainPartitions } from '../src/core/db/partitions.ts'
import { createUuidV7Source } from '../src/core/ids.ts'
import { createUsageStore } from '../src/core/usage/usage.store.ts'
import { silent } from '../test/support/log.ts'
import { usageEnd, usageIntent } from '../test/support/usage-records.ts'

const url = process.env.BENCH_DATABASE_URL
if (!url) throw new Error('BENCH_DATABASE_URL is not set: bench/database.ts starts a database and prints its URL.')
const seconds = Number(process.env.BENCH_SECONDS ?? 10)
const callers = Number(process.env.BENCH_CALLERS ?? 16)
const callMs = Number(process.env.BENCH_CALL_MS ?? 0)
const replicas = ['a', 'b', 'c']
const batchRows = 500
const batchDelayMs = 40
const worstCaseNano = 600_000n
const costNano = 360_000n

await migrateUp({ url, log: silent })
await maintainPartitions({ url, log: silent })
const pool = new pg.Pool({ connectionString: url, max: 10 })
const clock = createDatabaseClock()
const newId = createUuidV7Source()
const budget: Budget = { id: randomUUID(), scope: 'tag', period: 'month', timeZone: 'UTC', mode: 'hard' }
await pool.query(
  `insert into budgets (id, tag_key, tag_value, amount_nano, period, mode, managed_by)
   values ($1::uuid, 'bench', $1::text, 1000000000000000, 'month', 'hard', 'admin')`,
  [budget.id],
)

const books: LeaseBook[] = []
const others = (self: number, tell: (book: LeaseBook) => void): void => {
  for (const [place, book] of books.entries()) if (place !== self) setImmediate(() => tell(book))
}
for (const [place, replica] of replicas.entries()) {
  books.push(
    createLeaseBook({
      store: createBudgetLeaseStore(pool),
      replica,
      heartbeatMs: clock.monotonicMs,
      recallFromOthers: (periodId) => others(place, (book) => book.recall(periodId)),
      releasedToOthers: (periodId) => others(place, (book) => book.released(periodId)),
      clock,
      newId,
      log: silent,
    }),
  )
}

const warmUpMs = 3_000
let isOver = false
let reserveMs: number[] = []
const pending: string[][] = replicas.map(() => [])
let settled = 0

async function call(place: number): Promise<void> {
  const book = books[place] as LeaseBook
  const budgets = [budget]
  while (!isOver) {
    const startMs = performance.now()
    const reserving = book.reserve(budgets, worstCaseNano)
    const reservation = reserving instanceof Promise ? await reserving : reserving
    reserveMs.push(performance.now() - startMs)
    const intent = usageIntent({
      reserved_at: new Date(clock.nowMs()).toISOString(),
      reserved_nano: worstCaseNano.toString(),
      budget_period_ids: reservation.periodIds,
      budget_lease_ids: reservation.leaseIds,
      owner_replica: replicas[place] as string,
      tags: {},
    })
    if (callMs > 0) await delay(callMs)
    else await turn()
    pending[place]?.push(JSON.stringify(usageEnd(intent, { provider_cost_nano: costNano.toString() })))
    reservation.settle(costNano)
    // As a spool does in the end; here, so that the writer is what is measured and not the memory for its backlog.
    while ((pending[place]?.length ?? 0) > 4 * batchRows) await delay(1)
  }
}

async function settle(place: number): Promise<void> {
  const store = createUsageStore(pool)
  while (!isOver || (pending[place]?.length ?? 0) > 0) {
    const batch = pending[place]?.splice(0, batchRows) ?? []
    if (batch.length > 0) {
      const { changed, periods } = await store.apply(Buffer.from(`[${batch.join()}]`))
      settled += changed
      for (const { periodId, committedNano, limitNano } of periods)
        books[place]?.settled(periodId, committedNano, limitNano)
    }
    if (batch.length < batchRows && !isOver) await delay(batchDelayMs)
  }
}

const work = replicas.flatMap((_, place) => [settle(place), ...Array.from({ length: callers }, () => call(place))])
await delay(warmUpMs)
reserveMs = []
const startMs = performance.now()
const startCpu = process.cpuUsage()
await delay(seconds * 1_000)
isOver = true
const tookMs = performance.now() - startMs
const { user, system } = process.cpuUsage(startCpu)
const measured = reserveMs.length
await Promise.all(work)
await Promise.all(books.map((book) => book.close()))

reserveMs.sort((x, y) => x - y)
const at = (share: number) => `${(reserveMs[Math.floor(share * (reserveMs.length - 1))] as number).toFixed(3)} ms`
const { rows } = await pool.query<{ committed: string; leased: string }>(
  'select committed_nano as committed, leased_nano as leased from budget_periods where budget_id = $1',
  [budget.id],
)
const isExact = rows[0]?.leased === '0' && BigInt(rows[0].committed) === BigInt(settled) * costNano
const taken = books.reduce((sum, book) => sum + book.statistics().taken, 0)
const print = (line: string) => process.stdout.write(`${line}\n`)
print(`${Math.round((1_000 * measured) / tookMs)} requests/s over ${replicas.length} replicas, ${measured} in all`)
print(`reserve: p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`)
print(`CPU of this process: ${((user + system) / measured).toFixed(1)} µs a request, with the encoding of its record`)
print(`${settled} settled; committed and leased are ${isExact ? 'exact' : `off: ${JSON.stringify(rows[0])}`}`)
await pool.end()
if (!isExact || settled !== taken) process.exitCode = 1
