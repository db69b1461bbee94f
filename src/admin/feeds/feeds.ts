import type { AuditEvents } from '../../core/access/audit-events.store.ts'
import type { BudgetStore } from '../../core/budgets/budgets.store.ts'
import type { EventBus, GatewayEvent } from '../../core/events/event-bus.ts'
import type { UpstreamStatus } from '../../core/health/upstream-status.ts'
import type { Log } from '../../core/log.ts'
import type { ListedRouting } from '../../core/routing/listed-routing.store.ts'
import type { UsageReports } from '../../core/usage/usage-reports.store.ts'
import type { Feeds } from '../context.ts'
import { createBudgetFeed } from './budget-standings.ts'
import { createNewRowsFeed } from './new-rows.ts'
import { createProviderHealthFeed } from './provider-health.ts'
import { createRecordedUsageFeed } from './recorded-usage.ts'
import { createUsageFeed } from './usage-totals.ts'

export interface FeedsDeps {
  usage: UsageReports
  audit: AuditEvents
  budgets: BudgetStore
  routing: ListedRouting
  events: EventBus
  /** Of this start. */
  upstreams(): readonly { process: string; upstreams: readonly UpstreamStatus[] }[]
  log: Log
}

/** Everything that subscriptions read. What others change is looked for every two seconds, or when they say so. */
export function openFeeds({ usage, audit, budgets, routing, events, upstreams, log }: FeedsDeps): Feeds {
  const on =
    (...types: GatewayEvent['type'][]) =>
    (look: () => void) =>
      events.subscribe(({ type }) => void (types.includes(type) && look()))
  return {
    usageTotals: createUsageFeed({ usage, log }),
    recordedUsage: createRecordedUsageFeed({ usage, events, log }),
    budgets: createBudgetFeed({ budgets, log }),
    providerHealth: createProviderHealthFeed({ events, upstreams }),
    auditEvents: createNewRowsFeed({
      read: (ms) => audit.latest(ms),
      idOf: ({ id }) => id,
      onHint: on('configuration-changed', 'key-changed', 'key-policy-changed'),
      log,
    }),
    configVersions: createNewRowsFeed({
      read: (ms) => routing.latestVersions(ms),
      idOf: ({ version }) => version,
      onHint: on('configuration-changed'),
      log,
    }),
  }
}
