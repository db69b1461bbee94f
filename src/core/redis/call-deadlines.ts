import { RedisUnavailable } from './redis-unavailable.ts'

/**
 * Ends the waiting for answers that do not come. All calls may take equally long, so those under way stand in line by
 * their deadlines and one timer serves them all: a timer for each would cost more than the rest of the call's upkeep.
 *
 * An event loop that was held up runs timers before it reads what has arrived meanwhile. Therefore a deadline is
 * enforced only after what has arrived was read: a pause of this process must not pass for one of Redis.
 */
export interface CallDeadlines {
  /**
   * @param outcome - told how the call ended, before whoever waits for it. What comes after the deadline is dropped.
   * @throws RedisUnavailable, from `start` as from its promise
   */
  call<T>(start: () => Promise<T>, outcome: CallOutcome): Promise<T>
  /** Ends all waiting at once. */
  close(): void
}

export interface CallOutcome {
  succeeded(): void
  failed(error: RedisUnavailable): void
}

interface Waiting {
  readonly deadlineMs: number
  readonly expire: () => void
  previous: Waiting | undefined
  next: Waiting | undefined
}

export function createCallDeadlines({
  monotonicMs,
  timeoutMs,
}: {
  monotonicMs: () => number
  timeoutMs: number
}): CallDeadlines {
  let first: Waiting | undefined
  let last: Waiting | undefined
  let timer: NodeJS.Timeout | undefined
  let isChecking = false

  const append = (waiting: Waiting): void => {
    waiting.previous = last
    if (last) last.next = waiting
    else first = waiting
    last = waiting
    // A timer that is set already comes no later than this call needs it.
    if (timer === undefined && !isChecking) setTimer(timeoutMs)
  }

  const remove = (waiting: Waiting): void => {
    if (waiting.previous) waiting.previous.next = waiting.next
    else first = waiting.next
    if (waiting.next) waiting.next.previous = waiting.previous
    else last = waiting.previous
  }

  const setTimer = (ms: number): void => {
    timer = setTimeout(() => {
      timer = undefined
      isChecking = true
      setImmediate(check)
    }, ms)
    timer.unref()
  }

  const check = (): void => {
    isChecking = false
    const nowMs = monotonicMs()
    while (first && first.deadlineMs <= nowMs) first.expire()
    if (first) setTimer(Math.max(1, first.deadlineMs - nowMs))
  }

  return {
    call(start, outcome) {
      let answer: ReturnType<typeof start>
      try {
        answer = start()
      } catch (cause) {
        const error = new RedisUnavailable('failed', { cause })
        outcome.failed(error)
        return Promise.reject(error)
      }
      return new Promise((resolve, reject) => {
        let isOver = false
        const waiting: Waiting = {
          deadlineMs: monotonicMs() + timeoutMs,
          expire: () => {
            isOver = true
            remove(waiting)
            const error = new RedisUnavailable('timeout')
            outcome.failed(error)
            reject(error)
          },
          previous: undefined,
          next: undefined,
        }
        append(waiting)
        const fail = (cause: unknown): void => {
          if (isOver) return
          isOver = true
          remove(waiting)
          const error = new RedisUnavailable('failed', { cause })
          outcome.failed(error)
          reject(error)
        }
        answer.then((value) => {
          if (isOver) return
          const swallowed = swallowedError(value)
          if (swallowed) return fail(swallowed)
          isOver = true
          remove(waiting)
          outcome.succeeded()
          resolve(value)
        }, fail)
      })
    },
    close() {
      clearTimeout(timer)
      timer = undefined
      while (first) first.expire()
    },
  }
}

/** Of a pipeline, which answers `[error, reply]` for each command and never rejects because of one. */
function swallowedError(value: unknown): Error | undefined {
  if (!Array.isArray(value)) return undefined
  for (const item of value) {
    if (!Array.isArray(item)) return undefined
    if (item[0] instanceof Error) return item[0]
  }
  return undefined
}
