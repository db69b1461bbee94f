import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { createBudgetLeaseStore } from '../../src/core/budgets/budget-leases.store.ts'
import { createLeaseBook, type LeaseBook } from '../../src/core/budgets/lease-book.ts'
import { createUpstreamHealth } from '../../src/core/health/upstream-health.ts'
import { createAdmission } from '../../src/core/inference/admit.ts'
import { createCallsUnderWay } from '../../src/core/inference/calls-under-way.ts'
import { createPipeline, type Pipeline } from '../../src/core/inference/pipeline.ts'
import { createMemoryLimiter } from '../../src/core/limits/limiter.memory.ts'
import { type Checkpoints, createCheckpoints } from '../../src/core/usage/checkpoints.ts'
import { createOrphanSweeper, type OrphanSweeper } from '../../src/core/usage/orphan-sweeper.ts'
import { openUsageSpool, type UsageSpool } from '../../src/core/usage/usage-spool.ts'
import { silent } from '../support/log.ts'
import type { Mutation } from './mutations.ts'
import { createRandom } from './random.ts'
import { storesOf } from './simulated-stores.ts'
import { runWithRealTimers, runWithTimers, type SimulatedTimer, type TimerHost } from './simulated-timers.ts'
import type { World } from './world.ts'

const beatMs = 5_000
const beatTimeoutMs = 7_500

/** One process from its start to its end: everything that accounts for calls, as `openAccounting` puts it together. */
export class SimulatedReplica implements TimerHost {
  readonly timers = new Set<SimulatedTimer>()
  readonly number: number
  operations = 0
  readonly id: string
  readonly world: World
  readonly journalFolder: string
  state: 'serving' | 'paused' | 'stopping' | 'gone' = 'serving'
  /** When the last heartbeat was sent that the database has confirmed. */
  confirmedBeatMs: number
  /** When the database last took a heartbeat. */
  beatenMs: number
  /** The calls of this process that have not been settled. */
  running = 0
  /** Its journal is closed. */
  isClosed = false
  /** Resolves when this process is killed. */
  readonly killed = Promise.withResolvers<never>()
  leases!: LeaseBook
  spool!: UsageSpool
  checkpoints!: Checkpoints
  sweeper!: OrphanSweeper
  pipeline!: Pipeline

  private constructor(world: World, id: string, journalFolder: string) {
    this.world = world
    this.id = id
    this.journalFolder = journalFolder
    this.number = world.replicas.length
    this.confirmedBeatMs = world.monotonicMs
    this.beatenMs = world.monotonicMs
    this.killed.promise.catch(() => {})
  }

  static async start(world: World, id: string, journalFolder: string, mutation: Mutation): Promise<SimulatedReplica> {
    await world.pool.query(
      `insert into replicas (id, host, pid, version, label, started_at, heartbeat_at)
       values ($1, 'simulated', 1, '0', 'main', clock_timestamp(), clock_timestamp())`,
      [id],
    )
    const replica = new SimulatedReplica(world, id, journalFolder)
    await runWithTimers(replica, () => replica.#open(mutation))
    return replica
  }

  nowMs(): number {
    return this.world.monotonicMs
  }

  earlyMs(dueMs: number): number {
    // Not drawn: which of two timers was set first may be a matter of how fast a disk is.
    const random = createRandom(this.world.seed + 31 * this.number + Math.floor(dueMs))
    return random.chance(0.3) ? random.int(1, 6) : 0
  }

  async #open(mutation: Mutation): Promise<void> {
    const { world } = this
    const clock = { nowMs: () => world.nowMs, monotonicMs: () => world.monotonicMs }
    const stores = storesOf(this, mutation)
    this.leases = mutation.leases(
      createLeaseBook({
        store: stores.leases(createBudgetLeaseStore(world.pool)),
        replica: this.id,
        heartbeatMs: () => this.confirmedBeatMs,
        recallFromOthers: (periodId) => world.publish(this, (other) => other.leases.recall(periodId)),
        releasedToOthers: (periodId) => world.publish(this, (other) => other.leases.released(periodId)),
        clock,
        newId: world.newId,
        log: silent,
      }),
    )
    this.spool = await openUsageSpool({
      path: this.journalFolder,
      owner: 'main',
      store: stores.usage('settle'),
      applied: ({ periods }) => {
        for (const { periodId, committedNano, limitNano } of periods) {
          this.leases.settled(periodId, committedNano, limitNano)
        }
      },
      clock,
      log: silent,
    })
    this.checkpoints = createCheckpoints({ store: stores.checkpoints, clock, log: silent })
    this.sweeper = createOrphanSweeper({
      store: stores.orphans,
      usage: stores.usage('sweep'),
      vanished: (owners) => world.operations.wait(this, 'vanished', async () => world.vanished(owners)),
      clock,
      log: silent,
    })
    setInterval(() => void this.#beat(), beatMs)
    this.pipeline = createPipeline({
      authenticate: () => never('a call has its caller already'),
      billingKey: () => never('whoever calls pays'),
      snapshot: () => ({ version: 1n, validUntilMs: undefined, ...emptySnapshot }),
      route: () => world.candidatesOf(this),
      underWay: createCallsUnderWay(clock),
      health: createUpstreamHealth({ log: silent, random: () => world.random.int(0, 999) / 1_000 }),
      random: () => world.random.int(0, 999) / 1_000,
      idempotency: { begin: () => never('no call has an idempotency key') },
      admit: createAdmission({
        journal: {
          append: (kind, record) => {
            world.journaled(kind, record)
            // The journal's overloads tie the record to the kind; so does whoever calls this.
            return this.spool.append(kind as 'end', record as never)
          },
        },
        checkpoints: this.checkpoints,
        budgets: this.leases,
        limiter: createMemoryLimiter({ clock }),
        clock,
        replica: this.id,
        unpriced: { policy: 'block', estimate: world.price },
        metrics: { refused: () => {}, replayed: () => {}, dispatched: () => {}, degraded: () => {}, settled: () => {} },
        requestLog: () => {},
        log: silent,
      }),
      clock,
      metrics: { refused: () => {}, replayed: () => {}, dispatched: () => {}, degraded: () => {}, settled: () => {} },
      log: silent,
    })
  }

  async #beat(): Promise<void> {
    const sentMs = this.world.monotonicMs
    const arrive = async (): Promise<void> => {
      this.beatenMs = this.world.monotonicMs
    }
    try {
      await this.world.operations.wait(this, 'beat', arrive, beatTimeoutMs)
      if (sentMs > this.confirmedBeatMs) this.confirmedBeatMs = sentMs
    } catch {
      // the next one may arrive
    }
  }

  /** Runs code as this process would, if it still did. */
  run(work: () => unknown): void {
    runWithTimers(this, () => void work())
  }

  /** The process is gone at once; what it had handed to the operating system is in its files. */
  kill(): void {
    this.state = 'gone'
    this.timers.clear()
    this.world.operations.abandon(this, ({ name }) => name !== 'provider' && this.world.random.chance(0.4))
    this.killed.reject(new Error('The process was killed.'))
  }

  /** A copy of the journal as the process has left it, for its next start. */
  copyJournal(name: string): string {
    const copy = join(this.world.folder, name)
    cpSync(this.journalFolder, copy, { recursive: true })
    return copy
  }

  /** As `Accounting.close` does it: what has ended is settled first, then all leases are given back. */
  stop(): Promise<void> {
    this.state = 'stopping'
    return runWithTimers(this, async () => {
      await this.sweeper.close()
      await this.checkpoints.close()
      await this.spool.close()
      this.isClosed = true
      await this.leases.close()
      this.world.stopped.add(this.id)
      this.state = 'gone'
      this.timers.clear()
    })
  }

  /** Closes files, which the end of a real process would have done. */
  async releaseFiles(): Promise<void> {
    if (!this.isClosed) await runWithRealTimers(() => this.spool.close(0))
  }
}

const never = (reason: string): never => {
  throw new Error(`Not asked in a simulation: ${reason}.`)
}

const emptySnapshot = {
  providers: new Map(),
  disabledProviders: new Set<string>(),
  aliases: new Map(),
  providersByModel: new Map(),
}
