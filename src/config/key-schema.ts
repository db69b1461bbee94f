import { z } from 'zod'
import { patternProblem, patternsMax } from '../core/keys/allowed-models.ts'
import { classifySecret } from '../core/keys/key-format.ts'
import { keyBudgetSchema, tagName, tagValue } from './budget-schema.ts'
import { keyRateLimitsSchema } from './rate-limit-schema.ts'
import { label, type SecretCheck, secretField, slug, timeField } from './schema-fields.ts'

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

const modelPattern = z
  .string()
  .refine(
    (pattern) => patternProblem(pattern) === undefined,
    'expected a name in visible ASCII, * being its only wildcard, such as openai/*',
  )

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
    expiresAt: timeField().optional().describe('When the key stops working.'),
    rateLimits: keyRateLimitsSchema.optional().describe('How often and how much the key may call; all of it holds.'),
    budgets: z
      .array(keyBudgetSchema)
      .max(20)
      .default([])
      .describe('What the key may spend; all of them hold, and those at the top level as well.'),
    tags: z
      .record(tagName, tagValue)
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
