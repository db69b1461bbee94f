import { z } from 'zod'
import { limitAlgorithms } from '../core/limits/rate-limit.ts'
import { slug, wholeNumber } from './schema-fields.ts'

/** How often and how much: the same for keys, teams and organizations. */
const limitFields = {
  requestsPerMinute: wholeNumber(1, 1_000_000_000).optional().describe('Requests in any 60 seconds.'),
  tokensPerMinute: wholeNumber(1, 1_000_000_000_000)
    .optional()
    .describe('Tokens in any 60 seconds, prompt and answer.'),
  maxConcurrent: wholeNumber(1, 1_000_000).optional().describe('Requests at the same time.'),
  algorithm: z.enum(limitAlgorithms).default('sliding_window').describe('How a minute is counted.'),
  strict: z
    .boolean()
    .default(false)
    .describe('Refuse calls while shared counters are away, rather than count on each replica.'),
}

export const keyRateLimitsSchema = z.strictObject(limitFields)

export const rateLimitSchema = z.strictObject({
  organization: slug().describe(
    'Slug of the organization whose keys it is for, all of them together; made if missing.',
  ),
  team: slug().optional().describe('Only for the keys of this team in that organization, made if missing.'),
  ...limitFields,
})

export type FileRateLimit = z.output<typeof rateLimitSchema>
export type FileKeyRateLimits = z.output<typeof keyRateLimitsSchema>
