import { defineEntity, type InferEntity, p } from '@mikro-orm/core'
import type { StoredRateTable } from '../../pricing/price.ts'
import { bytes, identity, instant, jsonObject, now, timestamps } from './columns.ts'
import { ApiKeyEntity } from './keys-and-budgets.ts'

export const ProviderEntity = defineEntity({
  name: 'Provider',
  tableName: 'providers',
  properties: {
    id: p.uuid().primary(),
    name: p.text().unique(),
    /** One of the registry's types; the table checks it. */
    type: p.text(),
    baseUrl: p.text().nullable(),
    settings: jsonObject().defaultRaw(`'{}'`),
    passthroughModels: p.boolean().default(false),
    enabled: p.boolean().default(true),
    managedBy: p.enum(['builtin', 'environment', 'file', 'admin']),
    ...timestamps(),
  },
})
export type ProviderEntity = InferEntity<typeof ProviderEntity>

/** One sealed secret of a provider; `origin` is the scheme, host and port it may be sent to. */
export const ProviderCredentialEntity = defineEntity({
  name: 'ProviderCredential',
  tableName: 'provider_credentials',
  properties: {
    id: p.uuid().primary(),
    provider: () => p.manyToOne(ProviderEntity).ref().deleteRule('cascade'),
    field: p.text(),
    origin: p.text(),
    ciphertext: bytes().hidden(),
    nonce: bytes().hidden(),
    wrappedDataKey: bytes().hidden(),
    keyEncryptionKeyId: p.text(),
    last4: p.text().nullable(),
    ...timestamps(),
  },
})
export type ProviderCredentialEntity = InferEntity<typeof ProviderCredentialEntity>

export const CatalogSyncEntity = defineEntity({
  name: 'CatalogSync',
  tableName: 'catalog_syncs',
  properties: {
    id: p.uuid().primary(),
    source: p.enum(['genai-prices', 'litellm']),
    location: p.text(),
    sourceVersion: p.text().nullable(),
    status: p.enum(['running', 'succeeded', 'failed']),
    added: p.integer().default(0),
    changed: p.integer().default(0),
    unchanged: p.integer().default(0),
    deprecated: p.integer().default(0),
    skipped: p.integer().default(0),
    report: jsonObject().defaultRaw(`'{}'`),
    failure: p.text().nullable(),
    startedAt: now(),
    finishedAt: instant().nullable(),
    createdAt: now(),
  },
})
export type CatalogSyncEntity = InferEntity<typeof CatalogSyncEntity>

/** A model of a catalog, or of one provider when the operator declared it. */
export const ModelEntity = defineEntity({
  name: 'Model',
  tableName: 'models',
  properties: {
    id: p.uuid().primary(),
    catalog: p.text(),
    name: p.text(),
    provider: () => p.manyToOne(ProviderEntity).ref().nullable().deleteRule('cascade'),
    displayName: p.text().nullable(),
    mode: p.text().default('chat'),
    contextWindowTokens: p.integer().nullable(),
    maxOutputTokens: p.integer().nullable(),
    inputModalities: p.array().columnType('text[]').defaultRaw(`'{text}'`),
    outputModalities: p.array().columnType('text[]').defaultRaw(`'{text}'`),
    features: jsonObject().defaultRaw(`'{}'`),
    deprecationDate: p.date().nullable(),
    missingSince: instant().nullable(),
    managedBy: p.enum(['catalog', 'file', 'admin']),
    ...timestamps(),
  },
})
export type ModelEntity = InferEntity<typeof ModelEntity>

/** Immutable; a change is a new version. */
export const ModelPriceEntity = defineEntity({
  name: 'ModelPrice',
  tableName: 'model_prices',
  properties: {
    id: p.uuid().primary(),
    model: () => p.manyToOne(ModelEntity).ref().deleteRule('cascade'),
    version: p.integer(),
    source: p.enum(['genai-prices', 'litellm', 'file', 'admin']),
    catalogSync: () => p.manyToOne(CatalogSyncEntity).ref().nullable().deleteRule('no action'),
    rates: jsonObject<{ tables: StoredRateTable[] }>(),
    effectiveFrom: instant(),
    effectiveUntil: instant().nullable(),
    createdAt: now(),
  },
})
export type ModelPriceEntity = InferEntity<typeof ModelPriceEntity>

export const ModelAliasEntity = defineEntity({
  name: 'ModelAlias',
  tableName: 'model_aliases',
  properties: {
    id: p.uuid().primary(),
    name: p.text().unique(),
    description: p.text().nullable(),
    settings: jsonObject().defaultRaw(`'{}'`),
    /** Pays for the calls; null is whoever makes them. */
    billingKey: () => p.manyToOne(ApiKeyEntity).ref().nullable().deleteRule('no action'),
    enabled: p.boolean().default(true),
    managedBy: p.enum(['file', 'admin']),
    ...timestamps(),
  },
})
export type ModelAliasEntity = InferEntity<typeof ModelAliasEntity>

export const AliasTargetEntity = defineEntity({
  name: 'AliasTarget',
  tableName: 'alias_targets',
  properties: {
    id: p.uuid().primary(),
    alias: () => p.manyToOne(ModelAliasEntity).ref().deleteRule('cascade'),
    provider: () => p.manyToOne(ProviderEntity).ref(),
    model: p.text(),
    weight: p.integer().default(1),
    priority: p.integer().default(0),
    region: p.text().nullable(),
    ...timestamps(),
  },
})
export type AliasTargetEntity = InferEntity<typeof AliasTargetEntity>

export const ConfigVersionEntity = defineEntity({
  name: 'ConfigVersion',
  tableName: 'config_versions',
  properties: {
    version: identity(),
    source: p.enum(['file', 'admin', 'catalog', 'system']),
    status: p.enum(['active', 'rejected']),
    contentHash: p.text(),
    problems: p.json<unknown[]>().columnType('jsonb').defaultRaw(`'[]'`),
    createdAt: now(),
  },
})
export type ConfigVersionEntity = InferEntity<typeof ConfigVersionEntity>

/** What of the configuration could last be served; one row, written by raw SQL. */
export const LastGoodRoutingEntity = defineEntity({
  name: 'LastGoodRouting',
  tableName: 'last_good_routing',
  properties: {
    id: p.smallint().primary().autoincrement(false).default(1),
    version: p.bigint(),
    providers: p.json<unknown[]>().columnType('jsonb').hidden(),
    aliases: p.json<unknown[]>().columnType('jsonb'),
    ...timestamps(),
  },
})
export type LastGoodRoutingEntity = InferEntity<typeof LastGoodRoutingEntity>
