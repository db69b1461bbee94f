/**
 * Redis did not do what it was asked: it is known to be away (`breaker-open`), it did not answer in time (`timeout`; it
 * may do it yet), or it could not be reached or refused (`failed`, with the `cause`). Whoever asks has a fallback.
 */
export class RedisUnavailable extends Error {
  readonly reason: RedisUnavailableReason

  constructor(reason: RedisUnavailableReason, options: { cause?: unknown } = {}) {
    super(sentences[reason], options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'RedisUnavailable'
    this.reason = reason
  }
}

export type RedisUnavailableReason = 'breaker-open' | 'timeout' | 'failed'

const sentences = {
  'breaker-open': 'Redis is known to be away and is not asked.',
  timeout: 'Redis did not answer in time.',
  failed: 'Redis could not be reached, or refused.',
} as const
