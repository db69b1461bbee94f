import type { ExchangeResult } from '../providers/provider.ts'
import type { Outcome } from './circuit-breaker.ts'

/** What an attempt says about where it was made, beside how it ended for the caller. */
export interface Verdict {
  outcome: Outcome
  /** `credential`: nothing can be had with it; `target`: not this model with it. */
  refusedCredentialOf: 'credential' | 'target' | undefined
  /** For how long to ask this target for nothing. */
  coolDownMs: number
}

const coolDownMsMax = 60_000

/** Clients must not be able to make a target look sick: what they did wrong, and leaving early, is neutral. */
export function verdictOn({ failure, httpStatus }: ExchangeResult): Verdict {
  if (!failure) return success
  const { error, kind, billing, retryAfterMs } = failure
  if (kind === 'cancelled') return neutral
  switch (error.code) {
    case 'provider_auth_failed':
      // What an account may do is granted model by model; who it is, and that it pays, is not.
      return { ...neutral, refusedCredentialOf: httpStatus === 403 ? 'target' : 'credential' }
    case 'provider_rate_limited':
      return retryAfterMs === undefined ? neutral : { ...neutral, coolDownMs: Math.min(retryAfterMs, coolDownMsMax) }
    case 'provider_timeout':
    case 'provider_bad_response':
      return failed
    case 'provider_error':
      return billing === 'not_billed' ? neutral : failed
    default:
      return neutral
  }
}

const success: Verdict = { outcome: 'success', refusedCredentialOf: undefined, coolDownMs: 0 }
const failed: Verdict = { ...success, outcome: 'failure' }
export const neutral: Verdict = { ...success, outcome: 'neutral' }
