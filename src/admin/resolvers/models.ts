import type { ListedModel, ListedPrice } from '../../core/catalog/listed-models.store.ts'
import { formatUsd } from '../../core/money.ts'
import type { StoredRateTables } from '../../core/routing/managed-models.store.ts'
import type { RoutingOutcome } from '../../core/routing/routing-change.store.ts'
import type {
  Modality,
  ModelFeature,
  RateTableInput,
  Resolvers,
  ServiceTier,
  UnitKind,
} from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { type AdminContext, actorOf } from '../context.ts'
import { enumName } from '../enum-names.ts'
import { badInput, notFound, payloadError } from '../errors.ts'
import { idOf, toGlobalId } from '../global-ids.ts'
import { searchOf } from './access.ts'

const modalities: readonly string[] = ['text', 'image', 'audio', 'video'] satisfies Lowercase<Modality>[]

const features = [
  'assistant_prefill',
  'computer_use',
  'function_calling',
  'parallel_function_calling',
  'pdf_input',
  'prompt_caching',
  'reasoning',
  'response_schema',
  'system_messages',
  'tool_choice',
  'web_search',
] as const satisfies Lowercase<ModelFeature>[]

export const modelResolvers: Resolvers = {
  Query: {
    async model(_root, { id: globalId }, { models }) {
      const id = idOf('Model', globalId)
      return id === undefined ? null : ((await models.byId([id]))[0] ?? null)
    },
    async models(_root, { first, after, filter }, { models }) {
      const [catalog, name, id] = positionIn(after, 3) ?? []
      const rows = await models.list({
        search: searchOf(filter?.search),
        catalog: filter?.catalog ?? undefined,
        features: (filter?.features ?? []).map((feature) => feature.toLowerCase()),
        after: catalog !== undefined && name !== undefined && id !== undefined ? { catalog, name, id } : undefined,
        limit: limitOf(first),
      })
      return connectionOf(rows, first, (model) => [model.catalog, model.name, model.id])
    },
  },
  Mutation: {
    async modelDeclare(_root, { input }, context) {
      const providerId = idOf('Provider', input.providerId)
      if (providerId === undefined) return { model: null, errors: [notFound('provider', 'providerId')] }
      const { name, mode, contextWindowTokens, maxOutputTokens, price } = input
      const made = await context.routes.declareModel(
        {
          providerId,
          name,
          mode: mode === 'CHAT' ? 'chat' : 'embedding',
          contextWindowTokens: contextWindowTokens ?? undefined,
          maxOutputTokens: maxOutputTokens ?? undefined,
          tables: tablesOf(price),
        },
        actorOf(context),
      )
      return changedModel(made, context)
    },
    async modelWithdraw(_root, { input }, context) {
      const id = idOf('Model', input.modelId)
      if (id === undefined) return { model: null, errors: [notFound('model', 'modelId')] }
      return changedModel(await context.routes.withdrawModel(id, actorOf(context)), context)
    },
    async priceOverrideSet(_root, { input }, context) {
      const id = idOf('Model', input.modelId)
      if (id === undefined) return { model: null, errors: [notFound('model', 'modelId')] }
      return changedModel(await context.routes.setPrice(id, tablesOf(input.price), actorOf(context)), context)
    },
  },
  Model: {
    id: ({ id }: ListedModel) => toGlobalId('Model', id),
    inputModalities: ({ inputModalities }) => known(inputModalities),
    outputModalities: ({ outputModalities }) => known(outputModalities),
    features: (model) =>
      features.filter((feature) => model.features[feature] === true).map((feature) => enumName<ModelFeature>(feature)),
    managedBy: ({ managedBy }) => enumName(managedBy),
    provider: ({ providerId }, _args, { loaders }) => (providerId ? loaders.providers.load(providerId) : null),
    async priceHistory({ id }, { first, after }, { loaders }) {
      const before = Number(positionIn(after, 1)?.[0] ?? 0) || undefined
      const rows = await loaders.priceHistory.load({ id, before, limit: limitOf(first) })
      return connectionOf(rows, first, ({ version }) => [String(version)])
    },
  },
  Price: {
    id: ({ id }: ListedPrice) => toGlobalId('Price', id),
    source: ({ source }) => enumName(source),
    effectiveFrom: ({ effectiveFrom }) => new Date(effectiveFrom),
    effectiveUntil: ({ effectiveUntil }) => (effectiveUntil === null ? null : new Date(effectiveUntil)),
    tables: ({ rates }) =>
      rates.tables.map(({ serviceTier, aboveInputTokens, rates: table }) => ({
        serviceTier: enumName<ServiceTier>(serviceTier),
        aboveInputTokens,
        rates: Object.entries(table).map(([kind, micro]) => ({
          unitKind: enumName<UnitKind>(kind),
          perMillionUnits: nanoOf(micro),
        })),
      })),
  },
}

async function changedModel(outcome: RoutingOutcome<string>, { models }: AdminContext) {
  if (!outcome.ok) return { model: null, errors: outcome.refusals.map(payloadError) }
  const [model] = await models.byId([outcome.value])
  return { model: model ?? null, errors: [] }
}

function tablesOf(price: readonly RateTableInput[] | null | undefined): StoredRateTables | undefined {
  return price?.map(({ serviceTier, aboveInputTokens, rates }) => {
    const kinds = rates.map(({ unitKind }) => unitKind)
    if (new Set(kinds).size < kinds.length) throw badInput('A rate table has a unit kind twice.')
    if (rates.some(({ nanoUsdPerMillionUnits }) => BigInt(nanoUsdPerMillionUnits) < 0n)) {
      throw badInput('A rate is 0 or more.')
    }
    return {
      serviceTier: serviceTier.toLowerCase() as Lowercase<ServiceTier>,
      aboveInputTokens,
      rates: Object.fromEntries(
        rates.map(({ unitKind, nanoUsdPerMillionUnits }) => [unitKind.toLowerCase(), String(nanoUsdPerMillionUnits)]),
      ),
    }
  })
}

const known = (names: readonly string[]): Modality[] =>
  names.filter((name) => modalities.includes(name)).map((name) => enumName<Modality>(name))

/** Stored rates are nano-dollars for a million units. */
const nanoOf = (rate: string) => ({ nanoUsd: rate, usd: formatUsd(BigInt(rate)) })
