import type { Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'

export const providerResolvers: Resolvers = {
  Query: {
    async providers(_root, { first, after }, context) {
      const [position] = positionIn(after, 1) ?? []
      const limit = limitOf(first)
      // There are few of them, so they are read whole.
      const rows = (await context.providers()).filter(({ name }) => position === undefined || name > position)
      rows.sort((a, b) => (a.name < b.name ? -1 : 1))
      return connectionOf(rows.slice(0, limit), first, ({ name }) => [name])
    },
  },
  Provider: {
    credentials: ({ credentials }) => [...credentials],
    health: ({ name }, _args, { upstreams }) =>
      upstreams().flatMap(({ process, upstreams: known }) =>
        known
          .filter(({ provider }) => provider === name)
          .map((status) => ({
            process,
            credentialAccepted: status.credential === 'accepted',
            attemptsInFlight: status.attemptsInFlight,
            modelsInTrouble: status.modelsInTrouble,
          })),
      ),
  },
}
