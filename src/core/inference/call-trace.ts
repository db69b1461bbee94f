import type { GatewayError } from '../errors.ts'
import type { ExchangeResult } from '../providers/provider.ts'
import type { Candidate } from '../routing/route.ts'
import type { UsageEnd } from '../usage/usage-record.ts'
import type { Call } from './call.ts'

/** Follows calls for operators; where nobody does, there is none, and it costs nothing. */
export interface Tracing {
  /** A call arrives. @returns undefined for one that is not followed */
  begin(call: Call): CallTrace | undefined
}

/** One call, as it is followed. Exactly one of `settled` and `refused` ends it. */
export interface CallTrace {
  /** 32 and 16 hexadecimal digits, for log lines; undefined for a call that is only passed on with its context. */
  readonly ids: { traceId: string; spanId: string } | undefined
  /** It may be dispatched now. */
  admitted(): void
  /** @param number - from 1 */
  attempt(candidate: Candidate, number: number): AttemptTrace
  settled(record: UsageEnd): void
  refused(error: GatewayError): void
}

export interface AttemptTrace {
  /** W3C Trace Context, for the upstream. */
  readonly traceparent: string
  ended(result: ExchangeResult): void
}
