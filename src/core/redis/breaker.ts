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

/** The window moves in steps of a tenth. */
const slots = 10

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
  const slotMs = windowMs / slots
  const calls = new Array<number>(slots).fill(0)
  const failures = new Array<number>(slots).fill(0)
  let newestSlot = Math.floor(monotonicMs() / slotMs)
  let callsInWindow = 0
  let failuresInWindow = 0
  let failingInARow = 0
  let probesInARow = 0
  let isOpen = false
  let openedCount = 0

  /** @returns the index of the slot that is counted into now */
  const advance = (): number => {
    const slot = Math.floor(monotonicMs() / slotMs)
    if (slot > newestSlot) {
      for (let each = Math.max(newestSlot + 1, slot - slots + 1); each <= slot; each++) {
        const index = each % slots
        callsInWindow -= calls[index] as number
        failuresInWindow -= failures[index] as number
        calls[index] = 0
        failures[index] = 0
      }
      newestSlot = slot
    }
    return newestSlot % slots
  }

  const forget = (): void => {
    calls.fill(0)
    failures.fill(0)
    callsInWindow = 0
    failuresInWindow = 0
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
      const index = advance()
      calls[index] = (calls[index] as number) + 1
      callsInWindow++
      failingInARow = 0
    },
    failed() {
      if (isOpen) return
      const index = advance()
      calls[index] = (calls[index] as number) + 1
      failures[index] = (failures[index] as number) + 1
      callsInWindow++
      failuresInWindow++
      failingInARow++
      const isFailingOften = callsInWindow >= callsMin && failuresInWindow >= failureShare * callsInWindow
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
