import type { Role } from '../core/access/principal.ts'

/**
 * What it takes to be given a field:
 *
 * - `anyone`: strangers too, for signing in;
 * - `signed-in`: whoever has a session, for what is about themselves;
 * - `with-parent`: whoever was given the object that it belongs to;
 * - `visible`: a role anywhere; the answer holds what the viewer's roles cover;
 * - a role everywhere (`global`), or in the place of the object in question (`object`), which the resolver asks for.
 */
export type Rule =
  | 'anyone'
  | 'signed-in'
  | 'with-parent'
  | 'visible'
  | { readonly role: Role; readonly where: 'global' | 'object' }

const everywhere = (role: Role): Rule => ({ role, where: 'global' })
const there = (role: Role): Rule => ({ role, where: 'object' })

/** Every field of the API, and nothing is allowed that does not stand here: a start checks that none is missing. */
export const policy: Readonly<Record<string, Rule>> = {
  'Query.node': 'visible',
  'Query.viewer': 'signed-in',
  'Query.signInOptions': 'anyone',
  'Query.adminUsers': everywhere('admin'),
  'Query.serviceTokens': everywhere('admin'),
  'Query.organizations': 'visible',
  'Query.apiKeys': 'visible',
  'Query.usageRecord': 'visible',
  'Query.usageRecords': 'visible',
  'Query.usageStatistics': 'visible',
  'Query.auditEvents': 'visible',
  'Query.budgets': 'visible',
  'Query.rateLimits': 'visible',
  'Query.providers': everywhere('viewer'),
  'Query.aliases': everywhere('viewer'),
  'Query.configVersions': everywhere('viewer'),
  'Query.replicas': everywhere('viewer'),
  'Query.catalogSyncs': everywhere('viewer'),
  'Query.model': 'visible',
  'Query.models': 'visible',

  'Mutation.firstAdministratorCreate': 'anyone',
  'Mutation.sessionSignIn': 'anyone',
  'Mutation.sessionSignInAsService': 'anyone',
  'Mutation.sessionRefresh': 'anyone',
  'Mutation.sessionSignOut': 'signed-in',
  'Mutation.sessionSignOutEverywhere': 'signed-in',
  'Mutation.sessionEnd': 'signed-in',
  'Mutation.passwordChange': 'signed-in',
  'Mutation.adminUserCreate': everywhere('admin'),
  'Mutation.adminUserSetPassword': everywhere('admin'),
  'Mutation.adminUserSetEnabled': everywhere('admin'),
  'Mutation.serviceTokenCreate': everywhere('admin'),
  'Mutation.serviceTokenRevoke': everywhere('admin'),
  'Mutation.roleGrant': there('admin'),
  'Mutation.roleRevoke': there('admin'),
  'Mutation.organizationCreate': everywhere('admin'),
  'Mutation.organizationUpdate': there('admin'),
  'Mutation.teamCreate': there('admin'),
  'Mutation.teamUpdate': there('admin'),
  'Mutation.apiKeyCreate': there('editor'),
  'Mutation.apiKeyRevoke': there('editor'),
  'Mutation.apiKeySetEnabled': there('editor'),
  'Mutation.budgetRaise': there('editor'),
  'Mutation.budgetCreate': there('editor'),
  'Mutation.budgetUpdate': there('editor'),
  'Mutation.budgetDelete': there('editor'),
  'Mutation.rateLimitSet': there('editor'),
  'Mutation.rateLimitRemove': there('editor'),
  'Mutation.apiKeyUpdate': there('editor'),
  'Mutation.apiKeyRotate': there('editor'),
  'Mutation.providerCreate': everywhere('editor'),
  'Mutation.providerUpdate': everywhere('editor'),
  'Mutation.providerTestConnection': everywhere('editor'),
  'Mutation.aliasCreate': everywhere('editor'),
  'Mutation.aliasUpdate': everywhere('editor'),
  'Mutation.aliasDelete': everywhere('editor'),
  'Mutation.catalogSyncRun': everywhere('editor'),
  'Mutation.modelDeclare': everywhere('editor'),
  'Mutation.modelWithdraw': everywhere('editor'),
  'Mutation.priceOverrideSet': everywhere('editor'),

  'Subscription.usageTotals': 'visible',
  'Subscription.usageRecorded': 'visible',
  'Subscription.budgetChanged': 'visible',
  'Subscription.providerHealthChanged': everywhere('viewer'),
  'Subscription.auditEventAdded': 'visible',
  'Subscription.configChanged': everywhere('viewer'),

  ...withParent('Money', 'nanoUsd usd'),
  ...withParent('PageInfo', 'hasNextPage endCursor'),
  ...withParent('Viewer', 'kind name roles sessions'),
  ...withParent('SignInOptions', 'singleSignOn'),
  ...withParent('SingleSignOnOption', 'name url'),
  ...withParent('ViewerRole', 'role organizationId teamId'),
  ...withParent('Session', 'id startedAt lastUsedAt expiresAt clientAddress userAgent isCurrent'),
  ...withParent('RoleBinding', 'id role organization team'),
  ...withParent('AdminUser', 'id email displayName disabledAt lastSignedInAt createdAt roles'),
  ...withParent('ServiceToken', 'id serviceName expiresAt revokedAt lastUsedAt createdAt roles'),
  ...withParent('Organization', 'id slug name createdAt teams rateLimit'),
  ...withParent('Team', 'id slug name organization createdAt rateLimit'),
  ...withParent(
    'ApiKey',
    `id name displayPrefix last4 organization team state allowedModels expiresAt revokedAt createdAt description tags
     metadata unpricedModels previousSecretUntil rateLimit managedBy`,
  ),
  ...withParent('Tag', 'name value'),
  ...withParent('Metadata', 'name value'),
  ...withParent(
    'RateLimit',
    'id organization team apiKey requestsPerMinute tokensPerMinute maxConcurrent algorithm strict managedBy current',
  ),
  ...withParent('RateLimitUse', 'requests tokens running'),
  ...withParent('RateLimitSetPayload', 'rateLimit errors'),
  ...withParent('RateLimitRemovePayload', 'removed errors'),
  ...withParent('ApiKeyUpdatePayload', 'apiKey errors'),
  ...withParent('ApiKeyRotatePayload', 'apiKey secret errors'),
  ...withParent('BudgetCreatePayload', 'budget errors'),
  ...withParent('BudgetUpdatePayload', 'budget errors'),
  ...withParent('BudgetDeletePayload', 'deleted errors'),
  ...withParent(
    'UsageRecord',
    `id requestId clientRequestId reservedAt endedAt organization team apiKey callerApiKey operation requestedModel alias
     provider model stream state finish usageSource errorCode inputTokens cacheReadTokens cacheWriteTokens outputTokens
     reasoningTokens cost reserved unpriced retryUncertain firstOutputMs totalMs tags endUser attempts ledgerEntries`,
  ),
  ...withParent('UsageAttempt', 'number provider model outcome httpStatus errorCode billing units cost totalMs'),
  ...withParent('UsageUnits', 'kind count'),
  ...withParent('LedgerEntry', 'kind amount isOfBudgetPeriod createdAt'),
  ...withParent('UsageTotals', 'since until requests failedRequests inputTokens outputTokens cost'),
  ...withParent('UsageStatistics', 'rows isTruncated'),
  ...withParent(
    'UsageSums',
    `bucket organization team apiKey provider model alias tagValue requests failedRequests inputTokens outputTokens cost`,
  ),
  ...withParent('AuditEvent', 'id createdAt actorKind actorId action subjectKind subjectId organization before after'),

  ...withParent(
    'Model',
    `id catalog name displayName mode contextWindowTokens maxOutputTokens inputModalities outputModalities features
     deprecationDate managedBy price priceHistory provider missingSince createdAt`,
  ),
  ...withParent('Price', 'id version source effectiveFrom effectiveUntil tables'),
  ...withParent('RateTable', 'serviceTier aboveInputTokens rates'),
  ...withParent('Rate', 'unitKind perMillionUnits'),

  ...withParent(
    'Budget',
    `id scope organization team apiKey tag period timeZone mode managedBy alertThresholdsPercent amount raise periodStart periodEnd limit committed leased
     left reachedPercent periods`,
  ),
  ...withParent('BudgetIncrease', 'amount until'),
  ...withParent('BudgetRaisePayload', 'budget errors'),
  ...withParent(
    'Provider',
    'id name type managedBy enabled baseUrl passthroughModels timeouts settings credentials health',
  ),
  ...withParent('ProviderTimeouts', 'firstByteMs idleMs totalMs'),
  ...withParent(
    'ProviderSettings',
    `organization project preset apiVersion deployments authorityHost anthropicVersion anthropicBeta region profile roleArn
     location tokenUrl unsupportedParameters tokensPerSecond latencyMs`,
  ),
  ...withParent('ProviderDeployment', 'model deployment'),
  ...withParent('ProviderCredential', 'field origin last4'),
  ...withParent('ProviderHealthChange', 'provider replica health'),
  ...withParent('ProviderHealth', 'process credentialAccepted attemptsInFlight modelsInTrouble'),
  ...withParent('Alias', 'id name description enabled managedBy sticky billingKey targets parameters caps'),
  ...withParent('AliasParameter', 'name value'),
  ...withParent('AliasCap', 'name value'),
  ...withParent('AliasTarget', 'provider model weight priority region'),
  ...withParent('ConfigVersion', 'version source status problems createdAt'),
  ...withParent('ConfigProblem', 'path message'),
  ...withParent('Replica', 'id host version label startedAt heartbeatAt stoppedAt'),
  ...withParent('ModelHealth', 'model circuit coolingDown attempts failures latencyMs'),

  ...connection('Budget'),
  ...connection('BudgetPeriodStanding'),
  ...withParent('BudgetPeriodStanding', 'start end limit committed leased'),
  ...connection('RateLimit'),
  ...connection('Provider'),
  ...connection('Alias'),
  ...connection('ConfigVersion'),
  ...connection('Replica'),
  ...connection('Model'),
  ...connection('Price'),
  ...connection('CatalogSync'),
  ...connection('AdminUser'),
  ...connection('ServiceToken'),
  ...connection('Organization'),
  ...connection('ApiKey'),
  ...connection('UsageRecord'),
  ...connection('AuditEvent'),

  ...withParent('FirstAdministratorCreatePayload', 'created errors'),
  ...withParent('SessionSignInPayload', 'accessToken expiresAt errors'),
  ...withParent('SessionEndPayload', 'ended'),
  ...withParent('PasswordChangePayload', 'changed errors'),
  ...withParent('AdminUserCreatePayload', 'adminUser errors'),
  ...withParent('AdminUserSetEnabledPayload', 'adminUser errors'),
  ...withParent('ServiceTokenCreatePayload', 'serviceToken token errors'),
  ...withParent('ServiceTokenRevokePayload', 'serviceToken errors'),
  ...withParent('RoleGrantPayload', 'roleBinding errors'),
  ...withParent('RoleRevokePayload', 'revoked errors'),
  ...withParent('OrganizationCreatePayload', 'organization errors'),
  ...withParent('TeamCreatePayload', 'team errors'),
  ...withParent('OrganizationUpdatePayload', 'organization errors'),
  ...withParent('TeamUpdatePayload', 'team errors'),
  ...withParent('AdminUserSetPasswordPayload', 'adminUser errors'),
  ...withParent('ApiKeyCreatePayload', 'apiKey secret errors'),
  ...withParent('ApiKeyRevokePayload', 'apiKey errors'),
  ...withParent('ApiKeySetEnabledPayload', 'apiKey errors'),
  ...withParent('ProviderCreatePayload', 'provider errors'),
  ...withParent('ProviderUpdatePayload', 'provider errors'),
  ...withParent('ProviderTestConnectionPayload', 'succeeded lines errors'),
  ...withParent('AliasCreatePayload', 'alias errors'),
  ...withParent('AliasUpdatePayload', 'alias errors'),
  ...withParent('AliasDeletePayload', 'deleted errors'),
  ...withParent(
    'CatalogSync',
    `id source location sourceVersion status added changed unchanged deprecated skipped failure startedAt finishedAt`,
  ),
  ...withParent('CatalogSyncRunPayload', 'catalogSync isRunning errors'),
  ...withParent('ModelDeclarePayload', 'model errors'),
  ...withParent('ModelWithdrawPayload', 'model errors'),
  ...withParent('PriceOverrideSetPayload', 'model errors'),

  ...userError('InvalidInput'),
  ...userError('NotFound'),
  ...userError('Conflict'),
  ...userError('ManagedByFile'),
  ...userError('SetupNotOpen'),
  ...userError('WrongCredentials'),
  ...userError('TooManyAttempts'),
  ...userError('SessionEnded'),
}

function withParent(type: string, fields: string): Record<string, Rule> {
  return Object.fromEntries(
    fields
      .trim()
      .split(/\s+/)
      .map((field) => [`${type}.${field}`, 'with-parent']),
  )
}

function connection(type: string): Record<string, Rule> {
  return { ...withParent(`${type}Connection`, 'edges nodes pageInfo'), ...withParent(`${type}Edge`, 'cursor node') }
}

function userError(type: string): Record<string, Rule> {
  return withParent(type, 'message path')
}
