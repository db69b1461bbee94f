import type { Clock } from '../clock.ts'
import type { GatewayError } from '../errors.ts'
import type { IdSource } from '../ids.ts'
import type { Log } from '../log.ts'
import type { Budget } from './budget.ts'
import { BudgetAccount } from './budget-account.ts'
import type { BudgetLeaseStore, LeaseAnswer, LeaseAsk, LeaseReturnAnswer } from './budget-leases.store.ts'
import { budgetPeriodAt } from './budget-period.ts'
import { budgetExceeded, budgetUnverifiable } from './refusals.ts'
import { HeldReservation, type Reservation, type ReservationOwner } from './reservation.ts'

/**
 * What this replica has leased of budgets, and who waits for more. A call that fits what is at hand is decided in memory
 * and at once; otherwise the database is asked, one exchange at a time for each lease.
 */
export interface LeaseBook {
  /**
   * Holds the amount of every budget, or of none.
   *
   * @param budgets - the same array for all calls of a key
   * @throws GatewayError `budget_exceeded`, or `budget_unverifiable` when the database cannot be asked; as a rejection
   */
  reserve(budgets: readonly Budget[], amountNano: bigint): Reservation | Promise<Reservation>
  /** Another replica is short: everything of the period that is free here goes back. */
  recall(periodId: string): void
  /** Another replica has given something of the period back. */
  released(periodId: string): void
  /** How a period stands, as of a batch that has just been settled. */
  settled(periodId: string, committedNano: bigint, limitNano: bigint): void
  statistics(): LeaseBookStatistics
  /** Gives everything back; nothing can be reserved any more. Never rejects. */
  close(): Promise<void>
}

export interface LeaseBookStatistics {
  periods: number
  waiting: number
  /** Nano-USD, over all periods. */
  freeNano: bigint
  reservedNano: bigint
  taken: number
  refused: number
  unverifiable: number
  returned: number
  recalled: number
  lost: number
}

export interface LeaseBookDeps {
  store: BudgetLeaseStore
  /** Whose leases these are. */
  replica: string
  /** When the heartbeat was sent that the database has confirmed last, by the monotonic clock. */
  heartbeatMs(): number
  /** Asks the other replicas to give back what they hold idle of a period. */
  recallFromOthers(periodId: string): void
  /** Tells the other replicas that something of a period is free again. */
  releasedToOthers(periodId: string): void
  clock: Clock
  newId: IdSource
  log: Log
  settings?: Partial<LeaseBookSettings>
}

export interface LeaseBookSettings {
  /** How long a replica may be silent and still use its leases: less than it takes others to take them away. */
  aliveMs: number
  /** How long others have to give back what they do not use. */
  recallWaitMs: number
  /** How often idle leases are looked for. */
  sweepMs: number
  /** After which an account that is not used is forgotten. */
  forgetMs: number
  /** How old the standing of a soft budget may get before it is asked for again, in the background. */
  standingMs: number
}

export const leaseBookDefaults: LeaseBookSettings = {
  aliveMs: 25_000,
  recallWaitMs: 250,
  sweepMs: 500,
  forgetMs: 60_000,
  standingMs: 1_000,
}

/** After a recall has brought nothing, others are not asked again for so long. */
const recallPauseMs = 40
/** How long an ask that this replica has given up may take to arrive: longer than any statement may. */
const lateMs = 5_000
/** For so long after a recall, what comes free goes back at once. */
const wantedMs = 1_000

interface AccountSet {
  accounts: readonly BudgetAccount[]
  /** When the first of their periods ends, by database time. */
  untilMs: number
}

/** What the database said to one exchange. */
interface Answers {
  asked: { atMs: number; silences: number }
  byLease: ReadonlyMap<string, LeaseAnswer>
}

interface Waiter {
  accounts: readonly BudgetAccount[]
  amountNano: bigint
  isDone: boolean
  resolve(reservation: HeldReservation): void
  reject(error: GatewayError): void
}

export function createLeaseBook(deps: LeaseBookDeps): LeaseBook {
  const { store, replica, clock, log } = deps
  const settings = { ...leaseBookDefaults, ...deps.settings }
  const newId = (): string => deps.newId(clock.nowMs())
  const accounts = new Map<string, BudgetAccount>()
  const byPeriodId = new Map<string, BudgetAccount>()
  /** By the budgets of a key. It is no state: forgetting it costs a look-up. */
  let sets = new WeakMap<readonly Budget[], AccountSet>()
  let waiters: Waiter[] = []
  let heartbeatMs = deps.heartbeatMs()
  /** How often it was unknown whether leases had been taken away. */
  let silences = 0
  let closed = false
  const underWay = new Set<Promise<void>>()
  const counts = { taken: 0, refused: 0, unverifiable: 0, returned: 0, recalled: 0, lost: 0 }
  const timer = setInterval(sweep, settings.sweepMs)
  timer.unref()
  const owner: ReservationOwner = { reserveFrom, freed }

  function accountsOf(budgets: readonly Budget[]): readonly BudgetAccount[] {
    const nowMs = clock.nowMs()
    const known = sets.get(budgets)
    if (known && nowMs < known.untilMs) return known.accounts
    const opened = budgets.map((budget) => accountOf(budget, nowMs))
    const untilMs = Math.min(...opened.map(({ endMs }) => endMs ?? Number.POSITIVE_INFINITY))
    sets.set(budgets, { accounts: opened, untilMs })
    return opened
  }

  function accountOf(budget: Budget, nowMs: number): BudgetAccount {
    const bounds = budgetPeriodAt(budget.period, budget.timeZone, nowMs)
    const key = `${budget.id} ${bounds.startMs}`
    let account = accounts.get(key)
    if (!account) {
      account = new BudgetAccount(budget, bounds, newId, clock.monotonicMs())
      accounts.set(key, account)
    }
    return account
  }

  function reserveFrom(
    wanted: readonly BudgetAccount[],
    amountNano: bigint,
  ): HeldReservation | Promise<HeldReservation> {
    if (closed) return Promise.reject(budgetUnverifiable('The gateway is shutting down.'))
    if (fits(wanted, amountNano)) return take(wanted, amountNano)
    return new Promise((resolve, reject) => {
      const waiter = { accounts: wanted, amountNano, isDone: false, resolve, reject }
      waiters.push(waiter)
      attend(waiter)
    })
  }

  function fits(wanted: readonly BudgetAccount[], amountNano: bigint): boolean {
    const nowMs = clock.monotonicMs()
    const isAlive = looksAlive(nowMs)
    for (const account of wanted) {
      if (!account.fits(amountNano)) return false
      if (account.isGone) continue
      if (account.mode === 'hard' && !isAlive) return false
      if (account.mode === 'soft' && !account.isBusy && nowMs - account.readMs > settings.standingMs)
        run(look([account]))
    }
    return true
  }

  /** Whether nobody can have taken this replica for dead; after a silence, every lease has to be looked at again. */
  function looksAlive(nowMs: number): boolean {
    const confirmedMs = deps.heartbeatMs()
    const isAlive = nowMs - confirmedMs < settings.aliveMs
    // The heartbeat that ends a silence may have been sent early in it and have arrived only now.
    if (isAlive && nowMs - heartbeatMs >= settings.aliveMs) {
      silences++
      for (const account of accounts.values()) account.isSuspect ||= account.lease.sequence > 0
    }
    heartbeatMs = confirmedMs
    return isAlive
  }

  function take(wanted: readonly BudgetAccount[], amountNano: bigint): HeldReservation {
    counts.taken++
    return new HeldReservation(owner, wanted, amountNano, clock.monotonicMs())
  }

  /** Serves in order whoever can be served now, and attends to the others. */
  function pump(): void {
    for (const waiter of waiters) if (fits(waiter.accounts, waiter.amountNano)) serve(waiter)
    waiters = waiters.filter(({ isDone }) => !isDone)
    for (const waiter of [...waiters]) attend(waiter)
  }

  /** Does what brings a waiter on, unless its accounts are at it for somebody else: then their answer brings it on. */
  function attend(waiter: Waiter): void {
    if (waiter.isDone || waiter.accounts.some(({ isBusy, isParked }) => isBusy || isParked)) return
    const spent = waiter.accounts.find((account) => isSpent(account))
    const owing = waiter.accounts.filter(({ lease }) => lease.returningNano > 0n)
    if (spent) refuse([spent], 0n)
    else if (owing.length > 0)
      run(giveBack(owing)) // a lease cannot grow before it is known what it has shrunk by
    else run(ask(waiter))
  }

  function serve(waiter: Waiter): void {
    waiter.isDone = true
    waiter.resolve(take(waiter.accounts, waiter.amountNano))
  }

  /** A soft budget holds nothing back, so nothing can be asked for: once its standing is fresh, it says no. */
  function isSpent(account: BudgetAccount): boolean {
    if (account.mode !== 'soft' || account.isGone || account.periodId === undefined) return false
    return account.committedNano >= account.limitNano && clock.monotonicMs() - account.readMs <= settings.standingMs
  }

  async function ask({ accounts: wanted, amountNano }: Waiter): Promise<void> {
    if (!looksAlive(clock.monotonicMs())) return fail(wanted, 'This replica has lost touch with the database.')
    const short = wanted.filter((account) => !account.fits(amountNano))
    const answers = await exchange(short, amountNano)
    if (answers) takeIn(short, answers, amountNano)
    else fail(short, 'The budgets of the key cannot be checked at present.')
    freed(short) // others may have asked for it meanwhile
  }

  /** @returns undefined when the database did not answer; what was asked for may have been granted nevertheless */
  async function exchange(asking: readonly BudgetAccount[], amountNano: bigint): Promise<Answers | undefined> {
    for (const account of asking) account.isBusy = true
    const asked = { atMs: clock.monotonicMs(), silences }
    try {
      const answers = await store.take(
        replica,
        asking.map((account) => askOf(account, amountNano)),
      )
      return { asked, byLease: new Map(answers.map((answer) => [answer.leaseId, answer])) }
    } catch (error) {
      log.warn({ err: error }, 'The database could not be asked about budgets.')
      for (const account of asking) {
        account.isSuspect = true
        account.doubtUntilMs = asked.atMs + lateMs
      }
      return undefined
    } finally {
      for (const account of asking) account.isBusy = false
    }
  }

  function askOf(account: BudgetAccount, amountNano: bigint): LeaseAsk {
    const { budget, lease } = account
    const missingNano = amountNano - lease.freeNano
    const neededNano = account.mode === 'hard' && missingNano > 0n ? missingNano : 0n
    return {
      budgetId: budget.id,
      periodStartMs: account.startMs,
      periodEndMs: account.endMs,
      newPeriodId: account.newPeriodId,
      leaseId: lease.id,
      sequence: lease.sequence + 1,
      neededNano,
      wantedNano: larger(neededNano, larger(account.burnNano, waitedForNano(account))),
    }
  }

  function waitedForNano(account: BudgetAccount): bigint {
    let sum = 0n
    for (const waiter of waiters) if (waiter.accounts.includes(account)) sum += waiter.amountNano
    return sum
  }

  function takeIn(asking: readonly BudgetAccount[], answers: Answers, amountNano: bigint): void {
    const refusing: BudgetAccount[] = []
    for (const account of asking) {
      const missingNano = amountNano - account.lease.freeNano
      const answer = learn(account, answers)
      if (!answer || answer.mode === 'soft' || answer.isLost || answer.isChanged) continue
      if (missingNano <= 0n || answer.restNano >= missingNano) continue
      if (answer.othersNano === 0n || isRecallOver(account, answers.asked.atMs)) refusing.push(account)
      else recallFromOthers(account)
    }
    if (refusing.length > 0) refuse(refusing, amountNano)
  }

  /** @returns what was said of this account; undefined when its budget is gone */
  function learn(account: BudgetAccount, { asked, byLease }: Answers): LeaseAnswer | undefined {
    const answer = byLease.get(account.lease.id)
    if (!answer) {
      account.isGone = true
      return undefined
    }
    if (answer.isLost) counts.lost++
    account.answered(answer, clock.monotonicMs())
    // The answer may be from before the silence that has made the lease suspect.
    if (asked.silences !== silences) account.isSuspect = account.lease.sequence > 0
    byPeriodId.set(answer.periodId, account)
    return answer
  }

  const isRecallOver = ({ recallUntilMs }: BudgetAccount, askedMs: number): boolean =>
    askedMs >= recallUntilMs && askedMs < recallUntilMs + recallPauseMs

  /** What others hold idle may be enough. Whoever waits for this period waits for their answer, but not for long. */
  function recallFromOthers(account: BudgetAccount): void {
    const nowMs = clock.monotonicMs()
    account.isParked = true
    if (nowMs >= account.recallUntilMs) {
      account.recallUntilMs = nowMs + settings.recallWaitMs
      deps.recallFromOthers(account.periodId as string) // the database has just named it
    }
    // Timers may fire some milliseconds early, and then the rest of the wait needs one of its own.
    setTimeout(() => unpark(account), Math.ceil(account.recallUntilMs - nowMs))
  }

  function unpark(account: BudgetAccount): void {
    account.isParked = false
    if (waiters.length > 0) pump()
  }

  /** Turns away those that wait for these accounts and need as much. */
  function refuse(refusing: readonly BudgetAccount[], amountNano: bigint): void {
    counts.refused += reject(
      (waiter) => waiter.amountNano >= amountNano && refusing.find((account) => waiter.accounts.includes(account)),
      budgetExceeded,
    )
  }

  function fail(failing: readonly BudgetAccount[], message: string): void {
    counts.unverifiable += reject(
      ({ accounts: wanted }) => failing.find((account) => wanted.includes(account)),
      () => budgetUnverifiable(message),
    )
  }

  /** @returns how many were turned away */
  function reject(
    because: (waiter: Waiter) => BudgetAccount | false | undefined,
    errorOf: (account: BudgetAccount) => GatewayError,
  ): number {
    let rejected = 0
    for (const waiter of waiters) {
      const account = waiter.isDone ? undefined : because(waiter)
      if (!account) continue
      waiter.isDone = true
      waiter.reject(errorOf(account))
      rejected++
    }
    waiters = waiters.filter(({ isDone }) => !isDone)
    return rejected
  }

  /** Asks how accounts stand, and for nothing else. */
  async function look(accountsToLookAt: readonly BudgetAccount[]): Promise<void> {
    for (const account of accountsToLookAt) account.readMs = clock.monotonicMs() // once in a while, whatever comes of it
    const answers = await exchange(accountsToLookAt, 0n)
    if (answers) for (const account of accountsToLookAt) learn(account, answers)
    freed(accountsToLookAt)
  }

  function freed(accountsFreed: readonly BudgetAccount[]): void {
    if (waiters.length > 0) pump()
    for (const account of accountsFreed) {
      if (account.wantedUntilMs > Number.NEGATIVE_INFINITY) giveToOthers(account)
    }
  }

  function giveToOthers(account: BudgetAccount): void {
    if (clock.monotonicMs() >= account.wantedUntilMs) account.wantedUntilMs = Number.NEGATIVE_INFINITY
    else if (!account.isBusy && !account.isSuspect && account.takeFree() > 0n) run(giveBack([account]))
  }

  /** What fails is sent again by the next sweep, under the same number. */
  async function giveBack(returning: readonly BudgetAccount[]): Promise<void> {
    for (const account of returning) account.isBusy = true
    let answers: readonly LeaseReturnAnswer[] | undefined
    try {
      answers = await store.giveBack(
        returning.map(({ lease: { id, sequence, returningNano } }) => ({
          leaseId: id,
          sequence: sequence + 1,
          amountNano: returningNano,
        })),
      )
    } catch (error) {
      log.warn({ err: error }, 'Leases of budgets could not be given back yet.')
    }
    for (const account of returning) account.isBusy = false
    if (!answers) return fail(returning, 'The budgets of the key cannot be checked at present.')
    for (const account of returning) {
      const answer = answers.find(({ leaseId }) => leaseId === account.lease.id)
      if (!answer) continue // there is one for each
      counts.returned++
      account.returned(answer)
      account.lastUsedMs = clock.monotonicMs()
      if (account.periodId !== undefined) deps.releasedToOthers(account.periodId)
    }
    freed(returning)
  }

  function sweep(): void {
    const nowMs = clock.monotonicMs()
    looksAlive(nowMs)
    const returning: BudgetAccount[] = []
    const suspect: BudgetAccount[] = []
    for (const [key, account] of accounts) {
      if (account.isBusy) continue
      const isInDoubt = account.doubtUntilMs !== undefined && nowMs >= account.doubtUntilMs
      if ((account.isSuspect || isInDoubt) && account.lease.returningNano === 0n) {
        if (isInDoubt) account.doubtUntilMs = undefined
        suspect.push(account)
        continue
      }
      if (account.lease.returningNano === 0n) {
        if (account.endMs !== undefined && clock.nowMs() >= account.endMs) account.takeFree()
        else account.takeIdle(nowMs)
      }
      if (account.lease.returningNano > 0n) returning.push(account)
      else if (account.isUnused(nowMs, settings.forgetMs)) {
        if (account.lease.sequence > 0)
          returning.push(account) // it is empty, and its row goes
        else forget(key, account)
      }
    }
    if (returning.length > 0) run(giveBack(returning))
    if (suspect.length > 0) run(look(suspect))
    if (waiters.length > 0) pump()
  }

  function forget(key: string, { periodId }: BudgetAccount): void {
    accounts.delete(key)
    if (periodId !== undefined) byPeriodId.delete(periodId)
    sets = new WeakMap()
  }

  function run(work: Promise<void>): void {
    underWay.add(work)
    void work.finally(() => underWay.delete(work))
  }

  return {
    reserve: (budgets, amountNano) => reserveFrom(accountsOf(budgets), amountNano),
    recall(periodId) {
      const account = byPeriodId.get(periodId)
      if (!account) return
      counts.recalled++
      account.wantedUntilMs = clock.monotonicMs() + wantedMs
      giveToOthers(account)
    },
    released(periodId) {
      const account = byPeriodId.get(periodId)
      if (account?.isParked) unpark(account)
    },
    settled(periodId, committedNano, limitNano) {
      const account = byPeriodId.get(periodId)
      if (!account) return
      account.committedNano = committedNano
      account.limitNano = limitNano
    },
    statistics() {
      let freeNano = 0n
      let reservedNano = 0n
      for (const { lease } of accounts.values()) {
        freeNano += lease.freeNano
        reservedNano += lease.reservedNano
      }
      return { ...counts, periods: accounts.size, waiting: waiters.length, freeNano, reservedNano }
    },
    async close() {
      closed = true
      clearInterval(timer)
      fail([...accounts.values()], 'The gateway is shutting down.')
      while (underWay.size > 0) await Promise.all(underWay)
      for (const account of accounts.values()) account.takeFree()
      const returning = [...accounts.values()].filter(({ lease }) => lease.returningNano > 0n)
      if (returning.length > 0) await giveBack(returning)
    },
  }
}

const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b)
