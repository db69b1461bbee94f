import { z } from 'zod'
import { unreachable } from '../core/errors.ts'
import { providerTypes } from '../core/providers/provider.ts'
import { anthropicSchema, declaredAnthropic } from './providers/anthropic.ts'
import { azureOpenAiSchema, declaredAzureOpenAi } from './providers/azure-openai.ts'
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
  geminiSchema,
  vertexSchema,
  demoSchema,
] as const

const available = providerSchemas.map(({ shape }) => shape.type.value)

export const providerSchema = z.discriminatedUnion('type', providerSchemas, {
  error: (issue) => {
    if (issue.code !== 'invalid_union') return undefined
    const type = (issue.input as { type?: unknown }).type
    const known = providerTypes.find((name) => name === type)
    const expected = `expected one of ${available.join(', ')}`
    return known ? `${known} is not available in this release; ${expected}` : expected
  },
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
    case 'gemini':
      return declaredGemini(provider)
    case 'demo':
      return declaredDemo(provider)
    default:
      return unreachable(provider)
  }
}
