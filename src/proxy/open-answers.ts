import { setTimeout as delay } from 'node:timers/promises'
import { GatewayError } from '../core/errors.ts'
import type { Door } from '../core/inference/call.ts'

/** One answer on its way to a client, through whichever door. */
export interface OpenAnswer {
  readonly door: Door
  readonly isStream: boolean
  /** Where it stands among the open answers; theirs to write. */
  slot: number
  abort(reason: GatewayError): void
  /** Called about once a second: the time to send a sign of life, or to drop a reader that takes nothing. */
  look(nowMs: number): void
}

/** All answers under way, of all doors: who looks after silent and stalled ones, and knows when a drain is done. */
export interface OpenAnswers {
  readonly size: number
  readonly limits: OpenAnswersLimits
  /** Of those, how many are streams. */
  streams(door: Door): number
  add(answer: OpenAnswer): void
  delete(answer: OpenAnswer): void
  /**
   * Lets them end until the deadline, then ends them with `server_shutting_down`.
   *
   * @returns how many had to be ended
   */
  drain(deadline: Promise<void>): Promise<number>
  close(): void
}

export interface OpenAnswersLimits {
  /** Silence after which a comment is sent, so that proxies in between do not give up. */
  heartbeatMs: number
  /** How long a reader may take nothing before it is dropped. */
  stalledMs: number
}

const sweepMs = 1_000
/** How long readers may take for the error that ends their answer at a shutdown. */
const farewellMsMax = 2_000

export function createOpenAnswers(limits: OpenAnswersLimits, nowMs: () => number): OpenAnswers {
  // An array and not a Set, for the reason given in core/usage/open-calls.ts.
  const open: OpenAnswer[] = []
  let emptied: (() => void)[] = []
  const whenEmpty = (): Promise<void> =>
    open.length === 0 ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))

  const sweep = (): void => {
    const now = nowMs()
    for (const answer of [...open]) answer.look(now)
  }
  const timer = setInterval(sweep, Math.min(sweepMs, limits.heartbeatMs, limits.stalledMs))
  timer.unref()

  return {
    limits,
    get size() {
      return open.length
    },
    streams: (door) => open.reduce((count, answer) => count + Number(answer.isStream && answer.door === door), 0),
    add(answer) {
      answer.slot = open.length
      open.push(answer)
    },
    delete(answer) {
      if (open[answer.slot] !== answer) return
      const last = open.pop() as OpenAnswer
      if (last !== answer) {
        open[answer.slot] = last
        last.slot = answer.slot
      }
      if (open.length > 0) return
      for (const resolve of emptied) resolve()
      emptied = []
    },
    async drain(deadline) {
      await Promise.race([whenEmpty(), deadline])
      const cutShort = open.length
      const reason = new GatewayError('server_shutting_down', 'The gateway is shutting down; send the request again.')
      for (const answer of [...open]) answer.abort(reason)
      // Whoever reads nothing is not told.
      await Promise.race([whenEmpty(), delay(farewellMsMax, undefined, { ref: false })])
      return cutShort
    },
    close: () => clearInterval(timer),
  }
}
