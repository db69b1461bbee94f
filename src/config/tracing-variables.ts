import { z } from 'zod'
import type { Secret } from '../core/secret.ts'
import { label, type SecretCheck, secretField } from './schema-fields.ts'

/** `name=value`, percent-encoded, with commas between them, as OpenTelemetry has it. */
const headersCheck: SecretCheck = (text) =>
  text.split(',').every((entry) => /^\s*[\w!#$%&'*+.^`|~-]+=[^,]*$/.test(entry) && isDecodable(entry))
    ? undefined
    : 'expected name=value, percent-encoded, with commas between them'

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** By the names that OpenTelemetry gives them, so that what sets them for others sets them here. */
export const tracingVariables = {
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .string()
    .regex(/^https?:\/\/[^\s?#@]+$/, 'expected a URL such as http://collector:4318')
    .optional()
    .meta({ type: 'URL' })
    .describe('Collector of traces, which takes OTLP over HTTP. Without it nothing is traced.'),
  OTEL_EXPORTER_OTLP_HEADERS: secretField(headersCheck)
    .optional()
    .describe('Sent to the collector: `name=value`, percent-encoded, with commas between them.'),
  OTEL_SERVICE_NAME: label(100).default('llmgw').describe('What traces call this service.'),
  OTEL_TRACES_SAMPLER_ARG: z.coerce
    .number('expected a number from 0 to 1')
    .min(0, 'expected a number from 0 to 1')
    .max(1, 'expected a number from 0 to 1')
    .default(1)
    .meta({ type: 'number' })
    .describe('Share of calls that are traced, 0 to 1, of those whose caller has not decided by `traceparent`.'),
  LLMGW_TRACE_PROMPTS: z.enum(['on', 'off']).default('off').describe('Whether traces hold what was asked.'),
}

export interface TracingConfig {
  readonly endpoint: string
  readonly headers: Secret | undefined
  readonly sampleRatio: number
  readonly serviceName: string
  readonly prompts: boolean
}

/** @param variables - as they have been checked */
export function tracingOf(variables: z.output<z.ZodObject<typeof tracingVariables>>): TracingConfig | undefined {
  const endpoint = variables.OTEL_EXPORTER_OTLP_ENDPOINT
  if (endpoint === undefined) return undefined
  return {
    endpoint,
    headers: variables.OTEL_EXPORTER_OTLP_HEADERS,
    sampleRatio: variables.OTEL_TRACES_SAMPLER_ARG,
    serviceName: variables.OTEL_SERVICE_NAME,
    prompts: variables.LLMGW_TRACE_PROMPTS === 'on',
  }
}

/** @param text - that the check has passed */
export const otlpHeadersOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    text.split(',').map((entry) => {
      const at = entry.indexOf('=')
      return [entry.slice(0, at).trim(), decodeURIComponent(entry.slice(at + 1).trim())]
    }),
  )
