import type { LimitState } from '../limits/limiter.ts'
import type { Price } from '../pricing/price.ts'
import type { ExchangeResult } from '../providers/provider.ts'
import type { Candidate } from '../routing/route.ts'
import type { UsageEnd } from '../usage/usage-record.ts'
import type { HeldOutput } from './held-output.ts'

/** The right to make one call, and the duty to account for it. */
export interface Ticket {
  /** What is left of the caller's rate limits; undefined without any. */
  readonly limits: LimitState | undefined
  /** What the upstream of this candidate must be told to answer at most; undefined leaves it to the client. */
  outputTokensCap(candidate: number): number | undefined
  /** An attempt at this candidate begins, which this output belongs to. */
  attempting(candidate: number, output: HeldOutput): void
  /** Holds the money for another attempt. @returns false when a budget does not have it */
  holdAnother(): Promise<boolean>
  /**
   * Writes what the call came to; resolves with it once that survives a crash, and never rejects. Called exactly once.
   */
  settle(attempts: readonly Attempt[], firstOutputMs: number | undefined): Promise<UsageEnd>
}

/** One upstream attempt and what came of it. */
export interface Attempt {
  candidate: Candidate
  /** Where the candidate stands among those that were admitted. */
  at: number
  result: ExchangeResult
  /** When it began, by the monotonic clock. */
  startedMs: number
  totalMs: number
}

/** Which price a call is accounted at: none for an unpriced model that may pass. */
export interface AccountedCandidate {
  price: Price | undefined
  unpriced: boolean
  maxOutputTokens: number | undefined
}
