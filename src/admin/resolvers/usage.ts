import { holds, scopeOf } from '../../core/access/principal.ts'
import { formatUsd } from '../../core/money.ts'
import type { RecordFilter, UsageDimension, UsageInterval } from '../../core/usage/usage-reports.store.ts'
import type { Resolvers, UsageFilter } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { viewerOf, visibleKey } from '../context.ts'
import { badInput } from '../errors.ts'
import { idOf, toGlobalId } from '../global-ids.ts'
import { ownerIds, tagsOf } from './keys.ts'
import { found } from './tenants.ts'

const rowsMax = 1_000
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

export const money = (nano: string) => ({ nanoUsd: nano, usd: formatUsd(BigInt(nano)) })

export function keyIdOf(globalId: string | null | undefined): string | undefined {
  if (!globalId) return undefined
  const id = idOf('ApiKey', globalId)
  if (id === undefined) throw badInput('apiKeyId is not of an ApiKey.')
  return id
}

export function recordFilterOf(filter: UsageFilter | null | undefined): RecordFilter {
  const cost = filter?.costAtLeastNanoUsd
  return {
    since: filter?.since ?? undefined,
    until: filter?.until ?? undefined,
    ...ownerIds(filter?.ownerId),
    keyId: keyIdOf(filter?.apiKeyId),
    provider: filter?.provider ?? undefined,
    model: filter?.model ?? undefined,
    alias: filter?.alias ?? undefined,
    tag: filter?.tag ?? undefined,
    failed: filter?.failed ?? undefined,
    finish: filter?.finish ?? undefined,
    errorCode: filter?.errorCode ?? undefined,
    clientRequestId: filter?.clientRequestId ?? undefined,
    costAtLeastNano: cost === null || cost === undefined ? undefined : BigInt(cost),
  }
}

export const usageResolvers: Resolvers = {
  Query: {
    async usageRecord(_root, { requestId }, context) {
      const [call] = uuid.test(requestId) ? await context.usage.recordsById([requestId.toLowerCase()]) : []
      const isVisible = call && holds(viewerOf(context).grants, 'viewer', scopeOf(call.organizationId, call.teamId))
      return isVisible ? call : null
    },
    async usageRecords(_root, { first, after, filter }, context) {
      const [reservedAtText, requestId] = positionIn(after, 2) ?? []
      const rows = await context.usage.records({
        visible: context.visible,
        filter: recordFilterOf(filter),
        after: reservedAtText !== undefined && requestId !== undefined ? { reservedAtText, requestId } : undefined,
        limit: limitOf(first),
      })
      return connectionOf(rows, first, (row) => [row.reservedAtText, row.requestId])
    },
    async usageStatistics(_root, { since, until, interval, by, ownerId, apiKeyId, tagName }, context) {
      if (by.includes('TAG') && !tagName) throw badInput('tagName says which tag TAG is about.')
      if (tagName && (apiKeyId || by.includes('API_KEY') || by.includes('ALIAS'))) {
        throw badInput('Sums by tag know neither keys nor aliases; ask for them without tagName.')
      }
      const rows = await context.usage.sums({
        visible: context.visible,
        since,
        until: until ?? new Date(context.clock.nowMs()),
        interval: interval.toLowerCase() as UsageInterval,
        by: by.map((dimension) => dimension.toLowerCase() as UsageDimension),
        organizationId: undefined,
        teamId: undefined,
        ...ownerIds(ownerId),
        keyId: keyIdOf(apiKeyId),
        tagName: tagName ?? undefined,
        limit: rowsMax + 1,
      })
      return { rows: rows.slice(0, rowsMax), isTruncated: rows.length > rowsMax }
    },
  },

  UsageTotals: { cost: ({ costNano }) => money(costNano.toString()) },

  UsageRecord: {
    id: ({ requestId }) => toGlobalId('UsageRecord', requestId),
    organization: ({ organizationId }, _args, { loaders }) => found(loaders.organizations.load(organizationId)),
    team: ({ teamId }, _args, { loaders }) => (teamId ? loaders.teams.load(teamId) : null),
    apiKey: ({ keyId }, _args, context) => visibleKey(keyId, context),
    callerApiKey: ({ callerKeyId }, _args, context) => visibleKey(callerKeyId, context),
    cost: ({ costNano }) => money(costNano),
    reserved: ({ reservedNano }) => money(reservedNano),
    tags: ({ tags }) => tagsOf(tags),
    attempts: (call, _args, { loaders }) => loaders.attempts.load(call),
    ledgerEntries: (call, _args, { loaders }) => loaders.ledgerEntries.load(call),
  },
  UsageAttempt: {
    units: ({ units }) => Object.entries(units).map(([kind, count]) => ({ kind, count: String(count) })),
    cost: ({ costNano }) => money(costNano),
  },
  LedgerEntry: { amount: ({ amountNano }) => money(amountNano) },
  UsageSums: {
    organization: ({ organizationId }, _args, { loaders }) =>
      organizationId ? loaders.organizations.load(organizationId) : null,
    team: ({ teamId }, _args, { loaders }) => (teamId ? loaders.teams.load(teamId) : null),
    apiKey: ({ keyId }, _args, context) => visibleKey(keyId, context),
    cost: ({ costNano }) => money(costNano),
  },
}
