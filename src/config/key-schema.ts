import { z } from 'zod'
import { budgetPeriods } from '../core/budgets/budget.ts'
import { patternProblem, patternsMax } from '../core/keys/allowed-models.ts'
import { classifySecret } from '../core/keys/key-format.ts'
import { limitAlgorithms } from '../core/limits/rate-limit.ts'
import { label, type SecretCheck, secretField, slug, usdField, wholeNumber } from './schema-fields.ts'

export const unpricedPolicySchema = z.enum(['block', 'estimate', 'allow'])

const keySecretCheck: SecretCheck = (text) => {
  switch (classifySecret(text)) {
    case 'ours':
    case 'foreign':
      return undefined
    case 'ours-bad-checksum':
      return "carries the gateway's own prefix but is cut or mistyped; expected the whole key, or a secret without that prefix"
    case 'malformed':
      return 'expected 20 to 200 visible ASCII characters'
  }
}

const rateLimitsSchema = z.strictObject({
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
})

const budgetSchema = z.strictObject({
  amountUsd: usdField(1_000_000_000).describe('What may be spent in a period.'),
  period: z.enum(budgetPeriods).describe('Calendar period; `total` never ends.'),
  mode: z.enum(['hard', 'soft']).default('hard').describe('`hard` never overspends; `soft` may, by what is under way.'),
  timeZone: z
    .string()
    .refine(isTimeZone, 'expected a time zone such as UTC or Europe/Berlin')
    .default('UTC')
    .describe('Where periods begin.'),
  alertThresholdsPercent: z
    .array(wholeNumber(1, 1_000))
    .max(10)
    .default([50, 80, 100])
    .describe('Alerts at these shares of the amount.'),
})

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false // RangeError: unknown
  }
}

const modelPattern = z
  .string()
  .refine(
    (pattern) => patternProblem(pattern) === undefined,
    'expected a name in visible ASCII, * being its only wildcard, such as openai/*',
  )

const tagName = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/)

export const keySchema = z
  .strictObject({
    name: label(100).describe('Unique among the keys of the file; the key is found again by it.'),
    secret: secretField(keySecretCheck)
      .optional()
      .describe('20 to 200 visible ASCII characters. Without one the gateway makes one and prints it once.'),
    description: label(500).optional().describe('For people.'),
    organization: slug().optional().describe('Slug of the organization, made if missing; `default` without one.'),
    team: slug().optional().describe('Slug of the team in that organization, made if missing.'),
    enabled: z.boolean().default(true).describe('Whether the key works.'),
    allowedModels: z
      .array(modelPattern)
      .min(1)
      .max(patternsMax)
      .optional()
      .describe('Aliases, models and patterns such as `openai/*`. Without it every model is allowed.'),
    unpricedModels: unpricedPolicySchema
      .optional()
      .describe('What to do with models of unknown price; as at the top level without it.'),
    expiresAt: z.iso
      .datetime({ offset: true, error: 'expected a time with its zone, such as 2027-01-31T00:00:00Z' })
      .transform((text) => Date.parse(text))
      .optional()
      .meta({ type: 'time' })
      .describe('When the key stops working.'),
    rateLimits: rateLimitsSchema.optional().describe('How often and how much the key may call; all of it holds.'),
    budgets: z.array(budgetSchema).max(20).default([]).describe('Stored now, enforced from the next release.'),
    tags: z
      .record(tagName, label(200))
      .refine((tags) => Object.keys(tags).length <= 64, 'expected at most 64 tags')
      .default({})
      .describe('For reports and budgets by tag.'),
    metadata: z.record(z.string(), z.json()).default({}).describe('Anything; shown with the key and not acted on.'),
  })
  .superRefine((key, context) => {
    if (key.team !== undefined && key.organization === undefined) {
      context.addIssue({
        code: 'custom',
        path: ['organization'],
        message: 'is missing; a team belongs to an organization',
      })
    }
    const periods = key.budgets.map(({ period, timeZone }) => `${period} ${timeZone}`)
    for (const [index, period] of periods.entries()) {
      if (periods.indexOf(period) === index) continue
      context.addIssue({
        code: 'custom',
        path: ['budgets', index, 'period'],
        message: 'expected a period that no other budget of the key has',
      })
    }
  })

export type FileKey = z.output<typeof keySchema>
