import type { Reservation } from '../budgets/reservation.ts'
import { outputTokensMaxOf, worstCaseOf } from '../budgets/worst-case.ts'
import type { Clock } from '../clock.ts'
import type { Payer } from '../keys/caller.ts'
import type { LimitState } from '../limits/limiter.ts'
import type { TakenLimits } from '../limits/take-limits.ts'
import type { Log } from '../log.ts'
import { costOf } from '../pricing/cost.ts'
import type { Candidate } from '../routing/route.ts'
import type { UsageCheckpoint } from '../usage/checkpoints.store.ts'
import type { Checkpoints, RunningCall } from '../usage/checkpoints.ts'
import type { UsageEnd, UsageIntent } from '../usage/usage-record.ts'
import type { Call } from './call.ts'
import type { HeldOutput } from './held-output.ts'
import type { InferenceMetrics, SettledTimes } from './inference-metrics.ts'
import type { RequestLog } from './request-log.ts'
import { counted, usageEndOf } from './settle.ts'
import type { AccountedCandidate, Attempt, Ticket } from './ticket.ts'

/** Where intents and ends are kept before the database has them. */
export interface UsageJournal {
  append(kind: 'intent' | 'end', record: object & { request_id: string }): Promise<void>
}

export interface AdmittedCallDeps {
  journal: UsageJournal
  checkpoints: Checkpoints
  clock: Clock
  metrics: InferenceMetrics
  requestLog: RequestLog
  log: Log
}

export interface Admitted {
  call: Call
  payer: Payer
  candidates: readonly Candidate[]
  /** One per candidate. */
  targets: readonly AccountedCandidate[]
  intent: UsageIntent
  limits: TakenLimits | undefined
  reservation: Reservation | undefined
}

/** A call that may be made: what it holds, and how it is accounted for while it runs and when it ends. */
export class AdmittedCall implements Ticket, RunningCall {
  readonly startedMs: number
  slot = -1
  readonly #deps: AdmittedCallDeps
  readonly #admitted: Admitted
  /** The candidate that is being asked. */
  #at = 0
  #output: HeldOutput | undefined

  constructor(deps: AdmittedCallDeps, admitted: Admitted) {
    this.#deps = deps
    this.#admitted = admitted
    this.startedMs = deps.clock.monotonicMs()
    deps.checkpoints.started(this)
  }

  get limits(): LimitState | undefined {
    return this.#admitted.limits?.state
  }

  /** The bound that money is held for is only real if the upstream keeps to it. */
  outputTokensCap(candidate: number): number | undefined {
    const { call, targets, reservation } = this.#admitted
    if (!reservation || call.operation !== 'chat' || call.request.outputTokensMax !== undefined) return undefined
    return outputTokensMaxOf(call.request, targets[candidate]?.maxOutputTokens)
  }

  attempting(candidate: number, output: HeldOutput): void {
    this.#output = output
    this.#at = candidate
  }

  async holdAnother(): Promise<boolean> {
    const { call, targets, reservation } = this.#admitted
    if (!reservation) return true
    return reservation.extend(worstCaseOf(call.operation, call.request, targets))
  }

  checkpoint(): UsageCheckpoint {
    const { intent, candidates, targets, reservation } = this.#admitted
    const { input_tokens_estimate, orphan_cost_nano: _, ...identity } = intent
    const at = this.#at
    const { usage } = counted(input_tokens_estimate, this.#output?.outputBytes ?? 0)
    const price = targets[at]?.price
    return {
      ...identity,
      provider: candidates[at]?.provider.name ?? intent.provider,
      model: candidates[at]?.model ?? intent.model,
      input_tokens: usage.inputTokens,
      checkpoint_output_tokens: usage.outputTokens,
      provider_cost_nano: price ? costOf(price, usage).costNano.toString() : '0',
      reserved_nano: (reservation?.amountNano ?? 0n).toString(),
    }
  }

  async settle(attempts: readonly Attempt[], firstOutputMs: number | undefined): Promise<UsageEnd> {
    const { journal, checkpoints, metrics, requestLog, clock, log } = this.#deps
    const { call, payer, intent, targets, limits, reservation } = this.#admitted
    const end = usageEndOf(intent, call, attempts, targets, reservation?.amountNano ?? 0n, firstOutputMs, clock)
    try {
      await journal.append('end', end)
    } catch (error) {
      // The intent is on disk: the next start will close the call as estimated. The full record goes to the log.
      log.error({ err: error, usage_record: end }, 'A usage record could not be journaled.')
    }
    limits?.hold.settle(end.input_tokens + end.output_tokens)
    reservation?.settle(BigInt(end.provider_cost_nano))
    checkpoints.ended(this)
    const last = attempts[attempts.length - 1]
    const entry = last?.candidate.entry
    metrics.settled(end, entry ? entry.name : 'other', this.#timesOf(attempts, firstOutputMs))
    const oddFinish = last?.result.oddFinish
    if (oddFinish) {
      const { request_id, provider, model } = end
      const fields = { request_id, provider, model, provider_finish: oddFinish.slice(0, 100) }
      log.warn(fields, 'A provider ended an answer in a way that OpenAI has no word for.')
    }
    requestLog(end, payer.keyName, call.trace)
    return end
  }

  #timesOf(attempts: readonly Attempt[], firstOutputMs: number | undefined): SettledTimes {
    let overheadMs = this.#deps.clock.monotonicMs() - this.#admitted.call.startedMs
    for (const { totalMs } of attempts) overheadMs -= totalMs
    const lastStartedMs = attempts[attempts.length - 1]?.startedMs
    const isKnown = firstOutputMs !== undefined && lastStartedMs !== undefined
    return { overheadMs, upstreamFirstOutputMs: isKnown ? firstOutputMs - lastStartedMs : undefined }
  }
}
