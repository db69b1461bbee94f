import type { IdSource } from '../ids.ts'
import { costOf, inputTokenKinds } from '../pricing/cost.ts'
import type { Price } from '../pricing/price.ts'
import type {
  BilledAttempt,
  BilledCall,
  CallChange,
  CallPlace,
  CallQuery,
  PeriodState,
  RerateStore,
} from './rerate.store.ts'

export interface RerateDeps {
  store: RerateStore
  /** The price that calls to this provider shall have cost; without one they stay as they are. */
  priceOf(provider: string): Price | undefined
  /** The price that an attempt names which is not rerated; undefined when it cannot be read. */
  priceById(id: string): Promise<Price | undefined>
  newId: IdSource
  nowMs(): number
}

export interface RerateOptions {
  /** Half-open, by when calls were reserved. */
  from: Date
  to: Date
  /** As records name it. */
  model: string
  provider?: string | undefined
  /** Otherwise only computes. */
  apply: boolean
  batchCalls?: number
}

export type RerateResult =
  /** `from` lies before what retention has left. */
  | { status: 'dropped'; droppedBefore: Date }
  | {
      status: 'rerated'
      /** Calls that used the model and were billed for it, and those of them that change. */
      calls: number
      changed: number
      /** Calls left alone: no price is known for their provider's model, */
      withoutPrice: number
      /** or record, ledger and attempts do not agree on what they cost. */
      inconsistent: number
      /** Calls of which some units have no rate at the new price; these cost nothing. */
      unpriced: number
      oldNano: bigint
      newNano: bigint
      groups: RerateGroup[]
      /** Budget periods that are above their limit with the new costs, as they are or would be. */
      overspent: PeriodState[]
    }

/** What the model's attempts of one key at one provider cost, before and after. */
export interface RerateGroup {
  keyId: string
  keyName: string | undefined
  provider: string
  calls: number
  oldNano: bigint
  newNano: bigint
}

const batchCallsDefault = 500

/**
 * Computes anew, from stored units, what calls cost that used a model, and enters the difference.
 *
 * The charge stays in the ledger and gets an `adjust` beside it; record and attempts say what the call costs by now,
 * and by which price version. Budget periods in which it counted move along, above their limits if need be. A second
 * run finds nothing to change, and one that was cut short is finished by the next.
 */
export async function rerate(deps: RerateDeps, options: RerateOptions): Promise<RerateResult> {
  const { store } = deps
  const droppedBefore = await store.droppedBefore()
  if (droppedBefore && options.from < droppedBefore) return { status: 'dropped', droppedBefore }
  const totals: Totals = {
    calls: 0,
    changed: 0,
    withoutPrice: 0,
    inconsistent: 0,
    unpriced: 0,
    groups: new Map(),
    periods: new Map(),
  }
  const limit = options.batchCalls ?? batchCallsDefault
  const run = { id: deps.newId(deps.nowMs()), options }
  let after: CallPlace | undefined
  for (;;) {
    const query: CallQuery = { ...options, provider: options.provider, after, limit }
    const batch = options.apply ? await applyBatch(deps, query, run) : await ratedBatch(deps, query, store.calls)
    for (const rated of batch) count(totals, rated)
    after = batch[batch.length - 1]?.call
    if (batch.length < limit) return resultOf(store, totals, options.apply)
  }
}

interface Totals {
  calls: number
  changed: number
  withoutPrice: number
  inconsistent: number
  unpriced: number
  groups: Map<string, RerateGroup>
  /** Differences by budget period. */
  periods: Map<string, bigint>
}

interface RatedCall {
  call: BilledCall
  outcome: 'changed' | 'unchanged' | 'without-price' | 'inconsistent'
  /** The model's attempts that have a price, and what they cost at it. */
  attempts: readonly { attempt: BilledAttempt; costNano: bigint; priceVersion: string; unpriced: boolean }[]
  change: Omit<CallChange, 'entries'> | undefined
}

async function applyBatch(
  deps: RerateDeps,
  query: CallQuery,
  run: { id: string; options: RerateOptions },
): Promise<RatedCall[]> {
  return deps.store.transaction(async ({ calls, apply }) => {
    const batch = await ratedBatch(deps, query, calls)
    const changes = batch
      .flatMap(({ change }) => change ?? [])
      .map((change) => ({ ...change, entries: entriesOf(deps, change) }))
    if (changes.length > 0) {
      const { from, to, model, provider } = run.options
      await apply(changes, {
        id: deps.newId(deps.nowMs()),
        runId: run.id,
        after: {
          from,
          to,
          model,
          provider,
          calls: changes.length,
          differenceNano: sum(changes.map(({ differenceNano }) => differenceNano)).toString(),
          priceVersions: [
            ...new Set(changes.flatMap(({ attempts }) => attempts.map(({ priceVersion }) => priceVersion))),
          ],
        },
      })
    }
    return batch
  })
}

/** One entry for the money itself, and one for each budget period that it counts in. */
function entriesOf({ newId, nowMs }: RerateDeps, { call, differenceNano }: Omit<CallChange, 'entries'>) {
  if (differenceNano === 0n) return []
  const periods = [null, ...new Set(call.budgetPeriodIds)]
  return periods.map((budgetPeriodId) => ({ id: newId(nowMs()), budgetPeriodId }))
}

async function ratedBatch(deps: RerateDeps, query: CallQuery, read: RerateStore['calls']): Promise<RatedCall[]> {
  const batch: RatedCall[] = []
  for (const call of await read(query)) batch.push(await rated(deps, call, query))
  return batch
}

async function rated(deps: RerateDeps, call: BilledCall, { model, provider }: CallQuery): Promise<RatedCall> {
  const ofModel = call.attempts.filter(
    (attempt) =>
      isBilled(attempt) && attempt.model === model && (provider === undefined || attempt.provider === provider),
  )
  const attempts = ofModel.flatMap((attempt) => {
    const price = deps.priceOf(attempt.provider)
    if (!price) return []
    const { costNano, unpricedKinds } = costOf(price, pricedUsageOf(attempt))
    return [{ attempt, costNano: costNano as bigint, priceVersion: price.id, unpriced: unpricedKinds.length > 0 }]
  })
  const paidNano = sum(call.attempts.map(({ costNano }) => costNano))
  if (call.ledgerNano !== paidNano || call.costNano !== paidNano) {
    return { call, outcome: 'inconsistent', attempts: [], change: undefined }
  }
  if (attempts.length === 0) return { call, outcome: 'without-price', attempts, change: undefined }
  const byNumber = new Map(attempts.map((each) => [each.attempt.attemptNo, each]))
  let unpriced = false
  for (const attempt of call.attempts) {
    const anew = byNumber.get(attempt.attemptNo)
    unpriced ||= anew ? anew.unpriced : await wasUnpriced(deps, attempt, call)
  }
  const changed = attempts.filter(
    ({ attempt, costNano, priceVersion }) => costNano !== attempt.costNano || priceVersion !== attempt.priceVersion,
  )
  if (changed.length === 0 && unpriced === call.unpriced)
    return { call, outcome: 'unchanged', attempts, change: undefined }
  const last = call.attempts[call.attempts.length - 1]
  return {
    call,
    outcome: 'changed',
    attempts,
    change: {
      call,
      differenceNano: sum(changed.map(({ attempt, costNano }) => costNano - attempt.costNano)),
      unpriced,
      priceVersion: (last && byNumber.get(last.attemptNo)?.priceVersion) ?? last?.priceVersion ?? null,
      attempts: changed.map(({ attempt, costNano, priceVersion }) => ({
        attemptNo: attempt.attemptNo,
        costNano,
        priceVersion,
      })),
    },
  }
}

const isBilled = ({ billing }: BilledAttempt): boolean => billing === 'billed' || billing === 'estimated'

/** Of an attempt at another model. */
async function wasUnpriced(deps: RerateDeps, attempt: BilledAttempt, call: BilledCall): Promise<boolean> {
  if (!isBilled(attempt)) return false
  if (attempt.priceVersion === null) return true
  const price = await deps.priceById(attempt.priceVersion)
  return price ? costOf(price, pricedUsageOf(attempt)).unpricedKinds.length > 0 : call.unpriced
}

const pricedUsageOf = ({ units, serviceTier }: BilledAttempt) => ({
  units,
  serviceTier,
  inputTokens: inputTokenKinds.reduce((tokens, kind) => tokens + (units[kind] ?? 0), 0),
})

function count(totals: Totals, { call, outcome, attempts, change }: RatedCall): void {
  totals.calls++
  if (outcome === 'changed') totals.changed++
  if (outcome === 'without-price') totals.withoutPrice++
  if (outcome === 'inconsistent') totals.inconsistent++
  if (attempts.some(({ unpriced }) => unpriced)) totals.unpriced++
  const counted = new Set<RerateGroup>()
  for (const { attempt, costNano } of attempts) {
    const name = `${call.keyId} ${attempt.provider}`
    const group = totals.groups.get(name) ?? {
      keyId: call.keyId,
      keyName: undefined,
      provider: attempt.provider,
      calls: 0,
      oldNano: 0n,
      newNano: 0n,
    }
    totals.groups.set(name, group)
    if (!counted.has(group)) group.calls++
    counted.add(group)
    group.oldNano += attempt.costNano
    group.newNano += costNano
  }
  if (!change) return
  for (const id of new Set(call.budgetPeriodIds)) {
    totals.periods.set(id, (totals.periods.get(id) ?? 0n) + change.differenceNano)
  }
}

async function resultOf(
  store: RerateStore,
  { groups, periods, ...counts }: Totals,
  applied: boolean,
): Promise<RerateResult> {
  const names = await store.keyNames([...new Set([...groups.values()].map(({ keyId }) => keyId))])
  const raised = [...periods].filter(([, differenceNano]) => differenceNano > 0n).map(([id]) => id)
  const states = (await store.periods(raised)).map((state) => ({
    ...state,
    committedNano: state.committedNano + (applied ? 0n : (periods.get(state.id) ?? 0n)),
  }))
  const sorted = [...groups.values()]
    .map((group) => ({ ...group, keyName: names.get(group.keyId) }))
    .sort((a, b) => byMagnitude(b.newNano - b.oldNano, a.newNano - a.oldNano))
  return {
    status: 'rerated',
    ...counts,
    oldNano: sum(sorted.map(({ oldNano }) => oldNano)),
    newNano: sum(sorted.map(({ newNano }) => newNano)),
    groups: sorted,
    overspent: states.filter(({ limitNano, committedNano }) => committedNano > limitNano),
  }
}

function byMagnitude(a: bigint, b: bigint): number {
  const [one, other] = [a < 0n ? -a : a, b < 0n ? -b : b]
  return one < other ? -1 : one > other ? 1 : 0
}

const sum = (values: readonly bigint[]): bigint => values.reduce((total, value) => total + value, 0n)
