import type { Meter } from './meter.ts'
import type { LimitAlgorithm } from './rate-limit.ts'
import { SlidingWindow } from './sliding-window.ts'
import { TokenBucket } from './token-bucket.ts'

/** What one key, team or organization has taken. Meters are made when a limit first asks for them. */
export class ScopeCounters {
  /** Requests granted and not over. */
  running = 0
  touchedMs = 0
  /** The number of its last reset; what was taken before that can no longer be given back. */
  resetNumber = 0
  readonly #requests: Meters = { sliding_window: undefined, token_bucket: undefined }
  readonly #tokens: Meters = { sliding_window: undefined, token_bucket: undefined }

  requests(algorithm: LimitAlgorithm): Meter {
    return meterOf(this.#requests, algorithm)
  }

  tokens(algorithm: LimitAlgorithm): Meter {
    return meterOf(this.#tokens, algorithm)
  }

  reset(number: number): void {
    this.resetNumber = number
    for (const meters of [this.#requests, this.#tokens]) meters.sliding_window = meters.token_bucket = undefined
  }
}

type Meters = Record<LimitAlgorithm, Meter | undefined>

function meterOf(meters: Meters, algorithm: LimitAlgorithm): Meter {
  meters[algorithm] ??= algorithm === 'token_bucket' ? new TokenBucket() : new SlidingWindow()
  return meters[algorithm]
}
