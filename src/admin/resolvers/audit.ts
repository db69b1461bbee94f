import type { Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { toGlobalId } from '../global-ids.ts'

export const auditResolvers: Resolvers = {
  Query: {
    async auditEvents(_root, { first, after, filter }, context) {
      const [createdAtText, id] = positionIn(after, 2) ?? []
      const rows = await context.audit.list({
        visible: context.visible,
        action: filter?.action ?? undefined,
        subjectId: filter?.subjectId ?? undefined,
        since: filter?.since ?? undefined,
        until: filter?.until ?? undefined,
        after: createdAtText !== undefined && id !== undefined ? { createdAtText, id } : undefined,
        limit: limitOf(first),
      })
      return connectionOf(rows, first, (event) => [event.createdAtText, event.id])
    },
  },
  AuditEvent: {
    id: ({ id }) => toGlobalId('AuditEvent', id),
    organization: ({ organizationId }, _args, { loaders }) =>
      organizationId ? loaders.organizations.load(organizationId) : null,
    before: ({ before }) => jsonOf(before),
    after: ({ after }) => jsonOf(after),
  },
}

const jsonOf = (value: unknown): string | null => (value === null || value === undefined ? null : JSON.stringify(value))
