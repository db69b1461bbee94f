import { AsyncLocalStorage } from 'node:async_hooks'

/** Whose code is running: its timers are kept here instead of with Node, and fire when somebody says so. */
export interface TimerHost {
  nowMs(): number
  /** By how many milliseconds a timer may fire before its time; Node's do, in a busy process. */
  earlyMs(dueMs: number): number
  readonly timers: Set<SimulatedTimer>
}

/** As much of `NodeJS.Timeout` as anybody uses. */
export class SimulatedTimer {
  dueMs: number
  readonly earlyMs: number
  readonly #host: TimerHost
  readonly #everyMs: number | undefined
  readonly #callback: () => void

  constructor(host: TimerHost, callback: () => void, ms: number, repeats: boolean) {
    this.#host = host
    this.#callback = callback
    this.#everyMs = repeats ? ms : undefined
    this.dueMs = host.nowMs() + ms
    this.earlyMs = Math.min(ms / 10, host.earlyMs(this.dueMs))
    host.timers.add(this)
  }

  fire(): void {
    if (this.#everyMs === undefined) this.cancel()
    else this.dueMs = this.#host.nowMs() + this.#everyMs
    hosts.run(this.#host, this.#callback)
  }

  cancel(): void {
    this.#host.timers.delete(this)
  }

  unref(): this {
    return this
  }

  ref(): this {
    return this
  }
}

const hosts = new AsyncLocalStorage<TimerHost>()

/** Runs code whose timers, and those of everything it awaits and starts, are the host's. */
export const runWithTimers = <T>(host: TimerHost, work: () => T): T => hosts.run(host, work)

/** Runs code with Node's own timers: whatever is not simulated. */
export const runWithRealTimers = <T>(work: () => T): T => hosts.exit(work)

/** Code that belongs to no host is not touched, so several worlds and the test runner go on side by side. */
export function installSimulatedTimers(): () => void {
  const real = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate }
  type Callback = (...args: unknown[]) => void
  const start =
    (original: (...args: never[]) => unknown, repeats: boolean, hasDelay: boolean) =>
    (callback: Callback, ...rest: unknown[]): unknown => {
      const host = hosts.getStore()
      if (!host) return (original as (...args: unknown[]) => unknown)(callback, ...rest)
      const ms = hasDelay ? Number(rest.shift() ?? 0) : 0
      return new SimulatedTimer(host, () => callback(...rest), Math.max(0, ms), repeats)
    }
  const stop =
    (original: (timer: never) => void) =>
    (timer: unknown): void => {
      if (timer instanceof SimulatedTimer) timer.cancel()
      else original(timer as never)
    }
  Object.assign(globalThis, {
    setTimeout: start(setTimeout, false, true),
    setInterval: start(setInterval, true, true),
    setImmediate: start(setImmediate, false, false),
    clearTimeout: stop(clearTimeout),
    clearInterval: stop(clearInterval),
    clearImmediate: stop(clearImmediate),
  })
  return () => void Object.assign(globalThis, real)
}
