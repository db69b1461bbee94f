import type { LeaseBook } from '../budgets/lease-book.ts'
import type { Reservation } from '../budgets/reservation.ts'
import { worstCaseOf } from '../budgets/worst-case.ts'
import { GatewayError } from '../errors.ts'
import { isoTime } from '../iso-time.ts'
import type { Caller, Payer, UnpricedPolicy } from '../keys/caller.ts'
import type { Limiter } from '../limits/limiter.ts'
import { takeLimits } from '../limits/take-limits.ts'
import { costOf } from '../pricing/cost.ts'
import type { Price } from '../pricing/price.ts'
import type { Candidate } from '../routing/route.ts'
import type { UsageIntent } from '../usage/usage-record.ts'
import { AdmittedCall, type AdmittedCallDeps } from './admitted-call.ts'
import type { Call } from './call.ts'
import type { AccountedCandidate, Ticket } from './ticket.ts'

export interface AdmissionDeps extends AdmittedCallDeps {
  budgets: LeaseBook
  limiter: Limiter
  /** Who owns the records of this process. */
  replica: string
  unpriced: { policy: UnpricedPolicy; estimate: Price }
}

/**
 * May this call be made now? What is cheapest to undo is asked first: prices, then rates, then money; and then the intent
 * is journaled. Whoever refuses, nothing stays taken.
 */
export function createAdmission(deps: AdmissionDeps) {
  const accounted = (caller: Caller, { entry, model }: Candidate): AccountedCandidate => {
    const maxOutputTokens = entry?.maxOutputTokens
    if (entry?.price) return { price: entry.price, unpriced: false, maxOutputTokens }
    const policy = caller.unpricedPolicy ?? deps.unpriced.policy
    if (policy === 'block') {
      throw new GatewayError(
        'model_not_allowed',
        `The model ${model} has no known price, and this key may only use priced models. Ask an operator to declare its price.`,
        { param: 'model' },
      )
    }
    return { price: policy === 'estimate' ? deps.unpriced.estimate : undefined, unpriced: true, maxOutputTokens }
  }

  return async function admit(
    call: Call,
    payer: Payer,
    candidates: readonly Candidate[],
    first: number,
  ): Promise<Ticket> {
    const targets = candidates.map((candidate) => accounted(call.caller, candidate))
    const taken = takeLimits(deps.limiter, call)
    const limits = taken instanceof Promise ? await taken : taken
    let reservation: Reservation | undefined
    try {
      const reserved = reserve(call, payer, targets)
      reservation = reserved instanceof Promise ? await reserved : reserved
      const intent = intentOf(
        call,
        payer,
        candidates[first] as Candidate,
        targets[first] as AccountedCandidate,
        reservation,
        deps,
      )
      await deps.journal.append('intent', intent)
      return new AdmittedCall(deps, { call, payer, candidates, targets, intent, limits, reservation })
    } catch (error) {
      reservation?.settle(0n)
      limits?.hold.undo()
      throw payer === call.caller ? error : ofBillingKey(error, call.request.model)
    }
  }

  function reserve(
    { operation, request }: Call,
    { budgets }: Payer,
    targets: readonly AccountedCandidate[],
  ): Reservation | undefined | Promise<Reservation> {
    if (budgets.length === 0) return undefined
    const amountNano = worstCaseOf(operation, request, targets)
    // What costs nothing is served even when a budget is used up.
    return amountNano === 0n ? undefined : deps.budgets.reserve(budgets, amountNano)
  }
}

function intentOf(
  call: Call,
  payer: Payer,
  candidate: Candidate,
  { price, unpriced }: AccountedCandidate,
  reservation: Reservation | undefined,
  { clock, replica }: AdmissionDeps,
): UsageIntent {
  const { request, caller } = call
  const { keyId } = payer
  const inputTokens = request.inputTokensEstimate
  const estimate = { units: { input: inputTokens }, inputTokens, serviceTier: 'default' } as const
  return {
    request_id: call.requestId,
    reserved_at: isoTime(clock.nowMs()),
    organization_id: payer.organizationId,
    team_id: payer.teamId,
    key_id: keyId,
    caller_key_id: caller.keyId === keyId ? null : caller.keyId,
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
    reserved_nano: reservation ? reservation.amountNano.toString() : '0',
    budget_period_ids: reservation?.periodIds ?? none,
    budget_lease_ids: reservation?.leaseIds ?? none,
    tags: payer.tags,
    end_user: request.endUser ?? null,
    client_request_id: call.clientRequestId ?? null,
    owner_replica: replica,
  }
}

/** The caller knows its own budgets, and must not look for the fault there. */
function ofBillingKey(error: unknown, model: string): unknown {
  if (!(error instanceof GatewayError) || (error.code !== 'budget_exceeded' && error.code !== 'budget_unverifiable')) {
    return error
  }
  const { code, message, retryAfterMs } = error
  return new GatewayError(code, `Another key pays for ${model}. ${message}`, { retryAfterMs, cause: error })
}

const none: readonly never[] = []
