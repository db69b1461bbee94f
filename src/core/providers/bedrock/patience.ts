import { GatewayError } from '../../errors.ts'
import type { Cancellation } from '../../inference/cancellation.ts'
import type { ExchangeFailure } from '../provider.ts'

/** Ends an exchange that is done by a library: the caller leaves, the upstream is silent, the time is up. */
export interface Patience {
  readonly signal: AbortSignal
  /** Something came: the next piece may take as long again. */
  heard(): void
  /** It is the caller that does not keep up: nothing is awaited of the upstream. */
  pause(): void
  /** Why the exchange was ended by us, or undefined while it was not. */
  ended(): ExchangeFailure | undefined
  /** The exchange is over, whoever ended it. */
  end(): void
}

export function startPatience(
  cancellation: Cancellation,
  { firstByteMs, idleMs }: { firstByteMs: number; idleMs: number },
): Patience {
  const abort = new AbortController()
  let failure: ExchangeFailure | undefined
  const stop = (error: GatewayError, kind: ExchangeFailure['kind'], retryable: boolean): void => {
    failure ??= { error, kind, billing: 'maybe_billed', retryable, retryAfterMs: undefined }
    abort.abort(error)
  }
  const silent = (): void =>
    stop(new GatewayError('provider_timeout', 'The provider was silent for too long.'), 'timeout', true)
  const cancel = (): void => {
    const error = cancellation.reason ?? new GatewayError('client_closed_request', 'The client left.')
    stop(error, error.code === 'provider_timeout' ? 'timeout' : 'cancelled', false)
  }
  let timer: NodeJS.Timeout | undefined = setTimeout(silent, firstByteMs)
  cancellation.listen(cancel)
  if (cancellation.reason) cancel()
  return {
    signal: abort.signal,
    heard() {
      clearTimeout(timer)
      timer = abort.signal.aborted ? undefined : setTimeout(silent, idleMs)
    },
    pause() {
      clearTimeout(timer)
    },
    ended: () => failure,
    end() {
      clearTimeout(timer)
      cancellation.listen(undefined)
    },
  }
}
