import { z } from 'zod'
import type { StoredRateTable } from '../core/pricing/price.ts'
import { declaredModelModes } from '../core/routing/declared-configuration.ts'
import type { UnitKind } from '../core/usage/usage.ts'
import { label, modelName, providerName, regionName, usdField, wholeNumber } from './schema-fields.ts'

const price = () => usdField(1_000_000)
const tokensMax = 1_000_000_000

const priceShape = {
  inputUsdPerMillion: price().optional().describe('A million prompt tokens.'),
  outputUsdPerMillion: price().optional().describe('A million completion tokens.'),
  cacheReadUsdPerMillion: price().optional().describe('A million prompt tokens read from a cache.'),
  cacheWriteUsdPerMillion: price().optional().describe('A million prompt tokens written to a cache for five minutes.'),
  cacheWriteOneHourUsdPerMillion: price()
    .optional()
    .describe('A million prompt tokens written to a cache for an hour.'),
  reasoningUsdPerMillion: price().optional().describe('A million reasoning tokens.'),
  inputAudioUsdPerMillion: price().optional().describe('A million audio tokens in the prompt.'),
  outputAudioUsdPerMillion: price().optional().describe('A million audio tokens in the answer.'),
  cacheReadAudioUsdPerMillion: price().optional().describe('A million audio tokens read from a cache.'),
  inputImageUsdPerMillion: price().optional().describe('A million image tokens in the prompt.'),
  outputImageUsdPerMillion: price().optional().describe('A million image tokens in the answer.'),
  perRequestUsd: price().optional().describe('Each request.'),
  perSearchUsd: price().optional().describe('Each web search.'),
}

type PriceField = keyof typeof priceShape
type Prices = { [Field in PriceField]?: bigint | undefined }

/** What each field prices, and how many units its amount is for; stored rates are for a million units. */
const pricedKinds: Readonly<Record<PriceField, { kind: UnitKind; units: 1n | 1_000_000n }>> = {
  inputUsdPerMillion: { kind: 'input', units: 1_000_000n },
  outputUsdPerMillion: { kind: 'output', units: 1_000_000n },
  cacheReadUsdPerMillion: { kind: 'cache_read', units: 1_000_000n },
  cacheWriteUsdPerMillion: { kind: 'cache_write_5m', units: 1_000_000n },
  cacheWriteOneHourUsdPerMillion: { kind: 'cache_write_1h', units: 1_000_000n },
  reasoningUsdPerMillion: { kind: 'reasoning', units: 1_000_000n },
  inputAudioUsdPerMillion: { kind: 'input_audio', units: 1_000_000n },
  outputAudioUsdPerMillion: { kind: 'output_audio', units: 1_000_000n },
  cacheReadAudioUsdPerMillion: { kind: 'cache_read_audio', units: 1_000_000n },
  inputImageUsdPerMillion: { kind: 'input_image', units: 1_000_000n },
  outputImageUsdPerMillion: { kind: 'output_image', units: 1_000_000n },
  perRequestUsd: { kind: 'request', units: 1n },
  perSearchUsd: { kind: 'search', units: 1n },
}

const priceFields = Object.keys(pricedKinds) as PriceField[]

const tierSchema = z
  .strictObject({
    aboveInputTokens: wholeNumber(1, tokensMax).describe('Applies when the prompt has more tokens than this.'),
    ...priceShape,
  })
  .superRefine((tier, context) => {
    if (priceFields.every((field) => tier[field] === undefined)) {
      context.addIssue({ code: 'custom', message: 'expected at least one price, such as inputUsdPerMillion' })
    }
  })

export const modelSchema = z
  .strictObject({
    provider: providerName().describe('Name of the provider that serves the model.'),
    name: modelName().describe("The provider's name of the model."),
    mode: z.enum(declaredModelModes).default('chat').describe('What the model does.'),
    ...priceShape,
    tiers: z
      .array(tierSchema)
      .max(20)
      .default([])
      .describe(
        'Other prices for large prompts. They replace the prices above for the whole request; what a tier does not name stays as above.',
      ),
    contextWindowTokens: wholeNumber(1, tokensMax)
      .optional()
      .describe('Tokens that prompt and answer may have together.'),
    maxOutputTokens: wholeNumber(1, tokensMax)
      .optional()
      .describe('Tokens that an answer may have: what a call reserves at most.'),
  })
  .superRefine((model, context) => {
    const isPriced = model.tiers.length > 0 || priceFields.some((field) => model[field] !== undefined)
    const needed =
      model.mode === 'embedding'
        ? (['inputUsdPerMillion'] as const)
        : (['inputUsdPerMillion', 'outputUsdPerMillion'] as const)
    for (const field of isPriced ? needed : []) {
      if (model[field] !== undefined) continue
      context.addIssue({
        code: 'custom',
        path: [field],
        message: 'is missing; a price that is not given is unknown, not free: say 0 if it is',
      })
    }
    const sizes = model.tiers.map(({ aboveInputTokens }) => aboveInputTokens)
    for (const [index, size] of sizes.entries()) {
      if (sizes.indexOf(size) === index) continue
      context.addIssue({
        code: 'custom',
        path: ['tiers', index, 'aboveInputTokens'],
        message: 'expected a size that no other tier has',
      })
    }
  })

/** The price of models without one, under the policy `estimate`. */
export const unpricedEstimateSchema = z
  .strictObject({
    inputUsdPerMillion: price().prefault(15).describe('A million prompt tokens.'),
    outputUsdPerMillion: price().prefault(75).describe('A million completion tokens.'),
  })
  .prefault({})
  .describe(
    'What models of unknown price are charged at under `unpricedModels: estimate`; on the dear side, so that budgets err towards stopping early.',
  )

export type FileModel = z.output<typeof modelSchema>

/** @returns undefined when the model leaves its price to the catalog */
export function rateTablesOf(
  model: Prices & { tiers: readonly (Prices & { aboveInputTokens: number })[] },
): StoredRateTable[] | undefined {
  if (priceFields.every((field) => model[field] === undefined)) return undefined
  const base = ratesOf(model)
  const tiers = [...model.tiers].sort((a, b) => a.aboveInputTokens - b.aboveInputTokens)
  return [
    { serviceTier: 'default', aboveInputTokens: 0, rates: base },
    ...tiers.map((tier) => ({
      serviceTier: 'default' as const,
      aboveInputTokens: tier.aboveInputTokens,
      rates: { ...base, ...ratesOf(tier) },
    })),
  ]
}

function ratesOf(prices: Prices): StoredRateTable['rates'] {
  const rates: StoredRateTable['rates'] = {}
  for (const field of priceFields) {
    const nano = prices[field]
    if (nano === undefined) continue
    const { kind, units } = pricedKinds[field]
    rates[kind] = String((nano * 1_000_000n) / units)
  }
  return rates
}

/** What the gateway acts on, or what only the client can know. */
const reservedMembers = ['model', 'messages', 'input', 'stream', 'stream_options', 'user', 'encoding_format'] as const

const requestMembers = <T extends z.ZodType>(value: T) =>
  z
    .record(z.string().regex(/^[a-z][a-z0-9_]{0,99}$/, 'expected the name of a member such as temperature'), value)
    .refine(
      (given) => reservedMembers.every((name) => !(name in given)),
      `expected none of ${reservedMembers.join(', ')}`,
    )

export const targetSchema = z.strictObject({
  provider: providerName().describe('Name of a provider.'),
  model: modelName().describe("The provider's name of the model."),
  weight: wholeNumber(0, 1_000_000).default(1).describe('Share of the calls among targets of the same priority.'),
  priority: wholeNumber(0, 1_000).default(0).describe('Lower comes first; the next one is tried on failure.'),
  region: regionName()
    .optional()
    .describe('Where it stands. Within a priority, targets in the region of the replica (`LLMGW_REGION`) come first.'),
})

export const aliasSchema = z.strictObject({
  name: modelName().describe('What clients name as the model.'),
  description: label(500).optional().describe('For people.'),
  targets: z
    .array(targetSchema)
    .min(1)
    .max(50)
    .describe('By weight among equals of a priority, the next priority on failure.'),
  billingKey: label(200)
    .optional()
    .describe(
      'Name of the key that pays for the calls, whoever makes them: they count in its budgets and its usage, and in those of its team and organization, and not in those of the caller. Rate limits stay those of the caller.',
    ),
  sticky: z
    .string()
    .regex(
      /^(?:user|header:[a-z0-9-]{1,100})$/,
      'expected "user", or "header:" and the name of a header in small letters',
    )
    .optional()
    .describe(
      'Calls that have this in common get the same of several targets: `user` (the member of the request) or `header:x-session-id`. Weights are then shares of users.',
    ),
  parameters: requestMembers(z.json())
    .optional()
    .describe('Members of the request that hold where the client names none, such as `temperature`.'),
  caps: requestMembers(z.number().min(0))
    .optional()
    .describe(
      'The most that numbers in the request may be; larger ones are lowered. `max_tokens` or `max_completion_tokens` also holds where the client sets neither.',
    ),
})
