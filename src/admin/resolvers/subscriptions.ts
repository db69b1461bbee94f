import type { AuditEvent } from '../../core/access/audit-events.store.ts'
import { globalScope, holds, scopeOf } from '../../core/access/principal.ts'
import type { PlacedBudget } from '../../core/budgets/budgets.store.ts'
import type { ListedVersion } from '../../core/routing/listed-routing.store.ts'
import type { ReportedCall } from '../../core/usage/usage-reports.store.ts'
import type { Resolvers } from '../../generated/graphql.ts'
import { viewerOf } from '../context.ts'
import { badInput } from '../errors.ts'
import type { ProviderHealthChange } from '../feeds/provider-health.ts'
import type { UsageDifference } from '../feeds/usage-totals.ts'
import { idOf } from '../global-ids.ts'
import { placeOf } from './budgets.ts'
import { ownerIds } from './keys.ts'
import { shownHealth } from './providers.ts'
import { keyIdOf, recordFilterOf } from './usage.ts'

const intervalSecondsMax = 60

export const subscriptionResolvers: Resolvers = {
  Subscription: {
    usageTotals: {
      subscribe(_root, { intervalSeconds, ownerId, apiKeyId }, context) {
        return context.feeds.usageTotals.subscribe({
          visible: context.visible,
          intervalS: intervalIn(intervalSeconds),
          organizationId: undefined,
          teamId: undefined,
          ...ownerIds(ownerId),
          keyId: keyIdOf(apiKeyId),
        })
      },
      resolve: (difference: UsageDifference) => difference,
    },
    usageRecorded: {
      subscribe: (_root, { filter }, context) =>
        context.feeds.recordedUsage.subscribe(viewerOf(context), recordFilterOf(filter), context),
      resolve: (call: ReportedCall) => call,
    },
    budgetChanged: {
      async subscribe(_root, { budgetId }, context) {
        if (!budgetId) return context.feeds.budgets.subscribe(context.visible, undefined, context)
        const id = idOf('Budget', budgetId)
        const [budget] = id === undefined ? [] : await context.budgets.byId([id])
        const isVisible = budget && holds(viewerOf(context).grants, 'viewer', placeOf(budget))
        if (!isVisible) throw badInput('There is no such budget.')
        return context.feeds.budgets.subscribe(context.visible, budget.id, context)
      },
      resolve: (budget: PlacedBudget) => budget,
    },
    providerHealthChanged: {
      subscribe: (_root, _args, context) => context.feeds.providerHealth.subscribe(context),
      resolve: (change: ProviderHealthChange) => change,
    },
    auditEventAdded: {
      subscribe(_root, { action }, context) {
        const { grants } = viewerOf(context)
        return context.feeds.auditEvents.subscribe(
          (event) =>
            (!action || event.action === action) &&
            holds(grants, 'viewer', event.organizationId === null ? globalScope : scopeOf(event.organizationId, null)),
          context,
        )
      },
      resolve: (event: AuditEvent) => event,
    },
    configChanged: {
      subscribe: (_root, _args, context) => context.feeds.configVersions.subscribe(() => true, context),
      resolve: (version: ListedVersion) => version,
    },
  },
  ProviderHealthChange: {
    provider: ({ status }, _args, { loaders }) => loaders.providersByName.load(status.provider),
    health: ({ process, status }) => shownHealth(process, status),
  },
}

function intervalIn(seconds: number): number {
  if (Number.isInteger(seconds) && seconds >= 1 && seconds <= intervalSecondsMax) return seconds
  throw badInput(`intervalSeconds must be a whole number from 1 to ${intervalSecondsMax}.`)
}
