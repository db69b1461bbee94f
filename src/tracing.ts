import { otlpHeadersOf, type TracingConfig } from './config/tracing-variables.ts'
import type { OpenTracing } from './ops/tracing.ts'

/** Loads what tracing takes only where it is switched on. */
export async function openTracing(config: TracingConfig, monotonicMs: () => number): Promise<OpenTracing> {
  const { openTracing: open } = await import('./ops/tracing.ts')
  const headers = config.headers ? otlpHeadersOf(config.headers.reveal()) : {}
  return open({ ...config, headers }, monotonicMs)
}
