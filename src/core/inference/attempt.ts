import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { ExchangeResult, UpstreamCall } from '../providers/provider.ts'
import type { Candidate } from '../routing/route.ts'
import type { AnswerSink, Call } from './call.ts'
import type { Cancellation } from './cancellation.ts'
import type { Deadlines } from './deadlines.ts'
import { HeldOutput } from './held-output.ts'
import type { TargetChoice } from './target-choice.ts'
import type { Attempt, Ticket } from './ticket.ts'

export interface AttemptsOutcome {
  /** In order; the last one answered, or failed for good. */
  attempts: readonly Attempt[]
  output: HeldOutput
}

export interface AttemptDeps {
  clock: Clock
  deadlines: Deadlines
}

/**
 * Asks one target after the other, as `choice` has it, until one has answered. Goes on before the first output, and
 * never after; nor without the money for another attempt, where the one before it may have been billed.
 *
 * @param choice - has begun its first target
 */
export async function attempt(
  call: Call,
  candidates: readonly Candidate[],
  choice: TargetChoice,
  ticket: Ticket,
  sink: AnswerSink,
  deps: AttemptDeps,
): Promise<AttemptsOutcome> {
  const attempts: Attempt[] = []
  for (;;) {
    const { at } = choice
    const candidate = candidates[at] as Candidate
    const number = attempts.length + 1
    const output = new HeldOutput(
      sink,
      (form) => ({
        provider: candidate.provider.name,
        model: candidate.model,
        attempts: number,
        form,
        limits: ticket.limits,
      }),
      deps.clock.monotonicMs,
    )
    ticket.attempting(at, output)
    const startedMs = deps.clock.monotonicMs()
    const span = call.trace?.attempt(candidate, number)
    const outputTokensCap = ticket.outputTokensCap(at)
    const result = await attemptAt(call, candidate, outputTokensCap, span?.traceparent, output, startedMs, deps)
    span?.ended(result)
    const totalMs = deps.clock.monotonicMs() - startedMs
    choice.end(isClientsDeadline(call, candidate, result) ? undefined : result, totalMs)
    attempts.push({ candidate, at, result, startedMs, totalMs })
    const { failure } = result
    if (!failure || output.committed) return { attempts, output }
    const isBegun = await beginNext(call, candidates, choice, ticket, result, deps.clock)
    if (!isBegun) return { attempts, output }
  }
}

async function attemptAt(
  call: Call,
  { provider: { provider }, model, entry }: Candidate,
  outputTokensCap: number | undefined,
  traceparent: string | undefined,
  output: HeldOutput,
  startedMs: number,
  { deadlines }: AttemptDeps,
): Promise<ExchangeResult> {
  const limitMs = limitMsOf(call, provider.totalTimeoutMs)
  const remainingMs = Math.max(0, limitMs - (startedMs - call.startedMs))
  const upstreamCall: UpstreamCall = {
    requestId: call.requestId,
    operation: call.operation,
    model,
    request: call.request,
    answerForm: call.answerForm,
    cancellation: call.cancellation,
    remainingMs,
    outputTokensCap,
    traceparent,
    modelOutputTokensMax: entry?.maxOutputTokens,
  }
  const deadline = deadlines.watch(call.cancellation, startedMs + remainingMs, limitMs)
  try {
    return await provider.exchange(upstreamCall, output)
  } catch (thrown) {
    return thrownByAdapter(thrown)
  } finally {
    deadlines.release(deadline)
  }
}

/** @returns whether another attempt has begun; otherwise the result at hand is the answer */
async function beginNext(
  call: Call,
  candidates: readonly Candidate[],
  choice: TargetChoice,
  ticket: Ticket,
  { failure }: ExchangeResult,
  clock: Clock,
): Promise<boolean> {
  if (!failure) return false
  const { cancellation } = call
  const remainingMs = (at: number): number =>
    limitMsOf(call, (candidates[at] as Candidate).provider.provider.totalTimeoutMs) -
    (clock.monotonicMs() - call.startedMs)
  let isHeld = failure.billing !== 'maybe_billed'
  for (;;) {
    if (cancellation.reason) return false
    const next = choice.next(failure, remainingMs)
    if (!next) return false
    isHeld ||= await ticket.holdAnother()
    if (!isHeld) return false
    if (next.waitMs > 0) await pause(next.waitMs, cancellation)
    if (cancellation.reason) return false
    if (choice.begin(next.at)) return true
  }
}

/** Ends at once when the call is cancelled: nobody waits for it any more. */
function pause(ms: number, cancellation: Cancellation): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      cancellation.listen(undefined)
      resolve()
    }
    const timer = setTimeout(done, ms)
    cancellation.listen(done)
  })
}

const limitMsOf = (call: Call, totalTimeoutMs: number): number =>
  call.timeoutMs === undefined ? totalTimeoutMs : Math.min(totalTimeoutMs, call.timeoutMs)

/** A client that is in a hurry says nothing about the provider. */
const isClientsDeadline = (call: Call, { provider }: Candidate, { failure }: ExchangeResult): boolean =>
  failure?.kind === 'timeout' &&
  call.cancellation.reason !== undefined &&
  limitMsOf(call, provider.provider.totalTimeoutMs) < provider.provider.totalTimeoutMs

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
