import type { RedisClient } from './redis-client.redis.ts'

/** Redis with a breaker before it. Where it is needed there is a fallback, for it may be away at any time. */
export interface GuardedRedis {
  /**
   * Runs one command, script or pipeline through the breaker. What `command` would swallow the breaker could not count,
   * so catch outside.
   *
   * @throws RedisUnavailable at once while the breaker is open, else when the command failed or took longer than 100 ms.
   *   After a timeout the server may do it yet.
   */
  run<T>(command: (client: RedisClient) => Promise<T>): Promise<T>
  /** False while the breaker is open: `run` would reject at once. */
  readonly available: boolean
  /**
   * Called each time the breaker closes again: counters on the server may be empty, and what was done meanwhile is not
   * in them.
   *
   * @returns what ends it
   */
  onRecovered(listener: () => void): () => void
  statistics(): RedisStatistics
  /** What every key and channel begins with, the version of their format and a colon included: `llmgw:v1:`. */
  readonly prefix: string
  close(): Promise<void>
}

export interface RedisStatistics {
  /** Calls that were made and failed, by why. */
  failures: { timeout: number; failed: number }
  /** Calls that were not made, for the breaker was open. */
  refused: number
  /** How often the breaker has opened. */
  opened: number
  /** Whether the server keeps what it is given; undefined until it could be asked. */
  keepsKeys: boolean | undefined
}
