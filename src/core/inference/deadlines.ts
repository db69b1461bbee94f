import { GatewayError } from '../errors.ts'
import type { Cancellation } from './cancellation.ts'

/** A call that must be over by a certain time. */
export interface Deadline {
  readonly cancellation: Cancellation
  /** By the monotonic clock. */
  readonly atMs: number
  /** How long the call was given altogether. */
  readonly limitMs: number
  /** Where it stands among the others; theirs to write. */
  slot: number
}

/** Cancels the calls whose time is up. */
export interface Deadlines {
  watch(cancellation: Cancellation, atMs: number, limitMs: number): Deadline
  release(deadline: Deadline): void
}

/** A call may take so much longer. */
const sweepMs = 20

/**
 * One timer for all calls: nearly none of them takes as long as it may, and a timer for each would be made, sorted in
 * and thrown away for nothing. It runs while there are calls.
 */
export function createDeadlines(nowMs: () => number): Deadlines & { sweep(): void } {
  // An array and not a Set, for the reason given in core/usage/open-calls.ts.
  const watched: Deadline[] = []
  let timer: NodeJS.Timeout | undefined

  const release = (deadline: Deadline): void => {
    if (watched[deadline.slot] !== deadline) return
    const last = watched.pop() as Deadline
    if (last === deadline) return
    watched[deadline.slot] = last
    last.slot = deadline.slot
  }

  const sweep = (): void => {
    if (watched.length === 0) {
      clearInterval(timer)
      timer = undefined
      return
    }
    const now = nowMs()
    for (const { cancellation, limitMs } of watched.filter(({ atMs }) => atMs <= now)) {
      cancellation.cancel(tookTooLong(limitMs))
    }
  }

  return {
    watch(cancellation, atMs, limitMs) {
      const deadline = { cancellation, atMs, limitMs, slot: watched.length }
      watched.push(deadline)
      timer ??= setInterval(sweep, sweepMs).unref()
      return deadline
    },
    release,
    sweep,
  }
}

const tookTooLong = (limitMs: number): GatewayError =>
  new GatewayError('provider_timeout', `The provider did not finish its answer within ${Math.round(limitMs)} ms.`)
