import { type Scope, scopeOf } from '../../core/access/principal.ts'
import type { LimitOwner } from '../../core/limits/managed-limits.store.ts'
import type { Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { type AdminContext, actorOf, visibleKey } from '../context.ts'
import { enumName } from '../enum-names.ts'
import { notFound, payloadError } from '../errors.ts'
import { fromGlobalId, idOf, toGlobalId } from '../global-ids.ts'
import { found } from './tenants.ts'

export const limitResolvers: Resolvers = {
  Query: {
    async rateLimits(_root, { first, after }, context) {
      const rows = await context.limits.page({
        visible: context.visible,
        after: positionIn(after, 1)?.[0],
        limit: limitOf(first),
      })
      return connectionOf(rows, first, ({ id }) => [id])
    },
  },

  Mutation: {
    async rateLimitSet(_root, { input }, context) {
      const owner = await ownedBy(input.ownerId, context)
      if (!context.may('editor', owner?.place) || !owner) {
        return { rateLimit: null, errors: [notFound('key, team or organization', 'ownerId')] }
      }
      const { requestsPerMinute, tokensPerMinute, maxConcurrent, algorithm, strict } = input
      const draft = {
        requestsPerMinute: numberIn(requestsPerMinute),
        tokensPerMinute: numberIn(tokensPerMinute),
        maxConcurrent: maxConcurrent ?? undefined,
        algorithm: algorithm === 'TOKEN_BUCKET' ? ('token_bucket' as const) : ('sliding_window' as const),
        strict,
      }
      const set = await context.limits.set(owner.limitOwner, draft, actorOf(context))
      if (!set.ok) return { rateLimit: null, errors: set.refusals.map(payloadError) }
      return { rateLimit: (await context.limits.byId([set.value]))[0] ?? null, errors: [] }
    },
    async rateLimitRemove(_root, { input }, context) {
      const id = idOf('RateLimit', input.rateLimitId)
      const [limit] = id === undefined ? [] : await context.limits.byId([id])
      if (!context.may('editor', limit && scopeOf(limit.organizationId, limit.teamId)) || !limit) {
        return { removed: false, errors: [notFound('rate limit', 'rateLimitId')] }
      }
      const gone = await context.limits.remove(limit.id, actorOf(context))
      return { removed: gone.ok, errors: gone.ok ? [] : gone.refusals.map(payloadError) }
    },
  },

  RateLimit: {
    id: ({ id }) => toGlobalId('RateLimit', id),
    organization: ({ organizationId }, _args, { loaders }) => found(loaders.organizations.load(organizationId)),
    team: ({ teamId }, _args, { loaders }) => (teamId ? loaders.teams.load(teamId) : null),
    apiKey: ({ keyId }, _args, context) => visibleKey(keyId, context),
    requestsPerMinute: ({ limit }) => textOf(limit.requestsPerMinute),
    tokensPerMinute: ({ limit }) => textOf(limit.tokensPerMinute),
    maxConcurrent: ({ limit }) => limit.maxConcurrent ?? null,
    algorithm: ({ limit }) => enumName(limit.algorithm),
    strict: ({ limit }) => limit.strict,
    managedBy: ({ managedBy }) => enumName(managedBy),
    async current({ organizationId, limit }, _args, { limitUse }) {
      const [use] = await limitUse(organizationId, [limit])
      if (!use || use.degraded) return null
      return { requests: textOf(use.requests), tokens: textOf(use.tokens), running: textOf(use.running) }
    },
  },
}

/** What limits and budgets may be of. @returns undefined when nothing has this id */
export async function ownedBy(
  globalId: string,
  { loaders, keys }: AdminContext,
): Promise<{ place: Scope; limitOwner: LimitOwner } | undefined> {
  const owner = fromGlobalId(globalId)
  switch (owner?.type) {
    case 'Organization': {
      const organization = await loaders.organizations.load(owner.id)
      if (!organization) return undefined
      const { id } = organization
      return { place: scopeOf(id, null), limitOwner: { scope: 'organization', id, organizationId: id } }
    }
    case 'Team': {
      const team = await loaders.teams.load(owner.id)
      if (!team) return undefined
      const { id, organizationId } = team
      return { place: scopeOf(organizationId, id), limitOwner: { scope: 'team', id, organizationId } }
    }
    case 'ApiKey': {
      const key = await keys.get(owner.id)
      if (!key) return undefined
      const organizationId = key.organization.id
      return { place: scopeOf(organizationId, key.team?.id), limitOwner: { scope: 'key', id: key.id, organizationId } }
    }
    default:
      return undefined
  }
}

const numberIn = (value: bigint | string | null | undefined): number | undefined =>
  value === null || value === undefined ? undefined : Number(value)

const textOf = (value: number | undefined): string | null => (value === undefined ? null : String(Math.ceil(value)))
