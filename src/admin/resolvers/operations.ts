import type { Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { enumName } from '../enum-names.ts'

export const operationsResolvers: Resolvers = {
  Query: {
    async configVersions(_root, { first, after }, { routing }) {
      const rows = await routing.versions(positionIn(after, 1)?.[0], limitOf(first))
      return connectionOf(rows, first, ({ version }) => [version])
    },
    async replicas(_root, { first, after }, { replicas }) {
      const [startedAtText, id] = positionIn(after, 2) ?? []
      const before = startedAtText !== undefined && id !== undefined ? { startedAtText, id } : undefined
      const rows = await replicas(before, limitOf(first))
      return connectionOf(rows, first, (replica) => [replica.startedAtText, replica.id])
    },
  },
  ConfigVersion: {
    source: ({ source }) => enumName(source),
    status: ({ status }) => enumName(status),
  },
}
