import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { Caller, UnpricedPolicy } from '../keys/caller.ts'
import type { Log } from '../log.ts'
import { costOf } from '../pricing/cost.ts'
import type { Price } from '../pricing/price.ts'
import type { Candidate } from '../routing/route.ts'
import type { UsageIntent } from '../usage/usage-record.ts'
import type { Attempt } from './attempt.ts'
import type { Call } from './call.ts'
import type { InferenceMetrics } from './inference-metrics.ts'
import type { RequestLog } from './request-log.ts'
import { usageEndOf } from './settle.ts'

/** The right to make one call, and the duty to account for it. */
export interface Ticket {
  /** Writes what the call came to; resolves once that survives a crash, and never rejects. Called exactly once. */
  settle(attempts: readonly Attempt[], firstOutputMs: number | undefined): Promise<void>
}

/** Where intents and ends are kept before the database has them. */
export interface UsageJournal {
  append(kind: 'intent' | 'end', record: object & { request_id: string }): Promise<void>
}

export interface AdmissionDeps {
  journal: UsageJournal
  clock: Clock
  /** Who owns the records of this process. */
  replica: string
  unpriced: { policy: UnpricedPolicy; estimate: Price }
  metrics: InferenceMetrics
  requestLog: RequestLog
  log: Log
}

/** Which price a call is accounted at: none for an unpriced model that may pass. */
export interface AccountedCandidate {
  price: Price | undefined
  unpriced: boolean
}

export function createAdmission(deps: AdmissionDeps) {
  const accounted = (caller: Caller, { entry, model }: Candidate): AccountedCandidate => {
    if (entry?.price) return { price: entry.price, unpriced: false }
    const policy = caller.unpricedPolicy ?? deps.unpriced.policy
    if (policy === 'block') {
      throw new GatewayError(
        'model_not_allowed',
        `The model ${model} has no known price, and this key may only use priced models. Ask an operator to declare its price.`,
        { param: 'model' },
      )
    }
    return { price: policy === 'estimate' ? deps.unpriced.estimate : undefined, unpriced: true }
  }

  return async function admit(call: Call, candidates: readonly Candidate[]): Promise<Ticket> {
    const prices = candidates.map((candidate) => accounted(call.caller, candidate))
    const intent = intentOf(call, candidates[0] as Candidate, prices[0] as AccountedCandidate, deps)
    await deps.journal.append('intent', intent)
    return {
      async settle(attempts, firstOutputMs) {
        const end = usageEndOf(intent, call, attempts, prices, firstOutputMs, deps.clock)
        try {
          await deps.journal.append('end', end)
        } catch (error) {
          // The intent is on disk: the next start will close the call as estimated. The full record goes to the log.
          deps.log.error({ err: error, usage_record: end }, 'A usage record could not be journaled.')
        }
        const last = attempts[attempts.length - 1]?.candidate
        deps.metrics.settled(end, last?.entry ? last.entry.name : 'other')
        deps.requestLog(end, call.caller.keyName)
      },
    }
  }
}

function intentOf(
  call: Call,
  candidate: Candidate,
  { price, unpriced }: AccountedCandidate,
  { clock, replica }: AdmissionDeps,
): UsageIntent {
  const { request, caller } = call
  const inputTokens = request.inputTokensEstimate
  const estimate = { units: { input: inputTokens }, inputTokens, serviceTier: 'default' } as const
  return {
    request_id: call.requestId,
    reserved_at: new Date(clock.nowMs()).toISOString(),
    organization_id: caller.organizationId,
    team_id: caller.teamId,
    key_id: caller.keyId,
    operation: call.operation,
    door: call.door,
    requested_model: request.model,
    alias: candidate.alias ?? null,
    provider: candidate.provider.name,
    model: candidate.model,
    stream: request.stream,
    input_tokens_estimate: inputTokens,
    orphan_cost_nano: price ? costOf(price, estimate).costNano.toString() : '0',
    price_version: price && !unpriced ? price.id : null,
    unpriced,
    reserved_nano: '0',
    tags: caller.tags,
    end_user: request.endUser ?? null,
    client_request_id: call.clientRequestId ?? null,
    owner_replica: replica,
  }
}
