import { GatewayError, unreachable } from '../errors.ts'
import type { LimitDecision, LimitState } from './limiter.ts'
import type { RateLimit } from './rate-limit.ts'

type Refusal = Extract<LimitDecision, { granted: false }>

/** A call that a limit did not let through. */
export class LimitRefusal extends GatewayError {
  /** What the door tells of the caller's limits. */
  readonly limits: LimitState
  /** Trying again cannot help: the request alone is more than a limit allows. */
  readonly isFinal: boolean

  /** @param keyName - of the caller; teams and organizations are not named to their keys */
  constructor(refusal: Refusal, { keyName, tokens }: { keyName: string; tokens: number }) {
    const retryAfterMs = refusal.code === 'limits_unavailable' ? undefined : refusal.retryAfterMs
    super(refusal.code, messageOf(refusal, keyName, tokens), { retryAfterMs })
    this.name = 'LimitRefusal'
    this.limits = refusal.state
    this.isFinal = refusal.code !== 'limits_unavailable' && retryAfterMs === undefined
  }
}

function messageOf(refusal: Refusal, keyName: string, tokens: number): string {
  const { limit, code } = refusal
  const who = nameOf(limit, keyName)
  switch (code) {
    case 'rate_limit_exceeded':
      return `${who} may make ${counted(limit.requestsPerMinute, 'request')} per minute; ${again(refusal.retryAfterMs)}.`
    case 'tokens_rate_limit_exceeded': {
      const allowed = `${who} may use ${counted(limit.tokensPerMinute, 'token')} per minute`
      return refusal.retryAfterMs === undefined
        ? `${allowed}, and this request may use ${tokens} alone: send a shorter prompt or allow fewer output tokens.`
        : `${allowed}; ${again(refusal.retryAfterMs)}.`
    }
    case 'concurrency_limit_exceeded':
      return `${who} may make ${counted(limit.maxConcurrent, 'request')} at the same time; try again when one has ended.`
    case 'limits_unavailable':
      return `The limits of ${who.charAt(0).toLowerCase()}${who.slice(1)} cannot be checked at the moment; try again shortly.`
    default:
      return unreachable(code)
  }
}

function nameOf({ scope }: RateLimit, keyName: string): string {
  switch (scope) {
    case 'key':
      return `The key "${keyName}"`
    case 'team':
      return "The key's team"
    case 'organization':
      return "The key's organization"
    default:
      return unreachable(scope)
  }
}

const counted = (count: number | undefined, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

const again = (retryAfterMs: number | undefined): string =>
  `try again in ${Math.max(1, Math.ceil((retryAfterMs ?? 0) / 1_000))} s`
