/** Counts outcomes of the last so many milliseconds, in steps of a tenth of that time. */
export class RollingOutcomes {
  readonly #stepMs: number
  readonly #calls = new Uint32Array(steps)
  readonly #failures = new Uint32Array(steps)
  #newestStep: number
  #callsInWindow = 0
  #failuresInWindow = 0

  /** @param nowMs - by the monotonic clock, as everywhere here */
  constructor(windowMs: number, nowMs: number) {
    this.#stepMs = windowMs / steps
    this.#newestStep = Math.floor(nowMs / this.#stepMs)
  }

  add(isFailure: boolean, nowMs: number): void {
    const index = this.#advance(nowMs)
    this.#calls[index] = (this.#calls[index] as number) + 1
    this.#callsInWindow++
    if (!isFailure) return
    this.#failures[index] = (this.#failures[index] as number) + 1
    this.#failuresInWindow++
  }

  calls(nowMs: number): number {
    this.#advance(nowMs)
    return this.#callsInWindow
  }

  failures(nowMs: number): number {
    this.#advance(nowMs)
    return this.#failuresInWindow
  }

  clear(): void {
    this.#calls.fill(0)
    this.#failures.fill(0)
    this.#callsInWindow = 0
    this.#failuresInWindow = 0
  }

  /** @returns the index of the step that is counted into now */
  #advance(nowMs: number): number {
    const step = Math.floor(nowMs / this.#stepMs)
    if (step > this.#newestStep) {
      for (let each = Math.max(this.#newestStep + 1, step - steps + 1); each <= step; each++) {
        const index = each % steps
        this.#callsInWindow -= this.#calls[index] as number
        this.#failuresInWindow -= this.#failures[index] as number
        this.#calls[index] = 0
        this.#failures[index] = 0
      }
      this.#newestStep = step
    }
    return this.#newestStep % steps
  }
}

const steps = 10
