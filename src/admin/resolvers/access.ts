import { globalScope, type Role, type Scope, scopeOf } from '../../core/access/principal.ts'
import type { SessionRow } from '../../core/access/sign-in.store.ts'
import type { SignedIn, SignInRefused } from '../../core/access/sign-in.ts'
import type { Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { type AdminContext, actorOf, viewerOf } from '../context.ts'
import { adminError, badInput, notFound, payloadError, signInError } from '../errors.ts'
import { fromGlobalId, idOf, toGlobalId } from '../global-ids.ts'
import { singleSignOnPath } from '../single-sign-on.ts'

/** A session, seen from one of them. */
export interface ViewerSession extends SessionRow {
  isCurrent: boolean
}

const roleNames = { viewer: 'VIEWER', editor: 'EDITOR', admin: 'ADMIN' } as const satisfies Record<Role, string>

const searchLengthMax = 200

export const searchOf = (search: string | null | undefined): string | undefined => {
  if (search && search.length > searchLengthMax) throw badInput(`search has at most ${searchLengthMax} characters.`)
  return search || undefined
}

export const accessResolvers: Resolvers = {
  Query: {
    viewer: (_root, _args, context) => viewerOf(context),
    signInOptions: (_root, _args, { singleSignOn: { name } }) => ({
      singleSignOn: name === undefined ? null : { name, url: singleSignOnPath },
    }),
    async adminUsers(_root, { first, after, search }, { tenants }) {
      const [position] = positionIn(after, 1) ?? []
      const rows = await tenants.users({ search: searchOf(search), after: position, limit: limitOf(first) })
      return connectionOf(rows, first, ({ email }) => [email])
    },
    async serviceTokens(_root, { first, after }, { tenants }) {
      const [position] = positionIn(after, 1) ?? []
      const rows = await tenants.serviceTokens({ search: undefined, after: position, limit: limitOf(first) })
      return connectionOf(rows, first, ({ serviceName }) => [serviceName])
    },
  },

  Mutation: {
    async firstAdministratorCreate(_root, { input }, { signIn, client }) {
      const { token, email, displayName, password } = input
      const made = await signIn.createFirst({ email, displayName, password, setupToken: token }, client)
      return { created: made.ok, errors: made.ok ? [] : [signInError(made)] }
    },
    async sessionSignIn(_root, { input }, context) {
      return signedIn(context, await context.signIn.withPassword(input.email, input.password, context.client))
    },
    async sessionSignInAsService(_root, { input }, context) {
      return signedIn(context, await context.signIn.withServiceToken(input.serviceName, input.token, context.client))
    },
    async sessionRefresh(_root, _args, context) {
      const { cookie, signIn, client } = context
      if (!cookie.isFromOurPages) {
        throw adminError('FORBIDDEN', 'Refreshing needs the header x-llmgw-csrf and an Origin of LLMGW_ADMIN_ORIGINS.')
      }
      return signedIn(context, await signIn.refresh(cookie.read() ?? '', client))
    },
    async sessionSignOut(_root, _args, context) {
      context.cookie.clear()
      const viewer = viewerOf(context)
      return { ended: await context.signIn.end(viewer, viewer.sessionId, context.client) }
    },
    async sessionSignOutEverywhere(_root, _args, context) {
      context.cookie.clear()
      return { ended: await context.signIn.end(viewerOf(context), undefined, context.client) }
    },
    async sessionEnd(_root, { input }, context) {
      const id = idOf('Session', input.sessionId)
      return { ended: id === undefined ? 0 : await context.signIn.end(viewerOf(context), id, context.client) }
    },
    async passwordChange(_root, { input }, context) {
      const { currentPassword, newPassword } = input
      const changed = await context.signIn.changePassword(
        viewerOf(context),
        currentPassword,
        newPassword,
        context.client,
      )
      return { changed: changed.ok, errors: changed.ok ? [] : [signInError(changed)] }
    },
    async adminUserCreate(_root, { input }, context) {
      const made = await context.administration.createUser(input, actorOf(context))
      return made.ok ? { adminUser: made.value, errors: [] } : { adminUser: null, errors: [payloadError(made.refusal)] }
    },
    async adminUserSetPassword(_root, { input }, context) {
      const id = idOf('AdminUser', input.adminUserId)
      if (id === undefined) return { adminUser: null, errors: [notFound('account', 'adminUserId')] }
      const changed = await context.administration.setUserPassword(id, input.password, actorOf(context))
      return changed.ok
        ? { adminUser: changed.value, errors: [] }
        : { adminUser: null, errors: [payloadError(changed.refusal)] }
    },
    async adminUserSetEnabled(_root, { input }, context) {
      const id = idOf('AdminUser', input.adminUserId)
      if (id === undefined) return { adminUser: null, errors: [notFound('account', 'adminUserId')] }
      const changed = await context.administration.setUserEnabled(id, input.enabled, actorOf(context))
      return changed.ok
        ? { adminUser: changed.value, errors: [] }
        : { adminUser: null, errors: [payloadError(changed.refusal)] }
    },
    async serviceTokenCreate(_root, { input }, context) {
      const { serviceName, expiresAt } = input
      const draft = { serviceName, expiresAtMs: expiresAt?.getTime() }
      const made = await context.administration.createServiceToken(draft, actorOf(context))
      return made.ok
        ? { ...made.value, errors: [] }
        : { serviceToken: null, token: null, errors: [payloadError(made.refusal)] }
    },
    async serviceTokenRevoke(_root, { input }, context) {
      const id = idOf('ServiceToken', input.serviceTokenId)
      if (id === undefined) return { serviceToken: null, errors: [notFound('service token', 'serviceTokenId')] }
      const changed = await context.administration.revokeServiceToken(id, actorOf(context))
      return changed.ok
        ? { serviceToken: changed.value, errors: [] }
        : { serviceToken: null, errors: [payloadError(changed.refusal)] }
    },
    async roleGrant(_root, { input }, context) {
      const scope = await scopeFrom(input.scopeId, context)
      if (!context.may('admin', scope) || !scope) {
        return { roleBinding: null, errors: [notFound('organization or team', 'scopeId')] }
      }
      const grantee = await granteeFrom(input.granteeId, context)
      if (!grantee) return { roleBinding: null, errors: [notFound('account', 'granteeId')] }
      const grant = { ...grantee, role: input.role.toLowerCase() as Role, scope }
      const made = await context.administration.grantRole(grant, viewerOf(context), actorOf(context))
      if (!made) return { roleBinding: null, errors: [notFound('organization or team', 'scopeId')] }
      return made.ok
        ? { roleBinding: made.value, errors: [] }
        : { roleBinding: null, errors: [payloadError(made.refusal)] }
    },
    async roleRevoke(_root, { input }, context) {
      const id = idOf('RoleBinding', input.roleBindingId)
      const binding = id === undefined ? undefined : await context.tenants.bindingById(id)
      const done = { revoked: false, errors: [notFound('role', 'roleBindingId')] }
      if (!context.may('admin', binding?.scope) || !binding) return done
      const revoked = await context.administration.revokeRole(binding, viewerOf(context), actorOf(context))
      if (!revoked) return done
      return revoked.ok ? { revoked: true, errors: [] } : { revoked: false, errors: [payloadError(revoked.refusal)] }
    },
  },

  Viewer: {
    kind: ({ kind }) => (kind === 'admin_user' ? 'ADMIN_USER' : 'SERVICE'),
    roles: ({ grants }) =>
      grants.map(({ role, scope }) => ({
        role: roleNames[role],
        organizationId: scope.kind === 'organization' ? toGlobalId('Organization', scope.organizationId) : null,
        teamId: scope.kind === 'team' ? toGlobalId('Team', scope.teamId) : null,
      })),
    async sessions(viewer, _args, { signIn }) {
      const sessions = await signIn.sessions(viewer)
      return sessions.map((session) => ({ ...session, isCurrent: session.id === viewer.sessionId }))
    },
  },
  Session: { id: ({ id }) => toGlobalId('Session', id) },
  AdminUser: {
    id: ({ id }) => toGlobalId('AdminUser', id),
    roles: ({ id }, _args, { loaders }) => loaders.bindingsOfUsers.load(id),
  },
  ServiceToken: {
    id: ({ id }) => toGlobalId('ServiceToken', id),
    roles: ({ id }, _args, { loaders }) => loaders.bindingsOfTokens.load(id),
  },
  RoleBinding: {
    id: ({ id }) => toGlobalId('RoleBinding', id),
    role: ({ role }) => roleNames[role],
    organization: ({ scope }, _args, { loaders }) =>
      scope.kind === 'organization' ? loaders.organizations.load(scope.organizationId) : null,
    team: ({ scope }, _args, { loaders }) => (scope.kind === 'team' ? loaders.teams.load(scope.teamId) : null),
  },
}

function signedIn({ cookie }: AdminContext, outcome: SignedIn | SignInRefused) {
  if (!outcome.ok) return { accessToken: null, expiresAt: null, errors: [signInError(outcome)] }
  cookie.set(outcome.refreshToken)
  return { accessToken: outcome.accessToken, expiresAt: new Date(outcome.expiresAtMs), errors: [] }
}

/** @returns undefined when nothing has this id */
export async function scopeFrom(
  globalId: string | null | undefined,
  { loaders }: AdminContext,
): Promise<Scope | undefined> {
  if (globalId === null || globalId === undefined) return globalScope
  const found = fromGlobalId(globalId)
  if (found?.type === 'Organization') {
    const organization = await loaders.organizations.load(found.id)
    return organization ? scopeOf(organization.id, null) : undefined
  }
  if (found?.type !== 'Team') return undefined
  const team = await loaders.teams.load(found.id)
  return team ? scopeOf(team.organizationId, team.id) : undefined
}

async function granteeFrom(globalId: string, { loaders }: AdminContext) {
  const found = fromGlobalId(globalId)
  if (found?.type === 'AdminUser') {
    const user = await loaders.users.load(found.id)
    return user && { kind: 'admin_user' as const, accountId: user.id }
  }
  const token = found?.type === 'ServiceToken' ? await loaders.serviceTokens.load(found.id) : undefined
  return token && { kind: 'admin_token' as const, accountId: token.id }
}
