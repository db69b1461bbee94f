import type { Clock } from '../clock.ts'
import { GatewayError } from '../errors.ts'
import type { UpstreamHealth } from '../health/upstream-health.ts'
import type { Claim, Idempotency } from '../idempotency/idempotency.ts'
import type { Caller, Payer } from '../keys/caller.ts'
import type { Log } from '../log.ts'
import type { Candidate } from '../routing/route.ts'
import type { RoutingSnapshot } from '../routing/snapshot.ts'
import { attempt } from './attempt.ts'
import type { AnswerSink, Call } from './call.ts'
import type { Tracing } from './call-trace.ts'
import type { CallsUnderWay } from './calls-under-way.ts'
import { createDeadlines } from './deadlines.ts'
import type { InferenceMetrics } from './inference-metrics.ts'
import { usedAnything } from './settle.ts'
import { shapedRequest } from './shape-request.ts'
import { TargetChoice } from './target-choice.ts'
import type { Ticket } from './ticket.ts'

/** The one path of every inference request, whichever door it came through. */
export interface Pipeline {
  /** First stage, on its own so that a door can turn a stranger away before it reads a body. */
  authenticate(credential: string | undefined): Caller | Promise<Caller>
  /** Drives the sink to its `end` or `fail`; never rejects. */
  run(call: Call, sink: AnswerSink): Promise<void>
}

export interface PipelineDeps {
  authenticate(credential: string | undefined): Caller | Promise<Caller>
  snapshot(): RoutingSnapshot
  /** In the order in which they are to be tried; at least one. */
  route(snapshot: RoutingSnapshot, call: Call): readonly Candidate[]
  /** Who pays for the calls of an alias that names a key for it. */
  billingKey(keyId: string): Payer | Promise<Payer>
  /** Asked only for calls that carry an idempotency key. */
  idempotency: Pick<Idempotency, 'begin'>
  /**
   * Resolves once the intent to call survives a crash.
   *
   * @param first - the candidate that is asked first
   */
  admit(call: Call, payer: Payer, candidates: readonly Candidate[], first: number): Promise<Ticket>
  /** Undefined when nobody follows calls. */
  tracing?: Tracing | undefined
  underWay: Pick<CallsUnderWay, 'begin' | 'end'>
  health: UpstreamHealth
  clock: Clock
  metrics: InferenceMetrics
  log: Log
  /** From 0 to below 1. */
  random?: () => number
}

/** authenticate -> route -> admit -> attempt -> stream -> settle: nothing is dispatched unadmitted or left unsettled. */
export function createPipeline(deps: PipelineDeps): Pipeline {
  const timing = { clock: deps.clock, deadlines: createDeadlines(deps.clock.monotonicMs) }
  const choosing = {
    health: deps.health,
    monotonicMs: deps.clock.monotonicMs,
    random: deps.random ?? Math.random,
  }
  return {
    authenticate: deps.authenticate,
    async run(call, sink) {
      deps.underWay.begin(call.caller.keyId, call.cancellation)
      if (deps.tracing) call.trace = deps.tracing.begin(call)
      try {
        let candidates: readonly Candidate[]
        let choice: TargetChoice | undefined
        let claim: Claim | undefined
        let ticket: Ticket
        try {
          const snapshot = deps.snapshot()
          candidates = deps.route(snapshot, call)
          if (call.idempotency) {
            claim = await deps.idempotency.begin(call, call.idempotency, sink)
            if (!claim) {
              deps.metrics.replayed(call.operation)
              return
            }
          }
          const name = candidates[0]?.alias
          const alias = name === undefined ? undefined : snapshot.aliases.get(name)
          const shaping = alias?.settings
          if (shaping?.parameters || shaping?.caps) call.request = shapedRequest(call.operation, call.request, shaping)
          const payer = alias?.billingKeyId ? await deps.billingKey(alias.billingKeyId) : call.caller
          choice = new TargetChoice(candidates, choosing)
          ticket = await deps.admit(call, payer, candidates, choice.at)
        } catch (thrown) {
          choice?.end(undefined, 0)
          await claim?.release()
          refuse(deps, call, sink, thrown)
          return
        }
        call.trace?.admitted()
        deps.metrics.dispatched()
        if (ticket.limits?.degraded) deps.metrics.degraded(call.operation)
        const { attempts, output } = await attempt(call, candidates, choice, ticket, sink, timing)
        const record = await ticket.settle(attempts, output.firstOutputMs)
        call.trace?.settled(record)
        const keepsKey = claim !== undefined && attempts.some(({ result }) => usedAnything(result))
        // Before the client hears that its call failed: it may well try again at once.
        if (claim && !keepsKey) await claim.release()
        const last = attempts[attempts.length - 1]?.result
        if (last?.failure) sink.fail(last.failure.error)
        else output.end(last?.tail, record)
        if (claim && keepsKey) await claim.end()
      } finally {
        deps.underWay.end(call.caller.keyId, call.cancellation)
      }
    },
  }
}

function refuse({ log, metrics }: PipelineDeps, call: Call, sink: AnswerSink, thrown: unknown): void {
  const error = GatewayError.from(thrown)
  if (error.code === 'internal_error')
    log.error({ err: thrown, request_id: call.requestId }, 'A request failed inside.')
  metrics.refused(call.operation, error.code)
  call.trace?.refused(error)
  sink.fail(error)
}
