import { defineEntity, type InferEntity, p } from '@mikro-orm/core'
import { bytes, count, identity, instant, jsonObject, nano, now, timestamps } from './columns.ts'
import { OrganizationEntity, TeamEntity } from './tenants-and-admins.ts'

export const ApiKeyEntity = defineEntity({
  name: 'ApiKey',
  tableName: 'api_keys',
  properties: {
    id: p.uuid().primary(),
    organization: () => p.manyToOne(OrganizationEntity).ref(),
    team: () => p.manyToOne(TeamEntity).ref().nullable().deleteRule('no action'),
    name: p.text(),
    secretDigest: bytes().unique().hidden(),
    /** Of the secret before it, which goes on for a while. */
    previousSecretDigest: bytes().unique().hidden().nullable(),
    previousValidUntil: instant().nullable(),
    pepperId: p.text(),
    displayPrefix: p.text(),
    last4: p.text(),
    enabled: p.boolean().default(true),
    /** Null allows every model. */
    allowedModels: p.array().columnType('text[]').nullable(),
    unpricedPolicy: p.enum(['block', 'estimate', 'allow']).nullable(),
    expiresAt: instant().nullable(),
    revokedAt: instant().nullable(),
    /** Its calls were ended with it. */
    endsCalls: p.boolean().default(false),
    managedBy: p.enum(['system', 'file', 'admin', 'operator']),
    ...timestamps(),
  },
})
export type ApiKeyEntity = InferEntity<typeof ApiKeyEntity>

export const KeyMetadataEntity = defineEntity({
  name: 'KeyMetadata',
  tableName: 'key_metadata',
  properties: {
    apiKey: () => p.oneToOne(ApiKeyEntity).ref().primary().owner().deleteRule('cascade').updateRule('no action'),
    description: p.text().nullable(),
    tags: jsonObject<Record<string, string>>().defaultRaw(`'{}'`),
    metadata: jsonObject().defaultRaw(`'{}'`),
    ...timestamps(),
  },
})
export type KeyMetadataEntity = InferEntity<typeof KeyMetadataEntity>

export const RateLimitEntity = defineEntity({
  name: 'RateLimit',
  tableName: 'rate_limits',
  properties: {
    id: p.uuid().primary(),
    apiKey: () => p.manyToOne(ApiKeyEntity).ref().nullable().deleteRule('cascade'),
    team: () => p.manyToOne(TeamEntity).ref().nullable().deleteRule('cascade'),
    organization: () => p.manyToOne(OrganizationEntity).ref().nullable().deleteRule('cascade'),
    requestsPerMinute: p.bigint('bigint').nullable(),
    tokensPerMinute: p.bigint('bigint').nullable(),
    maxConcurrent: p.integer().nullable(),
    algorithm: p.enum(['sliding_window', 'token_bucket']).default('sliding_window'),
    strict: p.boolean().default(false),
    managedBy: p.enum(['file', 'admin', 'operator']).default('admin'),
    ...timestamps(),
  },
})
export type RateLimitEntity = InferEntity<typeof RateLimitEntity>

/** One row, raised by every change of a rate limit or a budget. */
export const KeyPolicyVersionEntity = defineEntity({
  name: 'KeyPolicyVersion',
  tableName: 'key_policy_version',
  properties: {
    onlyRow: p.boolean().primary().default(true),
    version: count(),
    createdAt: now(),
  },
})
export type KeyPolicyVersionEntity = InferEntity<typeof KeyPolicyVersionEntity>

export const BudgetEntity = defineEntity({
  name: 'Budget',
  tableName: 'budgets',
  properties: {
    id: p.uuid().primary(),
    apiKey: () => p.manyToOne(ApiKeyEntity).ref().nullable().deleteRule('cascade'),
    team: () => p.manyToOne(TeamEntity).ref().nullable().deleteRule('cascade'),
    organization: () => p.manyToOne(OrganizationEntity).ref().nullable().deleteRule('cascade'),
    tagKey: p.text().nullable(),
    tagValue: p.text().nullable(),
    amountNano: nano(),
    period: p.enum(['hour', 'day', 'week', 'month', 'quarter', 'total']),
    timeZone: p.text().default('UTC'),
    mode: p.enum(['hard', 'soft']),
    alertThresholdsPercent: p.array<number>(Number, String).columnType('integer[]').defaultRaw(`'{50,80,100}'`),
    temporaryIncreaseNano: nano().defaultRaw('0'),
    temporaryIncreaseUntil: instant().nullable(),
    /** Who has raised it; the file takes back only what it has given. */
    temporaryIncreaseBy: p.enum(['file', 'admin', 'operator']).nullable(),
    managedBy: p.enum(['file', 'admin', 'operator']),
    ...timestamps(),
  },
})
export type BudgetEntity = InferEntity<typeof BudgetEntity>

export const BudgetPeriodEntity = defineEntity({
  name: 'BudgetPeriod',
  tableName: 'budget_periods',
  properties: {
    id: p.uuid().primary(),
    budget: () => p.manyToOne(BudgetEntity).ref().deleteRule('cascade'),
    periodStart: instant(),
    /** Null for a budget of all time. */
    periodEnd: instant().nullable(),
    limitNano: nano(),
    mode: p.enum(['hard', 'soft']),
    committedNano: nano().defaultRaw('0'),
    leasedNano: nano().defaultRaw('0'),
    /** What ledger entries that retention has dropped had added to `committedNano`. */
    archivedNano: nano().defaultRaw('0'),
    ...timestamps(),
  },
})
export type BudgetPeriodEntity = InferEntity<typeof BudgetPeriodEntity>

export const BudgetLeaseEntity = defineEntity({
  name: 'BudgetLease',
  tableName: 'budget_leases',
  properties: {
    id: p.uuid().primary(),
    budgetPeriod: () => p.manyToOne(BudgetPeriodEntity).ref().deleteRule('cascade'),
    ownerReplica: p.text(),
    amountNano: nano(),
    heartbeatAt: now(),
    /** Of the lease's last change, by which one that is sent again is known. */
    sequence: count(),
    lastChangeNano: nano().defaultRaw('0'),
    ...timestamps(),
  },
})
export type BudgetLeaseEntity = InferEntity<typeof BudgetLeaseEntity>

export const BudgetAlertEntity = defineEntity({
  name: 'BudgetAlert',
  tableName: 'budget_alerts',
  properties: {
    id: p.uuid().primary(),
    budgetPeriod: () => p.manyToOne(BudgetPeriodEntity).ref().deleteRule('cascade'),
    kind: p.enum(['threshold', 'overrun', 'audit']),
    thresholdPercent: p.integer().nullable(),
    requestId: p.uuid().nullable(),
    committedNano: nano(),
    limitNano: nano(),
    differenceNano: nano().nullable(),
    createdAt: now(),
  },
})
export type BudgetAlertEntity = InferEntity<typeof BudgetAlertEntity>

export const BudgetAuditEntity = defineEntity({
  name: 'BudgetAudit',
  tableName: 'budget_audits',
  properties: {
    id: identity(),
    periods: p.integer(),
    differences: p.integer(),
    startedAt: instant(),
    createdAt: now(),
  },
})
export type BudgetAuditEntity = InferEntity<typeof BudgetAuditEntity>

/** The claim of the one request that may be dispatched under an `Idempotency-Key`, and what it was answered. */
export const IdempotencyKeyEntity = defineEntity({
  name: 'IdempotencyKey',
  tableName: 'idempotency_keys',
  properties: {
    apiKey: () => p.manyToOne(ApiKeyEntity).ref().primary().deleteRule('cascade'),
    idempotencyKey: p.text().primary(),
    fingerprint: bytes(),
    requestId: p.uuid(),
    state: p.enum(['running', 'ended']).default('running'),
    ownerReplica: p.text(),
    heartbeatAt: now(),
    /** Status, content type and body: all of them, or none where the answer was not kept. */
    status: p.integer().nullable(),
    contentType: p.text().nullable(),
    body: bytes().nullable().hidden(),
    expiresAt: instant(),
    createdAt: now(),
  },
})
export type IdempotencyKeyEntity = InferEntity<typeof IdempotencyKeyEntity>

export const WebhookEntity = defineEntity({
  name: 'Webhook',
  tableName: 'webhooks',
  properties: {
    id: p.uuid().primary(),
    organization: () => p.manyToOne(OrganizationEntity).ref().nullable().deleteRule('cascade'),
    url: p.text(),
    events: p.array().columnType('text[]'),
    sealedSecret: jsonObject().hidden(),
    enabled: p.boolean().default(true),
    disabledReason: p.text().nullable(),
    ...timestamps(),
  },
})
export type WebhookEntity = InferEntity<typeof WebhookEntity>

export const WebhookDeliveryEntity = defineEntity({
  name: 'WebhookDelivery',
  tableName: 'webhook_deliveries',
  properties: {
    id: p.uuid().primary(),
    webhook: () => p.manyToOne(WebhookEntity).ref().deleteRule('cascade'),
    event: p.text(),
    payload: jsonObject(),
    attempts: p.integer().default(0),
    nextAttemptAt: instant().nullable(),
    deliveredAt: instant().nullable(),
    lastStatus: p.integer().nullable(),
    lastFailure: p.text().nullable(),
    ...timestamps(),
  },
})
export type WebhookDeliveryEntity = InferEntity<typeof WebhookDeliveryEntity>

export const SecretCanaryEntity = defineEntity({
  name: 'SecretCanary',
  tableName: 'secret_canaries',
  properties: {
    name: p.text().primary(),
    fingerprint: p.text(),
    createdAt: now(),
  },
})
export type SecretCanaryEntity = InferEntity<typeof SecretCanaryEntity>

export const RetiredKeyEncryptionKeyEntity = defineEntity({
  name: 'RetiredKeyEncryptionKey',
  tableName: 'retired_key_encryption_keys',
  properties: {
    id: p.text().primary(),
    createdAt: now(),
  },
})
export type RetiredKeyEncryptionKeyEntity = InferEntity<typeof RetiredKeyEncryptionKeyEntity>
