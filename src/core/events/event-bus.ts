/**
 * Tells all replicas what has changed. Events are hints: they may be lost, doubled or late, and everything they hint at
 * is polled for as well. What they bring is that nobody waits for the next poll.
 */
export interface EventBus {
  /** Tells everybody, this process included (listeners here are called at once). Never throws, never waits. */
  publish(event: GatewayEvent): void
  /** @returns what ends the subscription */
  subscribe(listener: EventListener): () => void
  /**
   * Called when events may have been missed: after a lost subscription came back, or when nothing was heard for 5 s.
   *
   * @returns what ends it
   */
  onGap(listener: () => void): () => void
  health(): EventBusHealth
  close(): Promise<void>
}

export type EventListener = (event: GatewayEvent, origin: EventOrigin) => void

export interface EventOrigin {
  replica: string
  /** This process has published it itself. */
  local: boolean
}

export interface EventBusHealth {
  connected: boolean
  /** How long ago the other side gave a sign of life; undefined before the first. */
  lastHeardMs: number | undefined
  /** How often events may have been missed. */
  gaps: number
  /** Messages that were none of ours. */
  malformed: number
  /** Events that could not be told to the other replicas. */
  unsent: number
}

export type GatewayEvent =
  | { type: 'key-changed'; keyId: string }
  /** It was revoked, and its calls under way end. */
  | { type: 'key-ended'; keyId: string }
  /** A rate limit or a budget of any key, team, organization or tag. */
  | { type: 'key-policy-changed' }
  | { type: 'configuration-changed' }
  /** Somebody needs money that others hold idle. */
  | { type: 'budget-recall'; periodId: string }
  /** Somebody gave some back. */
  | { type: 'budget-released'; periodId: string }
  /** Somebody wants to be told of calls as they are recorded. */
  | { type: 'usage-watched' }
  /** See `recordedCallsIn`. */
  | { type: 'usage-recorded'; calls: string }
  /** What a process of the sender has learned of a provider, as JSON: see `UpstreamStatus`. */
  | { type: 'provider-health-changed'; process: string; status: string }
  | {
      type: 'budget-alert'
      budgetId: string
      periodId: string
      thresholdPercent: number
      /** Nano-dollars in decimal, as all sums in events: JSON has no integers of 64 bits. */
      committedNano: string
      limitNano: string
    }
