import { z } from 'zod'
import { wholeNumber } from '../schema-fields.ts'
import { commonFields, type DeclaredContent } from './provider-fields.ts'

export const demoDefaults = { tokensPerSecond: 50, latencyMs: 200 } as const

export const demoSchema = z.strictObject({
  ...commonFields,
  type: z
    .literal('demo')
    .describe('Answers by itself, for first steps and for measuring; serves `demo-chat` and `demo-embedding`.'),
  tokensPerSecond: wholeNumber(1, 1_000_000)
    .default(demoDefaults.tokensPerSecond)
    .describe('How fast an answer streams.'),
  latencyMs: wholeNumber(0, 60_000)
    .default(demoDefaults.latencyMs)
    .describe('How long until the first token, in milliseconds.'),
})

export const declaredDemo = ({
  tokensPerSecond,
  latencyMs,
}: typeof demoDefaults | z.output<typeof demoSchema>): DeclaredContent => ({
  type: 'demo',
  baseUrl: null,
  settings: { tokensPerSecond, latencyMs },
  credentials: {},
})
