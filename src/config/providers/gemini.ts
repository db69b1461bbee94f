import { z } from 'zod'
import { baseUrlField, credentialCheck, secretField } from '../schema-fields.ts'
import { commonFields, type DeclaredContent, given, translatedFields } from './provider-fields.ts'

export const geminiBaseUrl = 'https://generativelanguage.googleapis.com/v1beta'

export const geminiSchema = z.strictObject({
  ...commonFields,
  type: z.literal('gemini').describe("Google's Gemini API, with an API key."),
  baseUrl: baseUrlField().default(geminiBaseUrl).describe('Where the API is, version included.'),
  credentials: z
    .strictObject({ apiKey: secretField(credentialCheck).describe('Sent as `x-goog-api-key`.') })
    .describe('What the provider knows the gateway by.'),
  ...translatedFields,
})

export const declaredGemini = ({
  type,
  baseUrl,
  credentials: { apiKey },
  unsupportedParameters,
}: z.output<typeof geminiSchema>): DeclaredContent => ({
  type,
  baseUrl,
  settings: given({ unsupportedParameters }),
  credentials: { apiKey },
})
