import { LRUCache } from 'lru-cache'
import type { ExchangeResult } from '../providers/provider.ts'
import { CircuitBreaker, type CircuitState, type Passage } from './circuit-breaker.ts'
import { neutral, verdictOn } from './verdict.ts'

/** Why a target is not asked, and until when, by the monotonic clock. */
export interface Unavailability {
  reason: 'credential-refused' | 'cooling-down' | 'circuit-open'
  untilMs: number
}

/** An attempt under way, and where it ends: all that is known may be forgotten meanwhile. */
export interface BegunAttempt {
  readonly health: ProviderHealth
  readonly model: string
  readonly passage: Passage
  readonly isRetry: boolean
  /** It finds out whether a refused credential is accepted again. */
  readonly isTrial: boolean
}

/** Told of what an operator would want to read. */
export type HealthListener = (change: HealthChange) => void

export type HealthChange =
  | { kind: 'credential-refused'; model: string | undefined }
  | { kind: 'circuit-opened' | 'circuit-closed'; model: string }

/** What is known of one model behind one credential. */
class TargetHealth {
  readonly breaker: CircuitBreaker
  coolUntilMs = 0
  refusedUntilMs = 0
  /** Of answered calls, the newest weighing a fifth; undefined before the first. */
  latencyMs: number | undefined

  constructor(nowMs: number, random: () => number) {
    this.breaker = new CircuitBreaker(nowMs, random)
  }
}

export interface TargetReport {
  model: string
  circuit: CircuitState
  openedCount: number
  /** Of the last 30 s. */
  calls: number
  failures: number
  latencyMs: number | undefined
  coolingDown: boolean
}

export interface ProviderReport {
  credential: 'accepted' | 'refused'
  /** Attempts under way. */
  active: number
  targets: TargetReport[]
}

const credentialRefusedMs = 60_000
/** Clients choose the names of models that a provider passes on. */
const targetsMax = 1_000
const retriesMin = 3
const retryShareMax = 0.2
const latencyWeight = 0.2

/**
 * What one replica has learned of one provider with one credential: new credentials, or another address, begin anew.
 * Time is the monotonic clock's, in milliseconds.
 */
export class ProviderHealth {
  readonly #targets = new LRUCache<string, TargetHealth>({ max: targetsMax })
  readonly #random: () => number
  readonly #changed: HealthListener
  #credentialRefusedUntilMs = 0
  /** A call finds out whether the credential is accepted again. */
  #isTryingCredential = false
  #active = 0
  #retries = 0

  constructor(changed: HealthListener, random: () => number) {
    this.#changed = changed
    this.#random = random
  }

  /** @returns undefined when the target may be asked */
  unavailable(model: string, nowMs: number): Unavailability | undefined {
    const target = this.#targets.get(model)
    const refusedUntilMs = Math.max(this.#credentialRefusedUntilMs, target?.refusedUntilMs ?? 0)
    if (nowMs < refusedUntilMs) return { reason: 'credential-refused', untilMs: refusedUntilMs }
    if (!target) return undefined
    if (nowMs < target.coolUntilMs) return { reason: 'cooling-down', untilMs: target.coolUntilMs }
    const untilMs = target.breaker.shutUntilMs(nowMs)
    return untilMs === undefined ? undefined : { reason: 'circuit-open', untilMs }
  }

  /**
   * Takes what an attempt needs.
   *
   * @param isRetry - the same request has asked this provider before
   * @param isLastResort - there is nobody else to ask: one call at a time may try a refused credential
   * @returns undefined when the target may not be asked; otherwise what `end` must be given, once
   */
  begin(model: string, isRetry: boolean, nowMs: number, isLastResort = false): BegunAttempt | undefined {
    const unavailable = this.unavailable(model, nowMs)
    const isTrial = isLastResort && unavailable?.reason === 'credential-refused' && !this.#isTryingCredential
    if (unavailable && !isTrial) return undefined
    const passage = this.#target(model, nowMs).breaker.enter(nowMs)
    if (passage === undefined) return undefined
    if (isTrial) this.#isTryingCredential = true
    this.#active++
    if (isRetry) this.#retries++
    return { health: this, model, passage, isRetry, isTrial }
  }

  /** @param result - undefined when nothing is to be learned from it */
  end(begun: BegunAttempt, result: ExchangeResult | undefined, totalMs: number, nowMs: number): void {
    const { model, passage, isRetry, isTrial } = begun
    this.#active--
    if (isRetry) this.#retries--
    if (isTrial) this.#isTryingCredential = false
    const target = this.#target(model, nowMs)
    const { outcome, refusedCredentialOf, coolDownMs } = result ? verdictOn(result) : neutral
    const before = target.breaker.state(nowMs)
    target.breaker.leave(passage, outcome, nowMs)
    const after = target.breaker.state(nowMs)
    if (before !== 'open' && after === 'open') this.#changed({ kind: 'circuit-opened', model })
    else if (before !== 'closed' && after === 'closed') this.#changed({ kind: 'circuit-closed', model })
    if (outcome === 'success') {
      target.latencyMs ??= totalMs
      target.latencyMs += latencyWeight * (totalMs - target.latencyMs)
      // Only a trial has met the refusal: another call may have begun, and been let in, before it.
      if (isTrial) {
        this.#credentialRefusedUntilMs = 0
        target.refusedUntilMs = 0
      }
    }
    if (coolDownMs > 0) target.coolUntilMs = Math.max(target.coolUntilMs, nowMs + coolDownMs)
    if (refusedCredentialOf) this.#refused(refusedCredentialOf, model, target, nowMs)
  }

  /** Requests that try again must not outnumber a fifth of those under way: a provider in trouble needs less, not more. */
  mayRetry(): boolean {
    return this.#retries < Math.max(retriesMin, retryShareMax * this.#active)
  }

  report(nowMs: number): ProviderReport {
    const targets: TargetReport[] = []
    for (const [model, { breaker, latencyMs, coolUntilMs }] of this.#targets.entries()) {
      targets.push({
        model,
        circuit: breaker.state(nowMs),
        openedCount: breaker.openedCount,
        ...breaker.recent(nowMs),
        latencyMs,
        coolingDown: nowMs < coolUntilMs,
      })
    }
    const credential = nowMs < this.#credentialRefusedUntilMs ? 'refused' : 'accepted'
    return { credential, active: this.#active, targets }
  }

  #refused(whose: 'credential' | 'target', model: string, target: TargetHealth, nowMs: number): void {
    const untilMs = nowMs + credentialRefusedMs
    const isNew = nowMs >= Math.max(this.#credentialRefusedUntilMs, target.refusedUntilMs)
    if (whose === 'credential') this.#credentialRefusedUntilMs = untilMs
    else target.refusedUntilMs = untilMs
    if (isNew) this.#changed({ kind: 'credential-refused', model: whose === 'target' ? model : undefined })
  }

  #target(model: string, nowMs: number): TargetHealth {
    let target = this.#targets.get(model)
    if (!target) {
      target = new TargetHealth(nowMs, this.#random)
      this.#targets.set(model, target)
    }
    return target
  }
}
