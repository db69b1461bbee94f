import { z } from 'zod'
import type { DeclaredProvider } from '../../core/routing/declared-configuration.ts'
import { durationMs, providerName } from '../schema-fields.ts'

export const timeoutsSchema = z
  .strictObject({
    firstByteMs: durationMs().default(60_000).describe('Longest wait for the response headers.'),
    idleMs: durationMs().default(60_000).describe('Longest silence between two pieces of an answer.'),
    totalMs: durationMs().default(600_000).describe('Longest time a whole call may take.'),
  })
  .prefault({})
  .describe('How long to wait for this provider, in milliseconds.')

/** What every type of provider has. */
export const commonFields = {
  name: providerName().describe('Unique; also the prefix in `openai/gpt-4o-mini`.'),
  enabled: z.boolean().default(true).describe('Whether calls may go there.'),
  passthroughModels: z
    .boolean()
    .default(false)
    .describe('Pass on model names that neither the catalog nor `models` knows.'),
  timeouts: timeoutsSchema,
}

/** Of types whose requests are translated from OpenAI's form. */
export const translatedFields = {
  unsupportedParameters: z
    .enum(['refuse', 'drop'])
    .default('refuse')
    .describe(
      'What becomes of a parameter that would change the answer and that this provider has no equivalent of, such as `logprobs`.',
    ),
}

/** What one type of provider says of itself beside the common fields. */
export type DeclaredContent = Pick<DeclaredProvider, 'type' | 'baseUrl' | 'settings' | 'credentials'>

/** Leaves out what is undefined: settings are stored, and compared, as JSON. */
export function given<T>(fields: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(fields).filter((entry): entry is [string, T] => entry[1] !== undefined))
}
