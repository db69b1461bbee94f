import { globalScope, type Scope, scopeOf } from '../../core/access/principal.ts'
import type { PlacedBudget, RaiseRefusal } from '../../core/budgets/budgets.store.ts'
import type { BudgetOutcome } from '../../core/budgets/managed-budgets.store.ts'
import type { BudgetMode, BudgetPeriod, BudgetScope, Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { type AdminContext, actorOf, visibleKey } from '../context.ts'
import { enumName } from '../enum-names.ts'
import { badInput, notFound, type PayloadError, payloadError } from '../errors.ts'
import { idOf, toGlobalId } from '../global-ids.ts'
import { ownedBy } from './limits.ts'
import { money } from './usage.ts'

/** Whose budget it is; that of a tag anywhere is everybody's, so only who may decide for all may touch it. */
export const placeOf = ({ organizationId, teamId }: { organizationId: string | null; teamId: string | null }): Scope =>
  organizationId === null ? globalScope : scopeOf(organizationId, teamId)

const raiseErrors: Readonly<Record<RaiseRefusal['reason'], PayloadError>> = {
  not_found: notFound('budget', 'budgetId'),
  declared: payloadError({
    code: 'managed_by_file',
    message: 'The configuration file has given it a raise that is not over; change it there.',
    path: ['budgetId'],
  }),
  past: payloadError({ code: 'invalid', message: 'That time has passed.', path: ['until'] }),
}

export const budgetResolvers: Resolvers = {
  Query: {
    async budgets(_root, { first, after }, context) {
      const rows = await context.budgets.page({
        visible: context.visible,
        after: positionIn(after, 1)?.[0],
        limit: limitOf(first),
      })
      return connectionOf(rows, first, ({ id }) => [id])
    },
  },
  Mutation: {
    async budgetCreate(_root, { input }, context) {
      const { ownerId, tag, period, timeZone, mode, amountNanoUsd, alertThresholdsPercent } = input
      const owned = ownerId ? await ownedBy(ownerId, context) : undefined
      const place = ownerId ? owned?.place : globalScope
      if (!context.may('editor', place) || (ownerId && !owned)) {
        return { budget: null, errors: [notFound('key, team or organization', 'ownerId')] }
      }
      if (!owned && !tag) throw badInput('A budget has an owner, or a tag.')
      const owner = owned?.limitOwner
      if (tag && owner && owner.scope !== 'organization') {
        throw badInput('The budget of a tag is for an organization, or for all.')
      }
      const made = await context.managedBudgets.create(
        {
          owner: {
            keyId: owner?.scope === 'key' ? owner.id : undefined,
            teamId: owner?.scope === 'team' ? owner.id : undefined,
            organizationId: owner?.scope === 'organization' ? owner.id : undefined,
            tag: tag ?? undefined,
            placeOrganizationId: owner?.organizationId,
          },
          period: period.toLowerCase() as Lowercase<BudgetPeriod>,
          timeZone,
          mode: mode.toLowerCase() as Lowercase<BudgetMode>,
          amountNano: BigInt(amountNanoUsd),
          alertThresholdsPercent: ascending(alertThresholdsPercent),
        },
        actorOf(context),
      )
      return changedBudget(made, context)
    },
    async budgetUpdate(_root, { input }, context) {
      const budget = await editableBudget(input.budgetId, context)
      if (!budget) return { budget: null, errors: [raiseErrors.not_found] }
      const { mode, amountNanoUsd, alertThresholdsPercent: percent } = input
      const patch = {
        mode: mode ? (mode.toLowerCase() as Lowercase<BudgetMode>) : undefined,
        amountNano: amountNanoUsd === null || amountNanoUsd === undefined ? undefined : BigInt(amountNanoUsd),
        alertThresholdsPercent: percent ? ascending(percent) : undefined,
      }
      return changedBudget(await context.managedBudgets.update(budget.id, patch, actorOf(context)), context)
    },
    async budgetDelete(_root, { input }, context) {
      const budget = await editableBudget(input.budgetId, context)
      if (!budget) return { deleted: false, errors: [raiseErrors.not_found] }
      const gone = await context.managedBudgets.remove(budget.id, actorOf(context))
      return { deleted: gone.ok, errors: gone.ok ? [] : gone.refusals.map(payloadError) }
    },
    async budgetRaise(_root, { input }, context) {
      const budget = await editableBudget(input.budgetId, context)
      if (!budget) return { budget: null, errors: [raiseErrors.not_found] }
      const amountNano = BigInt(input.amountNanoUsd)
      if (amountNano < 0n) throw badInput('amountNanoUsd is 0 or more.')
      const auditId = context.newId(context.clock.nowMs())
      const actor = actorOf(context)
      const raised = await context.budgets.raise({ id: budget.id, auditId, amountNano, until: input.until, actor })
      if (!raised.ok) return { budget: null, errors: [raiseErrors[raised.reason]] }
      return { budget: { ...budget, ...raised.budget }, errors: [] }
    },
  },
  Budget: {
    id: ({ id }) => toGlobalId('Budget', id),
    scope: ({ owner }) => owner.scope.toUpperCase() as BudgetScope,
    organization: ({ organizationId }, _args, { loaders }) =>
      organizationId ? loaders.organizations.load(organizationId) : null,
    team: ({ teamId }, _args, { loaders }) => (teamId ? loaders.teams.load(teamId) : null),
    apiKey: ({ keyId }, _args, context) => visibleKey(keyId, context),
    tag: ({ owner }) => owner.tag ?? null,
    period: ({ period }) => period.toUpperCase() as BudgetPeriod,
    mode: ({ mode }) => mode.toUpperCase() as BudgetMode,
    managedBy: ({ managedBy }) => enumName(managedBy),
    alertThresholdsPercent: ({ alertThresholdsPercent }) => [...alertThresholdsPercent],
    amount: ({ amountNano }) => money(amountNano.toString()),
    raise: ({ increase }) => increase ?? null,
    periodEnd: ({ periodEnd }) => periodEnd ?? null,
    limit: ({ limitNano }) => money(limitNano.toString()),
    committed: ({ committedNano }) => money(committedNano.toString()),
    leased: ({ leasedNano }) => money(leasedNano.toString()),
    left: ({ leftNano }) => money(leftNano.toString()),
    reachedPercent: ({ alerts }) => alerts.percent,
    async periods({ id }, { first, after }, { loaders }) {
      const before = positionIn(after, 1)?.[0]
      const rows = await loaders.budgetPeriods.load({ id, before, limit: limitOf(first) })
      return connectionOf(rows, first, ({ startText }) => [startText])
    },
  },
  BudgetPeriodStanding: {
    limit: ({ limitNano }) => money(limitNano),
    committed: ({ committedNano }) => money(committedNano),
    leased: ({ leasedNano }) => money(leasedNano),
  },
  BudgetIncrease: { amount: ({ amountNano }) => money(amountNano.toString()) },
}

const ascending = (percent: readonly number[]): number[] => [...new Set(percent)].sort((a, b) => a - b)

async function editableBudget(globalId: string, context: AdminContext): Promise<PlacedBudget | undefined> {
  const id = idOf('Budget', globalId)
  const [budget] = id === undefined ? [] : await context.budgets.byId([id])
  return context.may('editor', budget && placeOf(budget)) ? budget : undefined
}

async function changedBudget(outcome: BudgetOutcome, { budgets }: AdminContext) {
  if (!outcome.ok) return { budget: null, errors: outcome.refusals.map(payloadError) }
  return { budget: (await budgets.byId([outcome.value]))[0] ?? null, errors: [] }
}
