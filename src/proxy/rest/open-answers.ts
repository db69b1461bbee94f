import type { ServerResponse } from 'node:http'
import type { GatewayError } from '../../core/errors.ts'

/** One answer on its way to a client. */
export interface OpenAnswer {
  readonly response: ServerResponse
  /** Whether the head of an event stream has been sent, so that comments may be. */
  readonly isEventStream: boolean
  lastWriteMs: number
  /** Where it stands among the open answers; theirs to write. */
  slot: number
  abort(reason: GatewayError): void
}

/** All answers under way: who keeps silent streams alive, drops stalled readers, and knows when a drain is done. */
export interface OpenAnswers {
  readonly size: number
  add(answer: OpenAnswer): void
  delete(answer: OpenAnswer): void
  /** Aborts whatever is still open. */
  abortAll(reason: GatewayError): void
  /** Resolves when nothing is open any more. */
  whenEmpty(): Promise<void>
  close(): void
}

export interface OpenAnswersLimits {
  /** Silence after which a comment is sent, so that proxies in between do not give up. */
  heartbeatMs: number
  /** How long a reader may take nothing before it is dropped. */
  stalledMs: number
}

const sweepMs = 1_000
const heartbeat = ': keep-alive\n\n'

export function createOpenAnswers({ heartbeatMs, stalledMs }: OpenAnswersLimits, nowMs: () => number): OpenAnswers {
  // An array and not a Set, for the reason given in core/usage/open-calls.ts.
  const open: OpenAnswer[] = []
  const flushing = new WeakSet<ServerResponse>()
  let emptied: (() => void)[] = []

  /** We have nothing left to write: whether its reader takes what is still waiting, only the socket can tell. */
  const closeUnlessRead = (response: ServerResponse): void => {
    if (flushing.has(response)) return
    flushing.add(response)
    response.setTimeout(stalledMs, () => response.destroy())
  }

  const sweep = (): void => {
    const now = nowMs()
    for (const answer of [...open]) {
      if (answer.response.writableEnded) {
        closeUnlessRead(answer.response)
        continue
      }
      const silentMs = now - answer.lastWriteMs
      if (answer.response.writableNeedDrain) {
        if (silentMs > stalledMs) answer.response.destroy()
      } else if (answer.isEventStream && silentMs > heartbeatMs) {
        answer.lastWriteMs = now
        answer.response.write(heartbeat)
      }
    }
  }
  const timer = setInterval(sweep, Math.min(sweepMs, heartbeatMs, stalledMs))
  timer.unref()

  return {
    get size() {
      return open.length
    },
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
    abortAll(reason) {
      for (const answer of [...open]) answer.abort(reason)
    },
    whenEmpty: () => (open.length === 0 ? Promise.resolve() : new Promise((resolve) => emptied.push(resolve))),
    close: () => clearInterval(timer),
  }
}
