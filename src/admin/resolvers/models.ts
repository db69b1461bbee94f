import type { ListedModel, ListedPrice } from '../../core/catalog/listed-models.store.ts'
import { formatUsd } from '../../core/money.ts'
import type { Modality, ModelFeature, Resolvers, ServiceTier, UnitKind } from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { idOf, toGlobalId } from '../global-ids.ts'
import { searchOf } from './access.ts'

/** Columns are written small, and enums large. */
const enumName = <Name extends string>(text: string): Name => text.toUpperCase().replaceAll('-', '_') as Name

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
  Model: {
    id: ({ id }: ListedModel) => toGlobalId('Model', id),
    inputModalities: ({ inputModalities }) => known(inputModalities),
    outputModalities: ({ outputModalities }) => known(outputModalities),
    features: (model) =>
      features.filter((feature) => model.features[feature] === true).map((feature) => enumName<ModelFeature>(feature)),
    managedBy: ({ managedBy }) => enumName(managedBy),
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

const known = (names: readonly string[]): Modality[] =>
  names.filter((name) => modalities.includes(name)).map((name) => enumName<Modality>(name))

/** Stored rates are nano-dollars for a million units. */
const nanoOf = (rate: string) => ({ nanoUsd: rate, usd: formatUsd(BigInt(rate)) })
