export const limitScopes = ['key', 'team', 'organization'] as const
export type LimitScope = (typeof limitScopes)[number]

export const limitAlgorithms = ['sliding_window', 'token_bucket'] as const
export type LimitAlgorithm = (typeof limitAlgorithms)[number]

/** How often and how much one key, team or organization may call: a row of `rate_limits`. Immutable. */
export interface RateLimit {
  readonly scope: LimitScope
  /** Of the key, team or organization. */
  readonly scopeId: string
  /** Requests in any 60 seconds; undefined does not limit. */
  readonly requestsPerMinute: number | undefined
  /** Tokens in any 60 seconds, prompt and answer; undefined does not limit. */
  readonly tokensPerMinute: number | undefined
  /** Requests at the same time; undefined does not limit. */
  readonly maxConcurrent: number | undefined
  readonly algorithm: LimitAlgorithm
  /** Refuse, rather than count on each replica, while the shared counters are away. */
  readonly strict: boolean
}
