import { defineEntity, type InferEntity, p } from '@mikro-orm/core'
import { bytes, instant, jsonObject, now, timestamps } from './columns.ts'

export const OrganizationEntity = defineEntity({
  name: 'Organization',
  tableName: 'organizations',
  properties: {
    id: p.uuid().primary(),
    slug: p.text().unique(),
    name: p.text(),
    ...timestamps(),
  },
})
export type OrganizationEntity = InferEntity<typeof OrganizationEntity>

export const TeamEntity = defineEntity({
  name: 'Team',
  tableName: 'teams',
  properties: {
    id: p.uuid().primary(),
    organization: () => p.manyToOne(OrganizationEntity).ref(),
    slug: p.text(),
    name: p.text(),
    ...timestamps(),
  },
})
export type TeamEntity = InferEntity<typeof TeamEntity>

export const AdminUserEntity = defineEntity({
  name: 'AdminUser',
  tableName: 'admin_users',
  properties: {
    id: p.uuid().primary(),
    /** Lower case; the table checks it. */
    email: p.text().unique(),
    displayName: p.text(),
    /** Null while the person can only come in by single sign-on or a set-up link. */
    passwordHash: p.text().nullable().hidden(),
    /** Whom the identity provider says it is; null who signs in with a password alone. */
    oidcIssuer: p.text().nullable(),
    oidcSubject: p.text().nullable(),
    disabledAt: instant().nullable(),
    lastSignedInAt: instant().nullable(),
    ...timestamps(),
  },
})
export type AdminUserEntity = InferEntity<typeof AdminUserEntity>

export const AdminTokenEntity = defineEntity({
  name: 'AdminToken',
  tableName: 'admin_tokens',
  properties: {
    id: p.uuid().primary(),
    serviceName: p.text().unique(),
    tokenHash: p.text().hidden(),
    expiresAt: instant().nullable(),
    revokedAt: instant().nullable(),
    lastUsedAt: instant().nullable(),
    ...timestamps(),
  },
})
export type AdminTokenEntity = InferEntity<typeof AdminTokenEntity>

/** Bound globally when neither organization nor team is named. */
export const RoleBindingEntity = defineEntity({
  name: 'RoleBinding',
  tableName: 'role_bindings',
  properties: {
    id: p.uuid().primary(),
    adminUser: () => p.manyToOne(AdminUserEntity).ref().nullable().deleteRule('cascade'),
    adminToken: () => p.manyToOne(AdminTokenEntity).ref().nullable().deleteRule('cascade'),
    role: p.enum(['viewer', 'editor', 'admin']),
    organization: () => p.manyToOne(OrganizationEntity).ref().nullable().deleteRule('no action'),
    team: () => p.manyToOne(TeamEntity).ref().nullable().deleteRule('no action'),
    /** Roles of groups at the identity provider come and go with each sign-in there. */
    source: p.enum(['admin', 'oidc']).default('admin'),
    ...timestamps(),
  },
})
export type RoleBindingEntity = InferEntity<typeof RoleBindingEntity>

/** One refresh token; those of one sign-in form a family, each the successor of its parent. */
export const SessionEntity = defineEntity({
  name: 'Session',
  tableName: 'sessions',
  properties: {
    id: p.uuid().primary(),
    familyId: p.uuid(),
    parentId: p.uuid().nullable(),
    adminUser: () => p.manyToOne(AdminUserEntity).ref().nullable().deleteRule('cascade'),
    adminToken: () => p.manyToOne(AdminTokenEntity).ref().nullable().deleteRule('cascade'),
    refreshTokenHash: bytes().unique().hidden(),
    clientAddress: p.text().nullable(),
    userAgent: p.text().nullable(),
    expiresAt: instant(),
    replacedAt: instant().nullable(),
    revokedAt: instant().nullable(),
    ...timestamps(),
  },
})
export type SessionEntity = InferEntity<typeof SessionEntity>

export const AuditEventEntity = defineEntity({
  name: 'AuditEvent',
  tableName: 'audit_events',
  properties: {
    id: p.uuid().primary(),
    actorKind: p.enum(['admin_user', 'admin_token', 'operator', 'file', 'system']),
    actorId: p.text().nullable(),
    action: p.text(),
    subjectKind: p.text(),
    subjectId: p.text(),
    organization: () => p.manyToOne(OrganizationEntity).ref().nullable().deleteRule('no action'),
    requestId: p.uuid().nullable(),
    /** Of the request that has made the change, so that it is made once. */
    idempotencyKey: p.text().nullable(),
    before: jsonObject().nullable(),
    after: jsonObject().nullable(),
    createdAt: now(),
  },
})
export type AuditEventEntity = InferEntity<typeof AuditEventEntity>

/** One start of a process that serves; alive while its heartbeats come. */
export const ReplicaEntity = defineEntity({
  name: 'Replica',
  tableName: 'replicas',
  properties: {
    /** Of the start, not of the machine: `<host>-<8 hexadecimal digits>`. */
    id: p.text().primary(),
    host: p.text(),
    pid: p.integer(),
    version: p.text(),
    /** Which of the processes of one start it is: `main` or `worker-<n>`. */
    label: p.text(),
    startedAt: now(),
    heartbeatAt: now(),
    /** When it said goodbye; a replica that was killed never does. */
    stoppedAt: instant().nullable(),
    ...timestamps(),
  },
})
export type ReplicaEntity = InferEntity<typeof ReplicaEntity>

/** An attempt to sign in that failed, or has not been judged yet. */
export const SignInFailureEntity = defineEntity({
  name: 'SignInFailure',
  tableName: 'sign_in_failures',
  properties: {
    id: p.uuid().primary(),
    account: p.text(),
    clientAddress: p.text(),
    createdAt: now(),
  },
})
export type SignInFailureEntity = InferEntity<typeof SignInFailureEntity>

/** A link by which the first administrator comes in; each start without one has its own. */
export const SetupTokenEntity = defineEntity({
  name: 'SetupToken',
  tableName: 'setup_tokens',
  properties: {
    tokenHash: bytes().primary(),
    expiresAt: instant(),
    createdAt: now(),
  },
})
export type SetupTokenEntity = InferEntity<typeof SetupTokenEntity>

/** Somebody who was sent to the identity provider and has not come back. */
export const OidcLoginEntity = defineEntity({
  name: 'OidcLogin',
  tableName: 'oidc_logins',
  properties: {
    stateHash: bytes().primary(),
    browserHash: bytes(),
    nonce: p.text(),
    codeVerifier: p.text(),
    returnPath: p.text(),
    expiresAt: instant(),
    createdAt: now(),
  },
})
export type OidcLoginEntity = InferEntity<typeof OidcLoginEntity>

/** What was answered to a change that came with an idempotency key; null until it was. */
export const AdminAnswerEntity = defineEntity({
  name: 'AdminAnswer',
  tableName: 'admin_answers',
  properties: {
    id: p.uuid().primary(),
    accountKind: p.enum(['admin_user', 'admin_token']),
    accountId: p.uuid(),
    key: p.text(),
    fingerprint: bytes(),
    ciphertext: bytes().nullable(),
    nonce: bytes().nullable(),
    wrappedDataKey: bytes().nullable(),
    keyEncryptionKeyId: p.text().nullable(),
    createdAt: now(),
  },
})
export type AdminAnswerEntity = InferEntity<typeof AdminAnswerEntity>
