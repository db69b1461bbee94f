import type { GatewayError } from '../errors.ts'

/**
 * Why a call ends before its answer does: the client left, time is up, or the gateway shuts down.
 *
 * One is made for every call and hardly ever used, so it is a plain object: an AbortController with a listener costs
 * several microseconds and outlives the youngest generation of the heap. Who needs a real signal (an SDK, a timer) gets
 * one from `signal`, made on first use.
 */
export class Cancellation {
  /** Undefined until the call is cancelled; the first reason stays. */
  reason: GatewayError | undefined
  #listener: (() => void) | undefined
  #controller: AbortController | undefined

  cancel(reason: GatewayError): void {
    if (this.reason) return
    this.reason = reason
    this.#controller?.abort(reason)
    this.#listener?.()
  }

  /** Calls back once when the call is cancelled. There is one listener at a time: the attempt under way, or none. */
  listen(listener: (() => void) | undefined): void {
    this.#listener = listener
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.reason) this.#controller.abort(this.reason)
    }
    return this.#controller.signal
  }
}
