import type { UpstreamStatus } from '../../core/health/upstream-status.ts'
import type { ProviderType as CoreProviderType } from '../../core/providers/provider.ts'
import type { ListedProvider } from '../../core/routing/listed-providers.store.ts'
import type { RoutingOutcome } from '../../core/routing/routing-change.store.ts'
import { Secret } from '../../core/secret.ts'
import type {
  ProviderCredentialInput,
  ProviderSettings,
  ProviderSettingsInput,
  ProviderTimeoutsInput,
  Resolvers,
} from '../../generated/graphql.ts'
import { connectionOf, limitOf, positionIn } from '../connections.ts'
import { type AdminContext, actorOf } from '../context.ts'
import { dashedName, enumName } from '../enum-names.ts'
import { badInput, notFound, payloadError } from '../errors.ts'
import { idOf, toGlobalId } from '../global-ids.ts'

export const providerResolvers: Resolvers = {
  Query: {
    async providers(_root, { first, after }, context) {
      const rows = await context.providers({ after: positionIn(after, 1)?.[0], limit: limitOf(first) })
      return connectionOf(rows, first, ({ name }) => [name])
    },
  },

  Mutation: {
    async providerCreate(_root, { input }, context) {
      const { name, type, baseUrl, enabled, passthroughModels, timeouts, settings, credentials } = input
      const made = await context.routes.createProvider(
        {
          name,
          type: dashedName(type) as CoreProviderType,
          baseUrl: baseUrl ?? undefined,
          enabled,
          passthroughModels,
          timeouts: timeoutsOf(timeouts) ?? {},
          settings: settingsOf(settings) ?? {},
          credentials: Object.fromEntries(
            Object.entries(credentialsOf(credentials)).flatMap(([field, secret]) => (secret ? [[field, secret]] : [])),
          ),
        },
        actorOf(context),
      )
      return changedProvider(made, context)
    },
    async providerUpdate(_root, { input }, context) {
      const id = idOf('Provider', input.providerId)
      if (id === undefined) return { provider: null, errors: [notFound('provider', 'providerId')] }
      const { baseUrl, enabled, passthroughModels, timeouts, settings, credentials } = input
      const changed = await context.routes.updateProvider(
        id,
        {
          baseUrl: baseUrl ?? undefined,
          enabled: enabled ?? undefined,
          passthroughModels: passthroughModels ?? undefined,
          timeouts: timeoutsOf(timeouts),
          settings: settingsOf(settings),
          credentials: credentialsOf(credentials),
        },
        actorOf(context),
      )
      return changedProvider(changed, context)
    },
    async providerTestConnection(_root, { input }, context) {
      const id = idOf('Provider', input.providerId)
      const provider = id === undefined ? null : await context.loaders.providers.load(id)
      if (!provider) return { succeeded: false, lines: [], errors: [notFound('provider', 'providerId')] }
      const { ok, lines } = await context.testProvider(provider.name, input.model ?? undefined)
      return { succeeded: ok, lines: [...lines], errors: [] }
    },
  },

  Provider: {
    id: ({ id }) => toGlobalId('Provider', id),
    type: ({ type }) => enumName(type),
    managedBy: ({ managedBy }) => enumName(managedBy),
    timeouts: ({ settings }) => ({ ...timeoutsDefault, ...(settings.timeouts as object | undefined) }),
    settings: ({ settings }) => shownSettings(settings),
    credentials: ({ credentials }) => [...credentials],
    health: ({ name }, _args, { upstreams }) => healthOf(name, upstreams()),
  },
}

const healthOf = (name: string, processes: ReturnType<AdminContext['upstreams']>) =>
  processes.flatMap(({ process, upstreams: known }) =>
    known.filter(({ provider }) => provider === name).map((status) => shownHealth(process, status)),
  )

export const shownHealth = (process: string, status: UpstreamStatus) => ({
  process,
  credentialAccepted: status.credential === 'accepted',
  attemptsInFlight: status.attemptsInFlight,
  modelsInTrouble: status.modelsInTrouble,
})

async function changedProvider(outcome: RoutingOutcome<string>, { providersById }: AdminContext) {
  if (!outcome.ok) return { provider: null, errors: outcome.refusals.map(payloadError) }
  const [provider] = await providersById([outcome.value])
  return { provider: provider ?? null, errors: [] }
}

/** Of rows from before they had any. */
const timeoutsDefault = { firstByteMs: 60_000, idleMs: 60_000, totalMs: 600_000 }

const timeoutsOf = (timeouts: ProviderTimeoutsInput | null | undefined) =>
  timeouts ? (withoutNulls(timeouts) as Partial<typeof timeoutsDefault>) : undefined

function settingsOf(settings: ProviderSettingsInput | null | undefined): Record<string, unknown> | undefined {
  if (!settings) return undefined
  const { deployments, unsupportedParameters, ...others } = settings
  return withoutNulls({
    ...others,
    unsupportedParameters: unsupportedParameters?.toLowerCase(),
    deployments: deployments && Object.fromEntries(deployments.map(({ model, deployment }) => [model, deployment])),
  })
}

function shownSettings(settings: ListedProvider['settings']): ProviderSettings {
  const text = (name: string): string | null => (typeof settings[name] === 'string' ? settings[name] : null)
  const number = (name: string): number | null => (typeof settings[name] === 'number' ? settings[name] : null)
  const { deployments } = settings as { deployments?: Record<string, string> }
  const unsupported = text('unsupportedParameters')
  return {
    organization: text('organization'),
    project: text('project'),
    preset: text('preset'),
    apiVersion: text('apiVersion'),
    deployments: deployments ? Object.entries(deployments).map(([model, deployment]) => ({ model, deployment })) : null,
    authorityHost: text('authorityHost'),
    anthropicVersion: text('anthropicVersion'),
    anthropicBeta: text('anthropicBeta')?.split(',') ?? null,
    region: text('region'),
    profile: text('profile'),
    roleArn: text('roleArn'),
    location: text('location'),
    tokenUrl: text('tokenUrl'),
    unsupportedParameters: unsupported === null ? null : enumName(unsupported),
    tokensPerSecond: number('tokensPerSecond'),
    latencyMs: number('latencyMs'),
  }
}

function credentialsOf(given: readonly ProviderCredentialInput[]): Record<string, Secret | null> {
  const fields = given.map(({ field }) => field)
  if (new Set(fields).size < fields.length) throw badInput('credentials has a field twice.')
  return Object.fromEntries(
    given.map(({ field, secret }) => [field, typeof secret === 'string' ? new Secret(secret) : null]),
  )
}

const withoutNulls = (fields: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== undefined))
