import { z } from 'zod'
import { budgetPeriods } from '../core/budgets/budget.ts'
import { label, slug, timeField, usdField, wholeNumber } from './schema-fields.ts'

const amountUsdMax = 1_000_000_000

/** How much, and for how long: the same for whomever a budget is. */
const budgetFields = {
  amountUsd: usdField(amountUsdMax).describe('What may be spent in a period.'),
  period: z.enum(budgetPeriods).describe('Calendar period; `total` never ends.'),
  mode: z
    .enum(['hard', 'soft'])
    .default('hard')
    .describe('`hard` holds what a call may cost at most before it is made; `soft` refuses once it is spent.'),
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
  temporaryIncrease: z
    .strictObject({
      amountUsd: usdField(amountUsdMax).describe('What may be spent in addition.'),
      until: timeField().describe('When it ends. What was spent by then stays spent.'),
    })
    .optional()
    .describe('More than the amount, for a while.'),
}

export const keyBudgetSchema = z.strictObject(budgetFields)

export const tagName = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/)
export const tagValue = label(200)

/** Which of the owners go together is checked in `scope-checks.ts`. */
export const budgetSchema = z.strictObject({
  organization: slug()
    .optional()
    .describe('Slug of the organization whose keys it is for, all of them together; made if missing.'),
  team: slug().optional().describe('Only for the keys of this team in that organization, made if missing.'),
  tag: z
    .strictObject({
      name: tagName.describe('Name of the tag.'),
      value: tagValue.describe('Its value.'),
    })
    .optional()
    .describe('Only for the keys with this tag: those of the organization, or of all organizations without one.'),
  ...budgetFields,
})

export type FileBudget = z.output<typeof budgetSchema>
export type FileKeyBudget = z.output<typeof keyBudgetSchema>

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false // RangeError: unknown
  }
}
