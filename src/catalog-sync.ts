import type { AdminPlaneDeps } from './administration.ts'
import { recordAudit } from './core/access/audit-trail.store.ts'
import { type CatalogSyncResult, syncFromLocation } from './core/catalog/sync.ts'
import type { IdSource } from './core/ids.ts'
import type { Actor } from './core/keys/keys.ts'
import { requestText } from './core/upstream/request.ts'
import type { UpstreamClient } from './core/upstream/upstream-client.ts'

export interface CatalogSyncDeps extends Pick<AdminPlaneDeps, 'config' | 'pools' | 'clock' | 'events'> {
  ids: IdSource
  client: UpstreamClient
}

const syncTimeoutMs = 120_000

/** Looks at the published catalog because somebody wants it, rather than at the next daily look. Throws nothing. */
export function openCatalogSync({ config, pools, clock, events, ids, client }: CatalogSyncDeps) {
  return async (
    allowShrink: boolean,
    actor: Actor,
  ): Promise<CatalogSyncResult | { status: 'broken'; failure: string }> => {
    try {
      await recordAudit(
        pools.admin,
        { id: ids(clock.nowMs()), actor },
        {
          action: 'catalog.sync',
          subjectKind: 'catalog',
          subjectId: 'litellm',
          after: { allowShrink },
        },
      )
      const result = await syncFromLocation(
        { pool: pools.admin, newId: ids, clock, fetchText: (url, options) => requestText(client, url, options) },
        { location: config().catalog.url, allowShrink, signal: AbortSignal.timeout(syncTimeoutMs) },
      )
      if (result.status === 'succeeded' && result.isChanged) events.publish({ type: 'configuration-changed' })
      return result
    } catch (error) {
      return { status: 'broken', failure: (error as Error).message }
    }
  }
}
