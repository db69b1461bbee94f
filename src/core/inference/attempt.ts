import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { ExchangeResult, UpstreamCall } from '../providers/provider.ts'
import type { Candidate } from '../routing/route.ts'
import type { AnswerSink, Call } from './call.ts'
import type { Deadlines } from './deadlines.ts'
import { HeldOutput } from './held-output.ts'
import type { Attempt, Ticket } from './ticket.ts'

export interface AttemptsOutcome {
  /** In order; the last one answered, or failed for good. */
  attempts: readonly Attempt[]
  output: HeldOutput
}

const targetsMax = 3

/**
 * Tries candidates in order until one has answered. Falls back before the first output, and never after; nor without
 * the money for another attempt, where the one before it may have been billed.
 */
export async function attempt(
  call: Call,
  candidates: readonly Candidate[],
  ticket: Ticket,
  sink: AnswerSink,
  { clock, deadlines }: { clock: Clock; deadlines: Deadlines },
): Promise<AttemptsOutcome> {
  const attempts: Attempt[] = []
  for (let number = 1; ; number++) {
    const candidate = candidates[number - 1] as Candidate
    const startedMs = clock.monotonicMs()
    const output = new HeldOutput(
      sink,
      (form) => ({
        provider: candidate.provider.name,
        model: candidate.model,
        attempts: number,
        form,
        limits: ticket.limits,
      }),
      clock.monotonicMs,
    )
    ticket.attempting(output)
    const { provider } = candidate.provider
    const limitMs = Math.min(provider.totalTimeoutMs, call.timeoutMs ?? Number.POSITIVE_INFINITY)
    const remainingMs = Math.max(0, limitMs - (startedMs - call.startedMs))
    const upstreamCall: UpstreamCall = {
      requestId: call.requestId,
      operation: call.operation,
      model: candidate.model,
      request: call.request,
      cancellation: call.cancellation,
      remainingMs,
      outputTokensCap: ticket.outputTokensCap(number - 1),
      modelOutputTokensMax: candidate.entry?.maxOutputTokens,
    }
    const deadline = deadlines.watch(call.cancellation, startedMs + remainingMs, limitMs)
    let result: ExchangeResult
    try {
      result = await provider.exchange(upstreamCall, output)
    } catch (thrown) {
      result = thrownByAdapter(thrown)
    }
    deadlines.release(deadline)
    attempts.push({ candidate, result, totalMs: clock.monotonicMs() - startedMs })
    const mayFallBack = result.failure?.retryable && !output.committed && !call.cancellation.reason
    if (!mayFallBack || number >= Math.min(candidates.length, targetsMax)) return { attempts, output }
    if (result.failure?.billing === 'maybe_billed' && !(await ticket.holdAnother())) return { attempts, output }
  }
}

/**
 * What an adapter refuses by itself, with a sentence for the client, never left us, and another provider may know the
 * parameter or have its credential. Anything else is a bug of ours, and nobody knows what was sent.
 */
const thrownByAdapter = (thrown: unknown): ExchangeResult => ({
  failure: {
    error: GatewayError.from(thrown),
    ...(thrown instanceof GatewayError
      ? { kind: 'refused', billing: 'not_sent', retryable: thrown.code !== 'invalid_body' }
      : { kind: 'malformed', billing: 'maybe_billed', retryable: false }),
    retryAfterMs: undefined,
  },
  usage: undefined,
  implausibleUsage: undefined,
  finish: undefined,
  outputBytes: 0,
  httpStatus: undefined,
  providerResponseId: undefined,
  tail: undefined,
})
