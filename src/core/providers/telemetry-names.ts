import type { ProviderType } from './provider.ts'

/**
 * What OpenTelemetry calls a provider.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/ gen_ai.provider.name
 */
const telemetryNames: Partial<Readonly<Record<ProviderType, string>>> = {
  openai: 'openai',
  'azure-openai': 'azure.ai.openai',
  anthropic: 'anthropic',
  bedrock: 'aws.bedrock',
  gemini: 'gcp.gemini',
  vertex: 'gcp.vertex_ai',
}

/** @param name - of the provider here, for those that OpenTelemetry has no name for */
export const telemetryName = (type: ProviderType, name: string): string => telemetryNames[type] ?? name
