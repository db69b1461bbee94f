import type { Call } from '../inference/call.ts'
import { LimitRefusal } from './limit-refusal.ts'
import type { LimitDecision, Limiter, LimitHold, LimitState } from './limiter.ts'
import { tokensEstimate } from './tokens-estimate.ts'

/** What a call holds of its limits until it is settled or undone, and what its caller is told of them. */
export interface TakenLimits {
  hold: LimitHold
  state: LimitState
}

/**
 * Counts a call against all limits of its caller. Without a promise where it can be told at once.
 *
 * @returns undefined when the caller has no limits
 * @throws LimitRefusal, or rejects with it
 */
export function takeLimits(
  limiter: Pick<Limiter, 'acquire'>,
  { requestId, caller, request }: Pick<Call, 'requestId' | 'caller' | 'request'>,
): TakenLimits | undefined | Promise<TakenLimits> {
  const { keyName, organizationId, rateLimits } = caller
  if (rateLimits.length === 0) return undefined
  const tokens = tokensEstimate(request)
  const taken = (decision: LimitDecision): TakenLimits => {
    if (decision.granted) return decision
    throw new LimitRefusal(decision, { keyName, tokens })
  }
  const decision = limiter.acquire({ requestId, organizationId, limits: rateLimits, tokens })
  return decision instanceof Promise ? decision.then(taken) : taken(decision)
}
