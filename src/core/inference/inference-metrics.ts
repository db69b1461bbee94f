import type { ErrorCode } from '../errors.ts'
import type { UsageEnd } from '../usage/usage-record.ts'
import type { Operation } from './call.ts'

/** What the pipeline reports for operators; metrics are for rates and never for money. */
export interface InferenceMetrics {
  /** Turned away before anything was dispatched. */
  refused(operation: Operation, code: ErrorCode): void
  /** Answered with what an earlier request with the same idempotency key was answered. */
  replayed(operation: Operation): void
  dispatched(): void
  /** Admitted with its rate limits counted by this replica alone. */
  degraded(operation: Operation): void
  /** `modelLabel` is a configured name, so that a client cannot make series. */
  settled(record: UsageEnd, modelLabel: string, times: SettledTimes): void
}

/** In milliseconds, with fractions. */
export interface SettledTimes {
  /** From the arrival to the settlement, without the upstream attempts. */
  overheadMs: number
  /** From the begin of the last attempt to its first output; undefined when there was none. */
  upstreamFirstOutputMs: number | undefined
}
