import { setTimeout as delay } from 'node:timers/promises'
import type { Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { actorOf } from '../context.ts'
import { enumName } from '../enum-names.ts'
import { payloadError } from '../errors.ts'
import { toGlobalId } from '../global-ids.ts'

/** Less than an operation may take. */
const waitMsMax = 8_000

export const catalogResolvers: Resolvers = {
  Query: {
    async catalogSyncs(_root, { first, after }, { catalog }) {
      const [startedAtText, id] = positionIn(after, 2) ?? []
      const before = startedAtText !== undefined && id !== undefined ? { startedAtText, id } : undefined
      const rows = await catalog.syncs(before, limitOf(first))
      return connectionOf(rows, first, (sync) => [sync.startedAtText, sync.id])
    },
  },
  Mutation: {
    async catalogSyncRun(_root, { input }, context) {
      const running = context.catalog.run(input.allowShrink, actorOf(context))
      const result = await Promise.race([running, delay(waitMsMax, undefined, { ref: false })])
      const conflict = (message: string) => ({
        catalogSync: null,
        isRunning: false,
        errors: [payloadError({ code: 'conflict', message, path: [] })],
      })
      if (!result) return { catalogSync: null, isRunning: true, errors: [] }
      switch (result.status) {
        case 'busy':
          return conflict('Another process is syncing the catalog. Try again in a minute.')
        case 'broken':
          return conflict(`The catalog was not synced: ${result.failure}`)
        case 'current':
          return { catalogSync: null, isRunning: false, errors: [] }
        default: {
          const [sync] = await context.catalog.syncsById([result.syncId])
          return { catalogSync: sync ?? null, isRunning: false, errors: [] }
        }
      }
    },
  },
  CatalogSync: {
    id: ({ id }) => toGlobalId('CatalogSync', id),
    source: ({ source }) => enumName(source),
    status: ({ status }) => enumName(status),
  },
}
