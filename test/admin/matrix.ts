import { policy } from '../../src/admin/policy.ts'

/** Whoever the roles and places of the matrix are about. */
export const members = {
  'viewer everywhere': ['VIEWER', undefined],
  'editor everywhere': ['EDITOR', undefined],
  'viewer of the organization': ['VIEWER', 'organization'],
  'editor of the organization': ['EDITOR', 'organization'],
  'administrator of the organization': ['ADMIN', 'organization'],
  'viewer of the team': ['VIEWER', 'team'],
  'editor of the team': ['EDITOR', 'team'],
  'administrator of another organization': ['ADMIN', 'other'],
} as const
export type Member = keyof typeof members | 'stranger' | 'administrator everywhere'

/** done; hidden (as if it were not there); forbidden; or who one is has to be said first. */
export type Outcome = 'done' | 'hidden' | 'forbidden' | 'unauthenticated'

export interface Operation {
  document: string
  /** For everybody who is not named: the outcome. */
  otherwise: Outcome
  outcomes?: Outcomes
}

type Outcomes = Partial<Record<Member, Outcome>>

const everybody: Outcomes = { stranger: 'unauthenticated' }
const administrators: Outcomes = { stranger: 'unauthenticated', 'administrator everywhere': 'done' }

const viewersOfAll: Outcomes = {
  ...administrators,
  'viewer everywhere': 'done',
  'editor everywhere': 'done',
}

const editorsOfAll: Outcomes = { ...administrators, 'editor everywhere': 'done' }

/** What they may do, with an id that nothing has. */
const nobodyToFind = (outcomes: Outcomes): Outcomes =>
  Object.fromEntries(
    Object.entries(outcomes).map(([member, outcome]) => [member, outcome === 'done' ? 'hidden' : outcome]),
  )

/** On a key of the team: its editors, and who is above them. */
const keyEditors: Outcomes = {
  stranger: 'unauthenticated',
  'administrator everywhere': 'done',
  'editor everywhere': 'done',
  'editor of the organization': 'done',
  'administrator of the organization': 'done',
  'editor of the team': 'done',
  'administrator of another organization': 'hidden',
}

/** On the organization itself: its administrators; a team sees the organization it is in. */
const organizationAdministrators: Outcomes = {
  stranger: 'unauthenticated',
  'administrator everywhere': 'done',
  'administrator of the organization': 'done',
  'administrator of another organization': 'hidden',
}

/** Every field of Query and Mutation that needs a viewer, with ids as $team and the like. */
export const operations: Readonly<Record<string, Operation>> = {
  'Query.node': {
    document: '{ node(id: "$key") { id } }',
    otherwise: 'done',
    outcomes: { stranger: 'unauthenticated', 'administrator of another organization': 'hidden' },
  },
  'Query.viewer': { document: '{ viewer { name } }', otherwise: 'done', outcomes: everybody },
  'Query.organizations': { document: '{ organizations { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.apiKeys': { document: '{ apiKeys { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.usageRecord': {
    document: '{ usageRecord(requestId: "$request") { requestId } }',
    otherwise: 'done',
    outcomes: { stranger: 'unauthenticated', 'administrator of another organization': 'hidden' },
  },
  'Query.usageRecords': { document: '{ usageRecords { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.usageStatistics': {
    document: '{ usageStatistics(since: "2026-01-01T00:00:00Z") { isTruncated } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Query.auditEvents': { document: '{ auditEvents { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.budgets': { document: '{ budgets { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.providers': {
    document: '{ providers { nodes { name } } }',
    otherwise: 'forbidden',
    outcomes: viewersOfAll,
  },
  'Query.aliases': { document: '{ aliases { nodes { name } } }', otherwise: 'forbidden', outcomes: viewersOfAll },
  'Query.configVersions': {
    document: '{ configVersions { nodes { version } } }',
    otherwise: 'forbidden',
    outcomes: viewersOfAll,
  },
  'Query.replicas': { document: '{ replicas { nodes { id } } }', otherwise: 'forbidden', outcomes: viewersOfAll },
  'Mutation.budgetRaise': {
    document:
      'mutation { budgetRaise(input: { budgetId: "$budget", amountNanoUsd: "0", until: "2030-01-01T00:00:00Z" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.providerCreate': {
    document: 'mutation { providerCreate(input: { name: "not a name", type: DEMO }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: editorsOfAll,
  },
  'Mutation.providerUpdate': {
    document: 'mutation { providerUpdate(input: { providerId: "$team" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: nobodyToFind(editorsOfAll),
  },
  'Mutation.providerTestConnection': {
    document: 'mutation { providerTestConnection(input: { providerId: "$team" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: nobodyToFind(editorsOfAll),
  },
  'Mutation.aliasCreate': {
    document: 'mutation { aliasCreate(input: { name: "of nothing", targets: [] }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: editorsOfAll,
  },
  'Mutation.aliasUpdate': {
    document: 'mutation { aliasUpdate(input: { aliasId: "$team" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: nobodyToFind(editorsOfAll),
  },
  'Mutation.aliasDelete': {
    document: 'mutation { aliasDelete(input: { aliasId: "$team" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: nobodyToFind(editorsOfAll),
  },
  'Mutation.modelDeclare': {
    document: 'mutation { modelDeclare(input: { providerId: "$team", name: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: nobodyToFind(editorsOfAll),
  },
  'Mutation.modelWithdraw': {
    document: 'mutation { modelWithdraw(input: { modelId: "$team" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: nobodyToFind(editorsOfAll),
  },
  'Mutation.priceOverrideSet': {
    document: 'mutation { priceOverrideSet(input: { modelId: "$team" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: nobodyToFind(editorsOfAll),
  },
  'Query.catalogSyncs': {
    document: '{ catalogSyncs { nodes { id } } }',
    otherwise: 'forbidden',
    outcomes: viewersOfAll,
  },
  'Mutation.catalogSyncRun': {
    document: 'mutation { catalogSyncRun(input: {}) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: editorsOfAll,
  },
  'Query.models': { document: '{ models(first: 1) { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Query.model': { document: '{ model(id: "$team") { id } }', otherwise: 'hidden', outcomes: everybody },
  'Query.adminUsers': {
    document: '{ adminUsers { nodes { id } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Query.serviceTokens': {
    document: '{ serviceTokens { nodes { id } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.sessionEnd': {
    document: 'mutation { sessionEnd(input: { sessionId: "none" }) { ended } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Mutation.passwordChange': {
    document:
      'mutation { passwordChange(input: { currentPassword: "x", newPassword: "short" }) { changed errors { __typename } } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Mutation.adminUserCreate': {
    document:
      'mutation { adminUserCreate(input: { email: "no", displayName: "x", password: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.adminUserSetPassword': {
    document:
      'mutation { adminUserSetPassword(input: { adminUserId: "$user", password: "short" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.adminUserSetEnabled': {
    document:
      'mutation { adminUserSetEnabled(input: { adminUserId: "$user", enabled: true }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.serviceTokenCreate': {
    document: 'mutation { serviceTokenCreate(input: { serviceName: "not a name" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.serviceTokenRevoke': {
    document: 'mutation { serviceTokenRevoke(input: { serviceTokenId: "$service" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.organizationCreate': {
    document: 'mutation { organizationCreate(input: { slug: "NOT A SLUG", name: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: administrators,
  },
  'Mutation.organizationUpdate': {
    document:
      'mutation { organizationUpdate(input: { organizationId: "$organization", name: "" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: organizationAdministrators,
  },
  'Mutation.teamUpdate': {
    document: 'mutation { teamUpdate(input: { teamId: "$team", name: "" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: organizationAdministrators,
  },
  'Mutation.teamCreate': {
    document:
      'mutation { teamCreate(input: { organizationId: "$organization", slug: "NOT A SLUG", name: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: organizationAdministrators,
  },
  'Mutation.roleGrant': {
    document:
      'mutation { roleGrant(input: { granteeId: "$user", role: VIEWER, scopeId: "$organization" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: organizationAdministrators,
  },
  'Mutation.roleRevoke': {
    document: 'mutation { roleRevoke(input: { roleBindingId: "$binding" }) { revoked errors { __typename } } }',
    // It holds everywhere, so it can be seen from everywhere alone.
    otherwise: 'hidden',
    outcomes: { ...administrators, 'viewer everywhere': 'forbidden', 'editor everywhere': 'forbidden' },
  },
  'Mutation.apiKeyCreate': {
    document: 'mutation { apiKeyCreate(input: { ownerId: "$team", name: "" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Query.rateLimits': { document: '{ rateLimits { nodes { id } } }', otherwise: 'done', outcomes: everybody },
  'Mutation.rateLimitSet': {
    document: 'mutation { rateLimitSet(input: { ownerId: "$team", maxConcurrent: 1000 }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.rateLimitRemove': {
    document: 'mutation { rateLimitRemove(input: { rateLimitId: "$limit" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    // The file manages it, so that it is still there for whoever comes next.
    outcomes: keyEditors,
  },
  'Mutation.budgetCreate': {
    document:
      'mutation { budgetCreate(input: { ownerId: "$team", period: DAY, amountNanoUsd: "-1" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.budgetUpdate': {
    document: 'mutation { budgetUpdate(input: { budgetId: "$budget", mode: HARD }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.budgetDelete': {
    document: 'mutation { budgetDelete(input: { budgetId: "$budgetOfFile" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.apiKeyUpdate': {
    document: 'mutation { apiKeyUpdate(input: { apiKeyId: "$key", description: "x" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.apiKeyRotate': {
    document: 'mutation { apiKeyRotate(input: { apiKeyId: "$key" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.apiKeySetEnabled': {
    document: 'mutation { apiKeySetEnabled(input: { apiKeyId: "$key", enabled: true }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
  'Mutation.apiKeyRevoke': {
    document: 'mutation { apiKeyRevoke(input: { apiKeyId: "$key" }) { errors { __typename } } }',
    otherwise: 'forbidden',
    outcomes: keyEditors,
  },
}

/** Those that strangers may use are about accounts of their own, and have a suite to themselves; so has leaving. */
export const elsewhere = new Set(
  Object.entries(policy)
    .filter(([, rule]) => rule === 'anyone')
    .map(([name]) => name)
    .concat('Mutation.sessionSignOut', 'Mutation.sessionSignOutEverywhere'),
)

/** What every field of Subscription is for whom. */
export const subscriptions: Readonly<Record<string, Operation>> = {
  'Subscription.usageTotals': {
    document: 'subscription { usageTotals { requests } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Subscription.usageRecorded': {
    document: 'subscription { usageRecorded { requestId } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Subscription.budgetChanged': {
    document: 'subscription { budgetChanged(budgetId: "$budget") { id } }',
    otherwise: 'done',
    outcomes: { ...everybody, 'administrator of another organization': 'hidden' },
  },
  'Subscription.auditEventAdded': {
    document: 'subscription { auditEventAdded { id } }',
    otherwise: 'done',
    outcomes: everybody,
  },
  'Subscription.providerHealthChanged': {
    document: 'subscription { providerHealthChanged { replica } }',
    otherwise: 'forbidden',
    outcomes: viewersOfAll,
  },
  'Subscription.configChanged': {
    document: 'subscription { configChanged { version } }',
    otherwise: 'forbidden',
    outcomes: viewersOfAll,
  },
}
