import { scopeOf } from '../../core/access/principal.ts'
import type { Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { actorOf } from '../context.ts'
import { notFound, payloadError } from '../errors.ts'
import { idOf, toGlobalId } from '../global-ids.ts'
import { searchOf } from './access.ts'

export const tenantResolvers: Resolvers = {
  Query: {
    async organizations(_root, { first, after, search }, context) {
      const rows = await context.tenants.organizations({
        visible: context.visible,
        search: searchOf(search),
        after: positionIn(after, 1)?.[0],
        limit: limitOf(first),
      })
      return connectionOf(rows, first, ({ slug }) => [slug])
    },
  },

  Mutation: {
    async organizationCreate(_root, { input }, context) {
      const made = await context.administration.createOrganization(input, actorOf(context))
      return made.ok
        ? { organization: made.value, errors: [] }
        : { organization: null, errors: [payloadError(made.refusal)] }
    },
    async organizationUpdate(_root, { input }, context) {
      const id = idOf('Organization', input.organizationId)
      const organization = id === undefined ? null : await context.loaders.organizations.load(id)
      if (!context.may('admin', organization ? scopeOf(organization.id, null) : undefined) || !organization) {
        return { organization: null, errors: [notFound('organization', 'organizationId')] }
      }
      const done = await context.administration.renameOrganization(organization.id, input.name, actorOf(context))
      return done.ok
        ? { organization: done.value, errors: [] }
        : { organization: null, errors: [payloadError(done.refusal)] }
    },
    async teamUpdate(_root, { input }, context) {
      const id = idOf('Team', input.teamId)
      const team = id === undefined ? null : await context.loaders.teams.load(id)
      if (!context.may('admin', team ? scopeOf(team.organizationId, team.id) : undefined) || !team) {
        return { team: null, errors: [notFound('team', 'teamId')] }
      }
      const done = await context.administration.renameTeam(team.id, input.name, actorOf(context))
      return done.ok ? { team: done.value, errors: [] } : { team: null, errors: [payloadError(done.refusal)] }
    },
    async teamCreate(_root, { input }, context) {
      const id = idOf('Organization', input.organizationId)
      const organization = id === undefined ? null : await context.loaders.organizations.load(id)
      if (!context.may('admin', organization ? scopeOf(organization.id, null) : undefined) || !organization) {
        return { team: null, errors: [notFound('organization', 'organizationId')] }
      }
      const { slug, name } = input
      const draft = { organizationId: organization.id, slug, name }
      const made = await context.administration.createTeam(draft, actorOf(context))
      return made.ok ? { team: made.value, errors: [] } : { team: null, errors: [payloadError(made.refusal)] }
    },
  },

  Organization: {
    id: ({ id }) => toGlobalId('Organization', id),
    teams: ({ id }, _args, { loaders }) => loaders.teamsOf.load(id),
    rateLimit: ({ id }, _args, { loaders }) => loaders.rateLimits.load(id),
  },
  Team: {
    id: ({ id }) => toGlobalId('Team', id),
    organization: ({ organizationId }, _args, { loaders }) => found(loaders.organizations.load(organizationId)),
    rateLimit: ({ id }, _args, { loaders }) => loaders.rateLimits.load(id),
  },
}

/** Of what a foreign key names. */
export async function found<Row>(row: Promise<Row | null>): Promise<Row> {
  const read = await row
  if (read === null) throw new Error('A row that another one names is not there.')
  return read
}
