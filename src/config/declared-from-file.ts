import { nanoUsd } from '../core/money.ts'
import type {
  DeclaredAlias,
  DeclaredBudget,
  DeclaredConfiguration,
  DeclaredKey,
  DeclaredModel,
  DeclaredProvider,
  DeclaredRateLimits,
  DeclaredScopeBudget,
  DeclaredScopeLimits,
} from '../core/routing/declared-configuration.ts'
import type { FileBudget, FileKeyBudget } from './budget-schema.ts'
import type { EnvironmentSettings } from './environment.ts'
import type { ConfigFile } from './file-schema.ts'
import type { FileKey } from './key-schema.ts'
import { type FileModel, rateTablesOf } from './model-schema.ts'
import { contentOf, type FileProvider } from './provider-schema.ts'
import { declaredDemo, demoDefaults } from './providers/demo.ts'
import { timeoutsSchema } from './providers/provider-fields.ts'
import type { FileKeyRateLimits, FileRateLimit } from './rate-limit-schema.ts'

export const builtinProviderName = 'demo'

/** Joins what the file, the environment and the gateway itself bring; the file wins where names meet. */
export function toDeclaredConfiguration(file: ConfigFile, settings: EnvironmentSettings): DeclaredConfiguration {
  const fromFile = file.providers.map(toProvider)
  const fromEnvironment = environmentProviders(settings).filter(
    ({ name }) => !fromFile.some((provider) => provider.name === name),
  )
  // A key that happens to be in the environment must not take the first steps away.
  const providers = [...fromFile, ...fromEnvironment, ...(fromFile.length === 0 ? [builtinDemo()] : [])]
  const models = file.models.map(toModel)
  return {
    providers,
    models: [...models, ...demoModels(providers, models)],
    aliases: file.aliases.map(toAlias),
    keys: file.keys.map(toKey),
    budgets: file.budgets.map(toScopeBudget),
    rateLimits: file.rateLimits.map(toScopeLimits),
  }
}

type FileAlias = ConfigFile['aliases'][number]

function toAlias({ name, description, targets, billingKey, sticky, parameters, caps }: FileAlias): DeclaredAlias {
  const settings = { ...(sticky && { sticky }), ...(parameters && { parameters }), ...(caps && { caps }) }
  return { name, description, targets, settings, billingKey }
}

function toProvider(provider: FileProvider): DeclaredProvider {
  const { name, enabled, passthroughModels, timeouts } = provider
  return { name, managedBy: 'file', enabled, passthroughModels, timeouts, ...contentOf(provider) }
}

const environmentProviders = ({ providers }: EnvironmentSettings): DeclaredProvider[] =>
  providers.map(({ type: name, content }) => ({ ...undeclared, name, managedBy: 'environment', ...content }))

const builtinDemo = (): DeclaredProvider => ({
  ...undeclared,
  name: builtinProviderName,
  managedBy: 'builtin',
  ...declaredDemo(demoDefaults),
})

/** What a provider has that nobody has described. */
const undeclared = { enabled: true, passthroughModels: false, timeouts: timeoutsSchema.parse({}) }

/** The models that every demo provider serves, for nothing, unless the file says otherwise about them. */
function demoModels(providers: readonly DeclaredProvider[], declared: readonly DeclaredModel[]): DeclaredModel[] {
  return providers
    .filter(({ type }) => type === 'demo')
    .flatMap(({ name: provider }) => modelsOfDemo.map((model) => ({ ...model, provider })))
    .filter((model) => !declared.some(({ provider, name }) => provider === model.provider && name === model.name))
}

const demoModel = {
  contextWindowTokens: 128_000,
  rateTables: [{ serviceTier: 'default' as const, aboveInputTokens: 0, rates: { input: '0', output: '0' } }],
}

/** What a provider of this type serves whose models nobody has described. */
export const modelsOfDemo = [
  { ...demoModel, name: 'demo-chat', mode: 'chat', maxOutputTokens: 4_096 },
  { ...demoModel, name: 'demo-embedding', mode: 'embedding', maxOutputTokens: undefined },
] as const satisfies Omit<DeclaredModel, 'provider'>[]

function toModel(model: FileModel): DeclaredModel {
  const { provider, name, mode, contextWindowTokens, maxOutputTokens } = model
  return { provider, name, mode, contextWindowTokens, maxOutputTokens, rateTables: rateTablesOf(model) }
}

function toKey({ unpricedModels, expiresAt, budgets, rateLimits, ...key }: FileKey): DeclaredKey {
  return {
    name: key.name,
    secret: key.secret,
    description: key.description,
    organization: key.organization,
    team: key.team,
    enabled: key.enabled,
    allowedModels: key.allowedModels,
    unpricedPolicy: unpricedModels,
    expiresAtMs: expiresAt,
    rateLimits: rateLimits && toLimits(rateLimits),
    budgets: budgets.map(toBudget),
    tags: key.tags,
    metadata: key.metadata,
  }
}

function toBudget({ amountUsd, temporaryIncrease: increase, ...budget }: FileKeyBudget): DeclaredBudget {
  return {
    amountNano: nanoUsd(amountUsd),
    period: budget.period,
    timeZone: budget.timeZone,
    mode: budget.mode,
    alertThresholdsPercent: budget.alertThresholdsPercent,
    temporaryIncrease: increase && { amountNano: nanoUsd(increase.amountUsd), untilMs: increase.until },
  }
}

const toScopeBudget = ({ organization, team, tag, ...budget }: FileBudget): DeclaredScopeBudget => ({
  organization,
  team,
  tag,
  ...toBudget(budget),
})

function toLimits(limits: FileKeyRateLimits): DeclaredRateLimits {
  const { requestsPerMinute, tokensPerMinute, maxConcurrent, algorithm, strict } = limits
  return { requestsPerMinute, tokensPerMinute, maxConcurrent, algorithm, strict }
}

const toScopeLimits = ({ organization, team, ...limits }: FileRateLimit): DeclaredScopeLimits => ({
  organization,
  team,
  ...toLimits(limits),
})
