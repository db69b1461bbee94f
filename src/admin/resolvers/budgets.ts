import { globalScope, type Scope, scopeOf } from '../../core/access/principal.ts'
import type { RaiseRefusal } from '../../core/budgets/budgets.store.ts'
import type { BudgetMode, BudgetPeriod, BudgetScope, Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { actorOf, visibleKey } from '../context.ts'
import { badInput, notFound, type PayloadError, payloadError } from '../errors.ts'
import { idOf, toGlobalId } from '../global-ids.ts'
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
    async budgetRaise(_root, { input }, context) {
      const id = idOf('Budget', input.budgetId)
      const [budget] = id === undefined ? [] : await context.budgets.byId([id])
      if (!context.may('editor', budget && placeOf(budget)) || !budget) {
        return { budget: null, errors: [raiseErrors.not_found] }
      }
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
    amount: ({ amountNano }) => money(amountNano.toString()),
    raise: ({ increase }) => increase ?? null,
    periodEnd: ({ periodEnd }) => periodEnd ?? null,
    limit: ({ limitNano }) => money(limitNano.toString()),
    committed: ({ committedNano }) => money(committedNano.toString()),
    leased: ({ leasedNano }) => money(leasedNano.toString()),
    left: ({ leftNano }) => money(leftNano.toString()),
    reachedPercent: ({ alerts }) => alerts.percent,
  },
  BudgetIncrease: { amount: ({ amountNano }) => money(amountNano.toString()) },
}
