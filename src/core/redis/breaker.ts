import { RollingOutcomes } from '../rolling-outcomes.ts'

/**
 * Keeps callers away from a service that fails. Pure: it counts outcomes and says what they mean; who makes the probes
 * while it is open is not its business.
 *
 * Closed, it opens after `failuresInARow`, or when `failureShare` of at least `callsMin` calls in `windowMs` failed.
 * Open, it closes after `probesToClose` successful probes in a row, with nothing remembered.
 */
export interface Breaker {
  /** While true, nothing is asked but the probes. */
  readonly isOpen: boolean
  /** How often it has opened. */
  readonly openedCount: number
  /** The outcome of a call. Of no consequence while open: such a call began before. */
  succeeded(): void
  failed(): void
  /** Opens at once, for a service that is known to be away. */
  open(): void
  /** The outcome of a probe. Of no consequence while closed. */
  probeSucceeded(): void
  probeFailed(): void
  /** How long to wait until the next probe, from 0.8 to 1.2 of `probeEveryMs`: replicas must not probe in step. */
  probeDelayMs(): number
}

export interface BreakerOptions {
  monotonicMs: () => number
  /** From 0 to below 1. */
  random?: () => number
  /** Told of each change, after it. */
  changed?: (isOpen: boolean) => void
  failuresInARow?: number
  failureShare?: number
  callsMin?: number
  windowMs?: number
  probesToClose?: number
  probeEveryMs?: number
}

export function createBreaker({
  monotonicMs,
  random = Math.random,
  changed = () => {},
  failuresInARow = 5,
  failureShare = 0.2,
  callsMin = 20,
  windowMs = 10_000,
  probesToClose = 3,
  probeEveryMs = 1_000,
}: BreakerOptions): Breaker {
  const outcomes = new RollingOutcomes(windowMs, monotonicMs())
  let failingInARow = 0
  let probesInARow = 0
  let isOpen = false
  let openedCount = 0

  const forget = (): void => {
    outcomes.clear()
    failingInARow = 0
    probesInARow = 0
  }

  const change = (open: boolean): void => {
    isOpen = open
    if (open) openedCount++
    forget()
    changed(open)
  }

  return {
    get isOpen() {
      return isOpen
    },
    get openedCount() {
      return openedCount
    },
    succeeded() {
      if (isOpen) return
      outcomes.add(false, monotonicMs())
      failingInARow = 0
    },
    failed() {
      if (isOpen) return
      const nowMs = monotonicMs()
      outcomes.add(true, nowMs)
      failingInARow++
      const calls = outcomes.calls(nowMs)
      const isFailingOften = calls >= callsMin && outcomes.failures(nowMs) >= failureShare * calls
      if (failingInARow >= failuresInARow || isFailingOften) change(true)
    },
    open() {
      if (!isOpen) change(true)
    },
    probeSucceeded() {
      if (!isOpen) return
      probesInARow++
      if (probesInARow >= probesToClose) change(false)
    },
    probeFailed() {
      probesInARow = 0
    },
    probeDelayMs: () => probeEveryMs * (0.8 + 0.4 * random()),
  }
}
