import { z } from 'zod'
import { unreachable } from '../core/errors.ts'
import { anthropicSchema, declaredAnthropic } from './providers/anthropic.ts'
import { azureOpenAiSchema, declaredAzureOpenAi } from './providers/azure-openai.ts'
import { bedrockSchema, declaredBedrock } from './providers/bedrock.ts'
import { declaredDemo, demoSchema } from './providers/demo.ts'
import { declaredGemini, geminiSchema } from './providers/gemini.ts'
import { declaredOpenAi, openAiCompatibleSchema, openAiSchema } from './providers/openai.ts'
import type { DeclaredContent } from './providers/provider-fields.ts'
import { declaredVertex, vertexSchema } from './providers/vertex.ts'

/** One schema per type, each in `providers/`; `contentOf` has the same list. */
export const providerSchemas = [
  openAiSchema,
  openAiCompatibleSchema,
  azureOpenAiSchema,
  anthropicSchema,
  bedrockSchema,
  geminiSchema,
  vertexSchema,
  demoSchema,
] as const

const types = providerSchemas.map(({ shape }) => shape.type.value).join(', ')

export const providerSchema = z.discriminatedUnion('type', providerSchemas, {
  error: (issue) => (issue.code === 'invalid_union' ? `expected one of ${types}` : undefined),
})

export type FileProvider = z.output<typeof providerSchema>

export function contentOf(provider: FileProvider): DeclaredContent {
  switch (provider.type) {
    case 'openai':
    case 'openai-compatible':
      return declaredOpenAi(provider)
    case 'anthropic':
      return declaredAnthropic(provider)
    case 'azure-openai':
      return declaredAzureOpenAi(provider)
    case 'vertex':
      return declaredVertex(provider)
    case 'bedrock':
      return declaredBedrock(provider)
    case 'gemini':
      return declaredGemini(provider)
    case 'demo':
      return declaredDemo(provider)
    default:
      return unreachable(provider)
  }
}
