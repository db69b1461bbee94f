import { z } from 'zod'
import { baseUrlField, credentialCheck, secretField } from '../schema-fields.ts'
import { commonFields, type DeclaredContent, given, translatedFields } from './provider-fields.ts'

export const anthropicBaseUrl = 'https://api.anthropic.com'

export const anthropicSchema = z.strictObject({
  ...commonFields,
  type: z.literal('anthropic').describe("Anthropic's Messages API."),
  baseUrl: baseUrlField()
    .default(anthropicBaseUrl)
    .describe('Where the API is, without the version: `/v1/messages` is added.'),
  credentials: z
    .strictObject({ apiKey: secretField(credentialCheck).describe('Sent as `x-api-key`.') })
    .describe('What the provider knows the gateway by.'),
  anthropicVersion: z
    .string()
    .regex(/^\d{4}-\d{2}-\d{2}$/, 'expected a date such as 2023-06-01')
    .default('2023-06-01')
    .describe('Sent as `anthropic-version`.'),
  anthropicBeta: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9.-]{0,99}$/, 'expected the name of a beta feature'))
    .max(20)
    .default([])
    .describe('Sent as `anthropic-beta` with every call.'),
  ...translatedFields,
})

export const declaredAnthropic = ({
  type,
  baseUrl,
  credentials: { apiKey },
  anthropicVersion,
  anthropicBeta,
  unsupportedParameters,
}: z.output<typeof anthropicSchema>): DeclaredContent => ({
  type,
  baseUrl,
  settings: given({
    anthropicVersion,
    anthropicBeta: anthropicBeta.length > 0 ? anthropicBeta.join(',') : undefined,
    unsupportedParameters,
  }),
  credentials: { apiKey },
})
