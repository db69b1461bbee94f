import type { AliasPatch, ManagedTarget } from '../../core/routing/managed-routing.ts'
import type { RoutingOutcome } from '../../core/routing/routing-change.store.ts'
import type { AliasCapInput, AliasParameterInput, AliasTargetInput, Resolvers } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { type AdminContext, actorOf, visibleKey } from '../context.ts'
import { enumName } from '../enum-names.ts'
import { notFound, payloadError } from '../errors.ts'
import { idOf, toGlobalId } from '../global-ids.ts'
import { byName, jsonIn } from '../named-values.ts'

export const aliasResolvers: Resolvers = {
  Query: {
    async aliases(_root, { first, after }, { routing }) {
      const rows = await routing.aliases(positionIn(after, 1)?.[0], limitOf(first))
      return connectionOf(rows, first, ({ name }) => [name])
    },
  },

  Mutation: {
    async aliasCreate(_root, { input }, context) {
      const { name, description, targets, sticky, parameters, caps, billingKeyId } = input
      const made = await context.routes.createAlias(
        {
          name,
          description: description ?? undefined,
          targets: targetsOf(targets),
          settings: {
            ...(sticky && { sticky }),
            ...parametersOf(parameters),
            ...capsOf(caps),
          },
          billingKeyId: billingKeyIdOf(billingKeyId) ?? undefined,
        },
        actorOf(context),
      )
      return changedAlias(made, context)
    },
    async aliasUpdate(_root, { input }, context) {
      const id = idOf('Alias', input.aliasId)
      const [stored] = id === undefined ? [] : await context.routing.aliasesById([id])
      if (!stored) return { alias: null, errors: [notFound('alias', 'aliasId')] }
      const { description, enabled, targets, sticky, parameters, caps, billingKeyId } = input
      const kept = stored.settings
      const settings = {
        ...(sticky === undefined ? kept.sticky && { sticky: kept.sticky } : sticky && { sticky }),
        ...(parameters ? parametersOf(parameters) : kept.parameters && { parameters: kept.parameters }),
        ...(caps ? capsOf(caps) : kept.caps && { caps: kept.caps }),
      }
      const patch: AliasPatch = {
        description,
        enabled: enabled ?? undefined,
        targets: targets ? targetsOf(targets) : undefined,
        settings,
        billingKeyId: billingKeyIdOf(billingKeyId),
      }
      return changedAlias(await context.routes.updateAlias(stored.id, patch, actorOf(context)), context)
    },
    async aliasDelete(_root, { input }, context) {
      const id = idOf('Alias', input.aliasId)
      if (id === undefined) return { deleted: false, errors: [notFound('alias', 'aliasId')] }
      const gone = await context.routes.deleteAlias(id, actorOf(context))
      return { deleted: gone.ok, errors: gone.ok ? [] : gone.refusals.map(payloadError) }
    },
  },

  Alias: {
    id: ({ id }) => toGlobalId('Alias', id),
    managedBy: ({ managedBy }) => enumName(managedBy),
    sticky: ({ settings }) => settings.sticky ?? null,
    billingKey: ({ billingKeyId }, _args, context) => visibleKey(billingKeyId, context),
    parameters: ({ settings }) =>
      Object.entries(settings.parameters ?? {}).map(([name, value]) => ({ name, value: JSON.stringify(value) })),
    caps: ({ settings }) => Object.entries(settings.caps ?? {}).map(([name, value]) => ({ name, value })),
  },
}

async function changedAlias(outcome: RoutingOutcome<string>, { routing }: AdminContext) {
  if (!outcome.ok) return { alias: null, errors: outcome.refusals.map(payloadError) }
  const [alias] = await routing.aliasesById([outcome.value])
  return { alias: alias ?? null, errors: [] }
}

/** An id that is none is passed on as one that nothing has. */
const nobody = '00000000-0000-0000-0000-000000000000'

const targetsOf = (targets: readonly AliasTargetInput[]): ManagedTarget[] =>
  targets.map(({ providerId, model, weight, priority, region }) => ({
    providerId: idOf('Provider', providerId) ?? nobody,
    model,
    weight,
    priority,
    region: region ?? undefined,
  }))

function billingKeyIdOf(globalId: string | null | undefined): string | null | undefined {
  return typeof globalId === 'string' ? (idOf('ApiKey', globalId) ?? nobody) : globalId
}

function parametersOf(given: readonly AliasParameterInput[]): { parameters?: Record<string, unknown> } {
  return given.length === 0 ? {} : { parameters: byName(given, ({ name, value }) => jsonIn(value, name)) }
}

const capsOf = (given: readonly AliasCapInput[]): { caps?: Record<string, number> } =>
  given.length === 0 ? {} : { caps: byName(given, ({ value }) => value) }
