import { covers, globalScope, holds, type Principal, type Scope, scopeOf } from '../../core/access/principal.ts'
import type { Resolvers } from '../../generated/graphql.ts'
import { type AdminContext, viewerOf } from '../context.ts'
import { fromGlobalId, type NodeType, nodeTypes } from '../global-ids.ts'
import { placeOf } from './budgets.ts'

interface Reader {
  read(id: string, context: AdminContext): Promise<object | null | undefined>
  /** Whether the viewer may see what was read. */
  isVisible(viewer: Principal, node: never): boolean
}

const inScope = (viewer: Principal, scope: Scope): boolean => holds(viewer.grants, 'viewer', scope)
const administersAll = (viewer: Principal): boolean => holds(viewer.grants, 'admin', globalScope)

const readers: Readonly<Record<NodeType, Reader>> = {
  AdminUser: { read: (id, { loaders }) => loaders.users.load(id), isVisible: administersAll },
  ServiceToken: { read: (id, { loaders }) => loaders.serviceTokens.load(id), isVisible: administersAll },
  Organization: {
    read: (id, { loaders }) => loaders.organizations.load(id),
    // Also as the place of a team that the viewer may see.
    isVisible: ({ grants }, { id }: { id: string }) =>
      grants.some(
        ({ scope }) => covers(scope, scopeOf(id, null)) || (scope.kind === 'team' && scope.organizationId === id),
      ),
  },
  Team: {
    read: (id, { loaders }) => loaders.teams.load(id),
    isVisible: (viewer, team: { organizationId: string; id: string }) =>
      inScope(viewer, scopeOf(team.organizationId, team.id)),
  },
  ApiKey: {
    read: (id, { loaders }) => loaders.keys.load(id),
    isVisible: (viewer, key: { organization: { id: string }; team?: { id: string } | undefined }) =>
      inScope(viewer, scopeOf(key.organization.id, key.team?.id)),
  },
  UsageRecord: {
    read: async (id, { usage }) => (await usage.recordsById([id]))[0],
    isVisible: (viewer, call: { organizationId: string; teamId: string | null }) =>
      inScope(viewer, scopeOf(call.organizationId, call.teamId)),
  },
  RateLimit: {
    read: async (id, { limits }) => (await limits.byId([id]))[0],
    isVisible: (viewer, { organizationId, teamId }: { organizationId: string; teamId: string | null }) =>
      inScope(viewer, scopeOf(organizationId, teamId)),
  },
  Budget: {
    read: async (id, { budgets }) => (await budgets.byId([id]))[0],
    isVisible: (viewer, budget: { organizationId: string | null; teamId: string | null }) =>
      inScope(viewer, placeOf(budget)),
  },
  Provider: {
    read: (id, { loaders }) => loaders.providers.load(id),
    isVisible: (viewer) => inScope(viewer, globalScope),
  },
  Alias: {
    read: async (id, { routing }) => (await routing.aliasesById([id]))[0],
    isVisible: (viewer) => inScope(viewer, globalScope),
  },
  CatalogSync: {
    read: async (id, { catalog }) => (await catalog.syncsById([id]))[0],
    isVisible: (viewer) => inScope(viewer, globalScope),
  },
  // The catalog is everybody's.
  Model: { read: async (id, { models }) => (await models.byId([id]))[0], isVisible: ({ grants }) => grants.length > 0 },
  AuditEvent: {
    read: async (id, { audit }) => (await audit.byId([id]))[0],
    isVisible: (viewer, event: { organizationId: string | null }) =>
      inScope(viewer, event.organizationId === null ? globalScope : scopeOf(event.organizationId, null)),
  },
}

export const nodeResolvers: Resolvers = {
  Query: {
    async node(_root, { id: globalId }, context) {
      const wanted = fromGlobalId(globalId)
      const type = nodeTypes.find((name) => name === wanted?.type)
      if (!wanted || !type) return null
      const { read, isVisible } = readers[type]
      const node = await read(wanted.id, context)
      return node && isVisible(viewerOf(context), node as never) ? ({ __typename: type, ...node } as never) : null
    },
  },
}
