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

/** The way in for the first administrator; one row. */
export const SetupTokenEntity = defineEntity({
  name: 'SetupToken',
  tableName: 'setup_tokens',
  properties: {
    id: p.smallint().primary().autoincrement(false).default(1),
    tokenHash: bytes().hidden(),
    expiresAt: instant(),
    createdAt: now(),
  },
})
export type SetupTokenEntity = InferEntity<typeof SetupTokenEntity>
