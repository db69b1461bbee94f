import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { GatewayError } from '../core/errors.ts'
import type { Call } from '../core/inference/call.ts'
import type { AttemptTrace, CallTrace, Tracing } from '../core/inference/call-trace.ts'
import type { ExchangeResult } from '../core/providers/provider.ts'
import { telemetryName } from '../core/providers/telemetry-names.ts'
import type { Candidate } from '../core/routing/route.ts'
import type { UsageEnd } from '../core/usage/usage-record.ts'
import { release } from '../release.ts'

export interface TracingSettings {
  /** Of the collector, without the path of the signal. */
  endpoint: string
  /** Sent with every export. */
  headers: Readonly<Record<string, string>>
  /** From 0 to 1: of calls that come without a decision of somebody before us. */
  sampleRatio: number
  serviceName: string
  /** Whether spans hold what was asked. */
  prompts: boolean
}

export interface OpenTracing extends Tracing {
  close(): Promise<void>
}

const exportTimeoutMs = 5_000
const exportDelayMs = 1_000
/** Beyond this a prompt is cut. */
const promptCharactersMax = 32_768

/**
 * Calls as OpenTelemetry spans, sent to a collector by OTLP: the call, its admission, and each attempt with the names of
 * the GenAI conventions.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
 */
export function openTracing(settings: TracingSettings, monotonicMs: () => number): OpenTracing {
  const { endpoint, headers, sampleRatio, serviceName, prompts } = settings
  const exporter = new OTLPTraceExporter({
    url: `${endpoint.replace(/\/$/, '')}/v1/traces`,
    headers: { ...headers },
    timeoutMillis: exportTimeoutMs,
  })
  const provider = new TracerProvider({
    // Named one by one: detectors would add the host, the command line and paths.
    resource: resourceFromAttributes({ 'service.name': serviceName, 'service.version': release }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    spanProcessors: [
      new BatchSpanProcessor({ exporter, exportTimeoutMillis: exportTimeoutMs, scheduledDelayMillis: exportDelayMs }),
    ],
  })
  const tracer = provider.getTracer('llmgw', release)
  return {
    begin(call) {
      const given = call.header('traceparent')
      const parent = given === undefined ? undefined : readTraceparent(given)
      const within = parent ? trace.setSpanContext(ROOT_CONTEXT, parent) : ROOT_CONTEXT
      // What spans are timed by: the wall clock now, less what has gone since the call came.
      const startTime = Date.now() - (monotonicMs() - call.startedMs)
      const span = tracer.startSpan(
        nameOf(call),
        { kind: SpanKind.SERVER, startTime, attributes: callAttributes(call) },
        within,
      )
      if (span.isRecording()) {
        if (prompts) span.setAttribute('gen_ai.input.messages', promptOf(call))
        return new FollowedCall(tracer, span, startTime, call)
      }
      return parent ? new PassedOn(parent) : undefined
    },
    async close() {
      // Whoever waits for the end of the process does not wait for a collector that is gone.
      await provider.shutdown().catch(() => {})
    },
  }
}

class FollowedCall implements CallTrace {
  readonly ids: { traceId: string; spanId: string }
  readonly #tracer: Tracer
  readonly #span: Span
  readonly #within: Context
  readonly #startTime: number
  readonly #call: Call

  constructor(tracer: Tracer, span: Span, startTime: number, call: Call) {
    const { traceId, spanId } = span.spanContext()
    this.ids = { traceId, spanId }
    this.#tracer = tracer
    this.#span = span
    this.#within = trace.setSpan(context.active(), span)
    this.#startTime = startTime
    this.#call = call
  }

  admitted(): void {
    this.#tracer.startSpan('admission', { startTime: this.#startTime }, this.#within).end()
  }

  attempt({ provider: { name, provider }, model }: Candidate, number: number): AttemptTrace {
    const { operation } = this.#call
    const system = telemetryName(provider.type, name)
    const attributes: Attributes = {
      'gen_ai.operation.name': operation,
      'gen_ai.provider.name': system,
      'gen_ai.system': system,
      'gen_ai.request.model': model,
      'llmgw.provider': name,
      'llmgw.attempt': number,
    }
    const span = this.#tracer.startSpan(`${operation} ${model}`, { kind: SpanKind.CLIENT, attributes }, this.#within)
    return {
      traceparent: traceparentOf(span.spanContext()),
      ended: (result) => endAttempt(span, result),
    }
  }

  settled(record: UsageEnd): void {
    this.#span.setAttributes({
      ...usageAttributes(record.input_tokens, record.output_tokens),
      ...defined({
        'gen_ai.response.finish_reasons': record.finish === null ? undefined : [record.finish],
        'gen_ai.response.id': record.provider_response_id ?? undefined,
        'error.type': record.error_code ?? undefined,
        'llmgw.alias': record.alias ?? undefined,
        'llmgw.provider': record.provider ?? undefined,
        'llmgw.model': record.model ?? undefined,
      }),
      'llmgw.attempts': record.attempts.length,
      'llmgw.cost_nano_usd': record.provider_cost_nano,
      'llmgw.usage_source': record.usage_source,
    })
    if (record.error_code) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: record.error_code })
    this.#span.end()
  }

  refused({ code }: GatewayError): void {
    this.#span.setAttribute('error.type', code)
    // A caller that asks for what it may not have is no failure of the service.
    if (code === 'internal_error') this.#span.setStatus({ code: SpanStatusCode.ERROR, message: code })
    this.#span.end()
  }
}

/** Nobody follows this call here, but somebody may further on. */
class PassedOn implements CallTrace {
  readonly ids = undefined
  readonly #attempt: AttemptTrace

  constructor(parent: SpanContext) {
    this.#attempt = { traceparent: traceparentOf(parent), ended: () => {} }
  }

  admitted(): void {}
  attempt(): AttemptTrace {
    return this.#attempt
  }
  settled(): void {}
  refused(): void {}
}

function endAttempt(span: Span, { failure, usage, finish, httpStatus, providerResponseId }: ExchangeResult): void {
  span.setAttributes({
    ...(usage && usageAttributes(usage.inputTokens, usage.outputTokens)),
    ...defined({
      'gen_ai.response.finish_reasons': finish === undefined ? undefined : [finish],
      'gen_ai.response.id': providerResponseId,
      'http.response.status_code': httpStatus,
      'error.type': failure?.error.code,
    }),
  })
  if (failure) span.setStatus({ code: SpanStatusCode.ERROR, message: failure.kind })
  span.end()
}

const nameOf = ({ operation, request }: Call): string => `${operation} ${request.model}`

const callAttributes = ({ operation, request, door, requestId, caller, clientRequestId }: Call): Attributes => ({
  'gen_ai.operation.name': operation,
  'gen_ai.request.model': request.model,
  'llmgw.door': door,
  'llmgw.request_id': requestId,
  'llmgw.key_id': caller.keyId,
  'llmgw.stream': request.stream,
  ...defined({
    'gen_ai.request.max_tokens': request.outputTokensMax,
    'llmgw.client_request_id': clientRequestId,
  }),
})

const usageAttributes = (inputTokens: number, outputTokens: number): Attributes => ({
  'gen_ai.usage.input_tokens': inputTokens,
  'gen_ai.usage.output_tokens': outputTokens,
})

/** The messages, or the inputs, as the client wrote them. */
function promptOf({ operation, request: { bytes, spans } }: Call): string {
  const span = spans.get(operation === 'chat' ? 'messages' : 'input')
  return span ? bytes.toString('utf8', span.start, Math.min(span.end, span.start + promptCharactersMax)) : ''
}

const defined = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))

/** W3C Trace Context, version 00 and those that begin like it. @see https://www.w3.org/TR/trace-context/ */
const traceparentForm = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/

function readTraceparent(text: string): SpanContext | undefined {
  const [, traceId, spanId, flags] = traceparentForm.exec(text.trim()) ?? []
  if (traceId === undefined || spanId === undefined) return undefined
  const traceFlags = Number.parseInt(flags ?? '0', 16) & TraceFlags.SAMPLED
  return { traceId, spanId, traceFlags, isRemote: true }
}

const traceparentOf = ({ traceId, spanId, traceFlags }: SpanContext): string =>
  `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, '0')}`
