import { GatewayError } from '../errors.ts'
import type { BegunAttempt, Unavailability } from '../health/provider-health.ts'
import type { UpstreamHealth } from '../health/upstream-health.ts'
import type { ExchangeFailure, ExchangeResult } from '../providers/provider.ts'
import type { Candidate } from '../routing/route.ts'

const attemptsMax = 4
const targetsMax = 3
const attemptsPerTargetMax = 2
/** A provider that asks for more patience than this is left alone, as far as there are others. */
const retryAfterMsMax = 2_000
const backoffMsFirst = 100
const backoffMsMax = 2_000
/** An attempt that begins with less left could only be one that is broken off. */
const remainingMsMin = 1_000

/** Which candidate comes next, and how long to wait before it is asked. */
export interface NextTarget {
  at: number
  waitMs: number
}

export interface TargetChoiceDeps {
  health: UpstreamHealth
  monotonicMs(): number
  /** From 0 to below 1. */
  random(): number
}

/**
 * Which candidate is asked when. Goes on to the next target while there is one, for it does not share the trouble of
 * the one before, and comes back to a target only when it asked for a moment's patience or none is left.
 */
export class TargetChoice {
  readonly #deps: TargetChoiceDeps
  readonly #candidates: readonly Candidate[]
  /** Attempts at each candidate. */
  readonly #tries: number[]
  #attempts = 0
  #targets = 0
  #waits = 0
  /** Whether the attempt before may have been billed. */
  #isUncertain = false
  #hasReplayedUncertain = false
  #begun: BegunAttempt | undefined
  #at = 0

  /**
   * Takes the first candidate that may be asked, which `end` gives back.
   *
   * @throws GatewayError `no_healthy_provider`, `provider_rate_limited` or `provider_auth_failed` when none may be
   */
  constructor(candidates: readonly Candidate[], deps: TargetChoiceDeps) {
    this.#deps = deps
    this.#candidates = candidates
    this.#tries = new Array<number>(candidates.length).fill(0)
    for (let at = 0; at < candidates.length; at++) if (this.begin(at)) return
    // An error is what the caller would get anyway; asking may find that somebody has put the credential right.
    if (candidates.every((candidate) => isCredentialRefused(candidate, deps))) {
      for (let at = 0; at < candidates.length; at++) if (this.begin(at, true)) return
    }
    throw noneAvailable(candidates, deps)
  }

  /** The candidate that is being asked. */
  get at(): number {
    return this.#at
  }

  /** @returns false when the target may not be asked any more */
  begin(at: number, isLastResort = false): boolean {
    const { provider, model } = this.#candidates[at] as Candidate
    const health = this.#deps.health.of(provider.provider)
    const begun = health.begin(model, this.#hasAsked(at), this.#deps.monotonicMs(), isLastResort)
    if (!begun) return false
    this.#begun = begun
    this.#at = at
    this.#hasReplayedUncertain ||= this.#isUncertain
    this.#attempts++
    if (this.#tries[at] === 0) this.#targets++
    this.#tries[at] = (this.#tries[at] as number) + 1
    return true
  }

  /** @param result - undefined when nothing is to be learned from the attempt about its target */
  end(result: ExchangeResult | undefined, totalMs: number): void {
    const begun = this.#begun
    this.#begun = undefined
    begun?.health.end(begun, result, totalMs, this.#deps.monotonicMs())
  }

  /**
   * After a failed attempt, which has been ended.
   *
   * @param remainingMs - what would be left of the call's time for a candidate, if it were asked now
   * @returns undefined when that failure is the answer
   */
  next(failure: ExchangeFailure, remainingMs: (at: number) => number): NextTarget | undefined {
    if (!failure.retryable || this.#attempts >= attemptsMax) return undefined
    this.#isUncertain = failure.billing === 'maybe_billed'
    // It may have been billed, and so may the next one: once is what the caller wants, twice is what it may cost.
    if (this.#isUncertain && this.#hasReplayedUncertain) return undefined
    if (isFinal(failure)) this.#tries[this.#at] = attemptsPerTargetMax
    return this.#afterPatience(failure, remainingMs) ?? this.#untried(remainingMs) ?? this.#again(remainingMs)
  }

  #afterPatience({ retryAfterMs }: ExchangeFailure, remainingMs: (at: number) => number): NextTarget | undefined {
    if (retryAfterMs === undefined || retryAfterMs > retryAfterMsMax) return undefined
    const next = { at: this.#at, waitMs: retryAfterMs + this.#deps.random() * backoffMsFirst }
    return this.#mayAsk(next, remainingMs) ? next : undefined
  }

  #untried(remainingMs: (at: number) => number): NextTarget | undefined {
    if (this.#targets >= targetsMax) return undefined
    for (let at = 0; at < this.#candidates.length; at++) {
      const next = { at, waitMs: 0 }
      if (this.#tries[at] === 0 && this.#mayAsk(next, remainingMs)) return next
    }
    return undefined
  }

  #again(remainingMs: (at: number) => number): NextTarget | undefined {
    const waitMs = this.#deps.random() * Math.min(backoffMsMax, backoffMsFirst * 2 ** this.#waits)
    for (let at = 0; at < this.#candidates.length; at++) {
      const next = { at, waitMs }
      if (this.#tries[at] === 0 || !this.#mayAsk(next, remainingMs)) continue
      this.#waits++
      return next
    }
    return undefined
  }

  #mayAsk({ at, waitMs }: NextTarget, remainingMs: (at: number) => number): boolean {
    if ((this.#tries[at] as number) >= attemptsPerTargetMax || remainingMs(at) - waitMs < remainingMsMin) return false
    const { provider, model } = this.#candidates[at] as Candidate
    const health = this.#deps.health.of(provider.provider)
    if (this.#hasAsked(at) && !health.mayRetry()) return false
    return health.unavailable(model, this.#deps.monotonicMs() + waitMs) === undefined
  }

  /** Whether this request has asked the provider of a candidate before, for whatever model. */
  #hasAsked(at: number): boolean {
    if (this.#attempts === 0) return false
    const { provider } = this.#candidates[at] as Candidate
    return this.#candidates.some((other, index) => other.provider === provider && this.#tries[index] !== 0)
  }
}

/** What an adapter refuses by itself it refuses again; a refused credential and a used-up quota stay what they are. */
const isFinal = ({ kind, error }: ExchangeFailure): boolean =>
  kind === 'refused' || error.code === 'provider_auth_failed' || error.providerCode === 'insufficient_quota'

const isCredentialRefused = ({ provider, model }: Candidate, { health, monotonicMs }: TargetChoiceDeps): boolean =>
  health.of(provider.provider).unavailable(model, monotonicMs())?.reason === 'credential-refused'

/** Says what would help: patience with a limit or an outage, or an operator. */
function noneAvailable(
  candidates: readonly Candidate[],
  { health, monotonicMs }: Pick<TargetChoiceDeps, 'health' | 'monotonicMs'>,
): GatewayError {
  const nowMs = monotonicMs()
  const soonestMs = new Map<Unavailability['reason'], number>()
  for (const { provider, model } of candidates) {
    const found = health.of(provider.provider).unavailable(model, nowMs)
    if (found) soonestMs.set(found.reason, Math.min(found.untilMs, soonestMs.get(found.reason) ?? Number.MAX_VALUE))
  }
  const retryAfterMs = Math.max(1, Math.min(...soonestMs.values()) - nowMs)
  if (soonestMs.has('cooling-down')) {
    const message = 'The provider has asked to be left alone for a while: its own rate limit was reached.'
    return new GatewayError('provider_rate_limited', message, { retryAfterMs })
  }
  if (soonestMs.has('circuit-open')) {
    const message = 'No provider of this model is well enough to be asked at the moment.'
    return new GatewayError('no_healthy_provider', message, { retryAfterMs })
  }
  return new GatewayError(
    'provider_auth_failed',
    "The provider refused the gateway's credential a moment ago. The operator of the gateway has to look at it.",
  )
}
