import { defineEntity, type InferEntity, p } from '@mikro-orm/core'
import type { ServiceTier, Units } from '../../usage/usage.ts'
import { count, identity, instant, jsonObject, nano, now, timestamps } from './columns.ts'

/**
 * The three large tables are partitioned by `reserved_at` and written by raw SQL in batches; these entities are for
 * reading. They hold ids rather than references: a record outlives what it names.
 */
export const UsageRecordEntity = defineEntity({
  name: 'UsageRecord',
  tableName: 'usage_records',
  properties: {
    reservedAt: instant().primary(),
    requestId: p.uuid().primary(),
    endedAt: instant().nullable(),
    organizationId: p.uuid(),
    teamId: p.uuid().nullable(),
    keyId: p.uuid(),
    callerKeyId: p.uuid().nullable(),
    operation: p.enum(['chat', 'embeddings']),
    door: p.enum(['rest', 'grpc']),
    requestedModel: p.text(),
    alias: p.text().nullable(),
    provider: p.text().nullable(),
    model: p.text().nullable(),
    stream: p.boolean().default(false),
    state: p.enum(['reserved', 'settled', 'released', 'estimated']),
    finish: p.text().nullable(),
    usageSource: p.enum(['provider', 'counted', 'estimated', 'none']).default('none'),
    httpStatus: p.integer().nullable(),
    errorCode: p.text().nullable(),
    inputTokens: count(),
    cacheReadTokens: count(),
    cacheWriteTokens: count(),
    outputTokens: count(),
    reasoningTokens: count(),
    units: jsonObject<Units>().defaultRaw(`'{}'`),
    implausibleUsage: p.json<unknown>().columnType('jsonb').nullable(),
    priceVersion: p.uuid().nullable(),
    unpriced: p.boolean().default(false),
    retryUncertain: p.boolean().default(false),
    reservedNano: nano().defaultRaw('0'),
    providerCostNano: nano().defaultRaw('0'),
    chargedNano: nano().defaultRaw('0'),
    overrunNano: nano().defaultRaw('0'),
    budgetPeriodIds: p.array().columnType('uuid[]').defaultRaw(`'{}'`),
    budgetLeaseIds: p.array().columnType('uuid[]').defaultRaw(`'{}'`),
    attempts: p.integer().default(0),
    firstOutputMs: p.integer().nullable(),
    totalMs: p.integer().nullable(),
    tags: jsonObject<Record<string, string>>().defaultRaw(`'{}'`),
    endUser: p.text().nullable(),
    clientRequestId: p.text().nullable(),
    providerResponseId: p.text().nullable(),
    ownerReplica: p.text(),
    checkpointOutputTokens: count(),
    createdAt: now(),
  },
})
export type UsageRecordEntity = InferEntity<typeof UsageRecordEntity>

export const UsageAttemptEntity = defineEntity({
  name: 'UsageAttempt',
  tableName: 'usage_attempts',
  properties: {
    reservedAt: instant().primary(),
    requestId: p.uuid().primary(),
    attemptNo: p.integer().primary(),
    provider: p.text(),
    model: p.text(),
    credentialId: p.uuid().nullable(),
    outcome: p.text(),
    httpStatus: p.integer().nullable(),
    errorCode: p.text().nullable(),
    billing: p.enum(['billed', 'not_billed', 'estimated', 'unknown']),
    units: jsonObject<Units>().defaultRaw(`'{}'`),
    serviceTier: p.text().$type<ServiceTier>().default('default'),
    priceVersion: p.uuid().nullable(),
    costNano: nano().defaultRaw('0'),
    totalMs: p.integer().nullable(),
    createdAt: now(),
  },
})
export type UsageAttemptEntity = InferEntity<typeof UsageAttemptEntity>

export const LedgerEntryEntity = defineEntity({
  name: 'LedgerEntry',
  tableName: 'ledger_entries',
  properties: {
    reservedAt: instant().primary(),
    id: p.uuid().primary(),
    requestId: p.uuid(),
    kind: p.enum(['charge', 'adjust']),
    seq: p.integer().default(0),
    amountNano: nano(),
    budgetPeriodId: p.uuid().nullable(),
    organizationId: p.uuid(),
    teamId: p.uuid().nullable(),
    keyId: p.uuid(),
    createdAt: now(),
  },
})
export type LedgerEntryEntity = InferEntity<typeof LedgerEntryEntity>

/** What every rollup adds up; see `src/core/usage/rollups.store.ts`. */
const measures = () => ({
  requests: count(),
  failedRequests: count(),
  disconnectedRequests: count(),
  estimatedRequests: count(),
  unpricedRequests: count(),
  inputTokens: count(),
  cacheReadTokens: count(),
  cacheWriteTokens: count(),
  outputTokens: count(),
  reasoningTokens: count(),
  costNano: nano().defaultRaw('0'),
  chargedNano: nano().defaultRaw('0'),
})

const rollup = () => ({
  id: identity(),
  /** The hour, day or month (UTC) that begins then. */
  bucket: instant(),
  organizationId: p.uuid(),
  teamId: p.uuid().nullable(),
  keyId: p.uuid(),
  provider: p.text(),
  model: p.text(),
  alias: p.text().nullable(),
  ...measures(),
  ...timestamps(),
})

export const UsageHourlyEntity = defineEntity({
  name: 'UsageHourly',
  tableName: 'usage_hourly',
  properties: rollup(),
})
export type UsageHourlyEntity = InferEntity<typeof UsageHourlyEntity>

export const UsageDailyEntity = defineEntity({ name: 'UsageDaily', tableName: 'usage_daily', properties: rollup() })
export type UsageDailyEntity = InferEntity<typeof UsageDailyEntity>

export const MonthlyUsageSummaryEntity = defineEntity({
  name: 'MonthlyUsageSummary',
  tableName: 'monthly_usage_summary',
  properties: rollup(),
})
export type MonthlyUsageSummaryEntity = InferEntity<typeof MonthlyUsageSummaryEntity>

export const UsageModelDailyEntity = defineEntity({
  name: 'UsageModelDaily',
  tableName: 'usage_model_daily',
  properties: {
    id: identity(),
    bucket: instant(),
    organizationId: p.uuid(),
    teamId: p.uuid().nullable(),
    provider: p.text(),
    model: p.text(),
    alias: p.text().nullable(),
    ...measures(),
    ...timestamps(),
  },
})
export type UsageModelDailyEntity = InferEntity<typeof UsageModelDailyEntity>

const tagRollup = () => ({
  id: identity(),
  bucket: instant(),
  organizationId: p.uuid(),
  teamId: p.uuid().nullable(),
  tagKey: p.text(),
  tagValue: p.text(),
  provider: p.text(),
  model: p.text(),
  ...measures(),
  ...timestamps(),
})

export const UsageTagHourlyEntity = defineEntity({
  name: 'UsageTagHourly',
  tableName: 'usage_tag_hourly',
  properties: tagRollup(),
})
export type UsageTagHourlyEntity = InferEntity<typeof UsageTagHourlyEntity>

export const UsageTagDailyEntity = defineEntity({
  name: 'UsageTagDaily',
  tableName: 'usage_tag_daily',
  properties: tagRollup(),
})
export type UsageTagDailyEntity = InferEntity<typeof UsageTagDailyEntity>

export const MonthlyTagSummaryEntity = defineEntity({
  name: 'MonthlyTagSummary',
  tableName: 'monthly_tag_summary',
  properties: tagRollup(),
})
export type MonthlyTagSummaryEntity = InferEntity<typeof MonthlyTagSummaryEntity>

/** Up to where retention has dropped rows of a partitioned table; no row before that is to be missed. */
export const UsageRetentionEntity = defineEntity({
  name: 'UsageRetention',
  tableName: 'usage_retention',
  properties: {
    tableName: p.text().primary(),
    droppedBefore: instant(),
    ...timestamps(),
  },
})
export type UsageRetentionEntity = InferEntity<typeof UsageRetentionEntity>
