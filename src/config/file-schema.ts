import { z } from 'zod'
import { budgetSchema } from './budget-schema.ts'
import { grpcSchema } from './grpc-schema.ts'
import { keySchema, unpricedPolicySchema } from './key-schema.ts'
import { aliasSchema, modelSchema, unpricedEstimateSchema } from './model-schema.ts'
import { providerSchema } from './provider-schema.ts'
import { rateLimitSchema } from './rate-limit-schema.ts'
import { baseUrlField, durationMs, label, wholeNumber } from './schema-fields.ts'
import { adminSignInSchema } from './sign-in-schema.ts'

const mebibyte = 1024 * 1024
const listMax = 10_000

const limitsSchema = z
  .strictObject({
    bodyBytes: wholeNumber(1_024, 1_024 * mebibyte)
      .default(10 * mebibyte)
      .describe('Largest request body.'),
    headersTimeoutMs: durationMs().default(10_000).describe('Longest time a client may take to send headers.'),
    bodyTimeoutMs: durationMs().default(30_000).describe('Longest time a client may take to send a body.'),
    heartbeatMs: durationMs()
      .default(15_000)
      .describe('Silence in a stream after which a comment is sent to keep it open.'),
    stalledMs: durationMs().default(30_000).describe('How long a client may read nothing before its stream is closed.'),
    requestsInFlight: wholeNumber(1, 1_000_000)
      .default(10_000)
      .describe('Calls at the same time; more are refused as `overloaded`.'),
  })
  .prefault({})
  .describe('Limits of calls; those of bodies and headers concern the REST listener alone.')

const catalogSchema = z
  .strictObject({
    sync: z
      .enum(['daily', 'off'])
      .default('daily')
      .describe('Whether prices and models are refreshed from the published catalog.'),
    url: baseUrlField().optional().describe('Where the catalog is fetched; its publisher without it.'),
  })
  .prefault({})
  .describe('Known models and their prices.')

const usageSchema = z
  .strictObject({
    retentionDays: wholeNumber(1, 36_500).default(400).describe('How long usage records are kept.'),
    ledgerRetentionDays: wholeNumber(1, 36_500).default(2_555).describe('How long ledger entries are kept.'),
    journal: z
      .strictObject({
        maxBytes: wholeNumber(16 * mebibyte, 1024 * 1024 * mebibyte)
          .default(1_024 * mebibyte)
          .describe('Bytes on disk.'),
        maxRecords: wholeNumber(1_000, 1_000_000_000).default(1_000_000).describe('Calls that wait for the database.'),
      })
      .prefault({})
      .describe('The local journal; when it is full, calls are refused as `usage_spool_full`.'),
  })
  .prefault({})
  .describe('Accounting.')

const idempotencySchema = z
  .strictObject({
    retentionHours: wholeNumber(1, 720).default(24).describe('How long a key counts as used, and its answer is kept.'),
    storeAnswers: z
      .boolean()
      .default(false)
      .describe('Whether answers are kept in the database, unencrypted, to be given again to repeated requests.'),
    maxAnswerBytes: wholeNumber(1_024, mebibyte).default(mebibyte).describe('Larger answers are not kept.'),
  })
  .prefault({})
  .describe('Requests with an `Idempotency-Key`.')

const metricsSchema = z
  .strictObject({
    keyTags: z
      .array(label(64))
      .max(3)
      .refine((tags) => new Set(tags).size === tags.length, 'expected each tag once')
      .default([])
      .describe(
        'Tags of keys that become labels (`tag_<name>`) of calls, tokens and costs. Of each, 50 values are told apart. Read at the start.',
      ),
  })
  .prefault({})
  .describe('What `/metrics` tells apart.')

/** The config file: closed objects throughout, so that a typing mistake is a problem and not a setting that does nothing. */
export const fileSchema = z.strictObject({
  providers: z.array(providerSchema).max(listMax).default([]).describe('Where calls go.'),
  models: z.array(modelSchema).max(listMax).default([]).describe('What the catalog lacks or gets wrong.'),
  aliases: z.array(aliasSchema).max(listMax).default([]).describe('Names of your own for one or several models.'),
  keys: z.array(keySchema).max(listMax).default([]).describe('Virtual keys that applications call with.'),
  budgets: z
    .array(budgetSchema)
    .max(listMax)
    .default([])
    .describe('What organizations, teams and keys with a tag may spend.'),
  rateLimits: z
    .array(rateLimitSchema)
    .max(listMax)
    .default([])
    .describe('How often and how much organizations and teams may call.'),
  unpricedModels: unpricedPolicySchema
    .default('allow')
    .describe(
      'What to do with models of unknown price: refuse the call, charge `unpricedEstimate`, or let it pass and mark the record.',
    ),
  unpricedEstimate: unpricedEstimateSchema,
  limits: limitsSchema,
  catalog: catalogSchema,
  usage: usageSchema,
  idempotency: idempotencySchema,
  adminSignIn: adminSignInSchema,
  grpc: grpcSchema,
  metrics: metricsSchema,
})

export type ConfigFile = z.output<typeof fileSchema>
