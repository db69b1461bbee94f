import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import type { Budget, BudgetMode, BudgetPeriod } from '../../src/core/budgets/budget.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { AnswerSink, Call } from '../../src/core/inference/call.ts'
import { Cancellation } from '../../src/core/inference/cancellation.ts'
import type { Caller } from '../../src/core/keys/caller.ts'
import { nanoUsd } from '../../src/core/money.ts'
import type { Price } from '../../src/core/pricing/price.ts'
import { replicaGoneAfterMs } from '../../src/core/replicas/replicas.store.ts'
import type { Candidate } from '../../src/core/routing/route.ts'
import type { UsageEnd, UsageIntent } from '../../src/core/usage/usage-record.ts'
import { MoneyWatch } from './money-watch.ts'
import { Operations } from './operations.ts'
import type { Random } from './random.ts'
import { inputNano, outputNano, type SimulatedCall } from './simulated-call.ts'
import { simulatedCandidates } from './simulated-provider.ts'
import type { SimulatedReplica } from './simulated-replica.ts'

export interface WorldDeps {
  seed: number
  random: Random
  pool: pg.Pool
  /** For journals. */
  folder: string
}

const promptBytes = 40
const outputTokensMax = 100
export const worstCaseNano = BigInt(promptBytes) * inputNano + BigInt(outputTokensMax) * outputNano

/** Within a minute of the end of an hour, a day and a month, where most can go wrong; far from now, so no row is old. */
const baseMs = Date.UTC(2031, 1, 1)

/** What replicas live in: time, the database, a bus that loses events, a provider, and who watches the money. */
export class World {
  readonly seed: number
  /** Begins the names of its replicas. */
  readonly name: string
  readonly random: Random
  readonly pool: pg.Pool
  readonly folder: string
  readonly newId: () => string
  readonly operations: Operations
  readonly watch: MoneyWatch
  readonly price: Price
  readonly startMs: number
  monotonicMs = 0
  readonly budgets: (Budget & { amountNano: bigint })[] = []
  readonly callers: Caller[] = []
  readonly replicas: SimulatedReplica[] = []
  readonly stopped = new Set<string>()
  readonly calls = new Map<string, SimulatedCall>()
  readonly events: { to: SimulatedReplica; deliver(): void }[] = []
  /** Work on the database under way that the scheduler neither began nor can hold up. */
  outside = 0
  readonly #candidates = new Map<SimulatedReplica, readonly Candidate[]>()

  constructor({ seed, random, pool, folder }: WorldDeps) {
    this.seed = seed
    this.random = random
    this.pool = pool
    this.folder = folder
    // Of this run alone, for a database may see a seed twice; nothing depends on it.
    const run = randomBytes(4).toString('hex')
    let ids = 0
    this.newId = () => `${run}-0000-7000-8000-${(++ids).toString(16).padStart(12, '0')}`
    this.name = `simulated-${run}`
    this.startMs = baseMs - random.int(0, random.pick([500, 5_000, 60_000]))
    this.operations = new Operations(() => this.monotonicMs)
    this.watch = new MoneyWatch(this)
    const rates = { input: nanoUsd(inputNano * 1_000_000n), output: nanoUsd(outputNano * 1_000_000n) }
    this.price = { id: this.newId(), tables: [{ serviceTier: 'default', aboveInputTokens: 0, rates }] }
  }

  get nowMs(): number {
    return this.startMs + this.monotonicMs
  }

  /** Budgets that overlap, of a few worst cases each; at least one of them is hard. */
  async createBudgets(): Promise<void> {
    const { random } = this
    const organizationId = this.newId()
    for (let number = 0; number < random.int(1, 4); number++) {
      const mode: BudgetMode = number > 0 && random.chance(0.2) ? 'soft' : 'hard'
      const period = random.pick<BudgetPeriod>(['hour', 'day', 'week', 'month', 'total'])
      const amountNano = (worstCaseNano * BigInt(random.int(4, 32))) / 4n
      const budget = { id: this.newId(), scope: 'tag', period, timeZone: 'UTC', mode, amountNano } as const
      this.budgets.push(budget)
      await this.pool.query(
        `insert into budgets (id, tag_key, tag_value, amount_nano, period, time_zone, mode, managed_by)
         values ($1, 'seed', $2, $3, $4, $5, $6, 'admin')`,
        [budget.id, budget.id, amountNano, period, budget.timeZone, mode],
      )
    }
    for (let number = 0; number < random.int(1, 3); number++) {
      const budgets = this.budgets.filter((_, index) => index === 0 || random.chance(0.6))
      this.callers.push({
        keyId: this.newId(),
        keyName: `key ${number}`,
        organizationId,
        teamId: null,
        allowedModels: undefined,
        expiresAtMs: undefined,
        unpricedPolicy: undefined,
        tags: {},
        rateLimits: [],
        budgets,
      })
    }
  }

  candidatesOf(replica: SimulatedReplica): readonly Candidate[] {
    let candidates = this.#candidates.get(replica)
    if (!candidates) {
      candidates = simulatedCandidates(replica)
      this.#candidates.set(replica, candidates)
    }
    return candidates
  }

  /** A client calls; what becomes of it is known from `calls`. */
  call(replica: SimulatedReplica): void {
    const { random } = this
    const call: SimulatedCall = {
      id: this.newId(),
      caller: random.pick(this.callers),
      replica,
      arrivedMs: this.nowMs,
      cancellation: new Cancellation(),
      isDispatched: false,
      isOver: false,
      refusal: undefined,
      costNano: 0n,
      intent: undefined,
      end: undefined,
    }
    this.calls.set(call.id, call)
    replica.running++
    const sink: AnswerSink = {
      open: () => {},
      bytes: () => true,
      event: () => true,
      onceDrained: (resume) => resume(),
      end: () => this.#isOver(call),
      fail: (error) => {
        call.refusal = error.code
        this.#isOver(call)
      },
      record: () => {},
      replay: () => {},
    }
    void replica.run(() => replica.pipeline.run(requestOf(call, this.monotonicMs), sink))
  }

  #isOver(call: SimulatedCall): void {
    call.isOver = true
    call.replica.running--
  }

  cancel(call: SimulatedCall): void {
    call.replica.run(() =>
      call.cancellation.cancel(new GatewayError('client_closed_request', 'The client has gone away (simulated).')),
    )
  }

  journaled(kind: 'intent' | 'end', record: { request_id: string }): void {
    const call = this.calls.get(record.request_id)
    if (!call) throw new Error(`A record of an unknown call ${record.request_id} was journaled.`)
    if (kind === 'intent') call.intent = record as UsageIntent
    else call.end = record as UsageEnd
  }

  publish(from: SimulatedReplica, tell: (replica: SimulatedReplica) => void): void {
    for (const to of this.replicas) {
      if (to !== from && to.state !== 'gone') this.events.push({ to, deliver: () => to.run(() => tell(to)) })
    }
  }

  /** Which replicas count as gone by now; whoever is asked has been heard of itself. */
  vanished(owners: readonly string[]): ReadonlySet<string> {
    return new Set(owners.filter((owner) => this.isSilent(owner)))
  }

  isSilent(id: string): boolean {
    const replica = this.replicas.find((one) => one.id === id)
    if (!replica) return false // of another world in the same database
    return this.stopped.has(id) || this.monotonicMs - replica.beatenMs > replicaGoneAfterMs
  }

  /** Brings the row of a replica up to date, for statements that compare it with the database's own clock. */
  async tellSilence(id: string): Promise<void> {
    await this.pool.query(
      `update replicas set heartbeat_at = clock_timestamp() - case when $2 then interval '1 hour' else interval '0' end
       where id = $1`,
      [id, this.isSilent(id)],
    )
  }
}

const prompt = Buffer.alloc(promptBytes, 'a')

const requestOf = ({ id, caller, cancellation }: SimulatedCall, startedMs: number): Call => ({
  requestId: id,
  door: 'rest',
  operation: 'chat',
  caller,
  request: {
    model: 'simulated',
    stream: true,
    includeUsage: false,
    outputTokensMax,
    choices: 1,
    endUser: undefined,
    encodingFormat: 'float',
    bytes: prompt,
    spans: new Map(),
    inputTokensEstimate: promptBytes / 2,
  },
  answerForm: 'any',
  clientRequestId: undefined,
  idempotency: undefined,
  cancellation,
  header: () => undefined,
  timeoutMs: undefined,
  startedMs,
})
