import type { ProviderType } from '../core/providers/provider.ts'
import type { Secret } from '../core/secret.ts'

/** A provider that needs nothing but a key, which a variable may give; the provider has the name of its type. */
interface KeyedProvider {
  readonly type: ProviderType
  readonly keyVariable: 'OPENAI_API_KEY' | 'ANTHROPIC_API_KEY' | 'GEMINI_API_KEY'
  readonly urlVariable: 'OPENAI_BASE_URL' | 'ANTHROPIC_BASE_URL' | 'GEMINI_BASE_URL'
}

const keyedProviders: readonly KeyedProvider[] = [
  { type: 'openai', keyVariable: 'OPENAI_API_KEY', urlVariable: 'OPENAI_BASE_URL' },
  { type: 'anthropic', keyVariable: 'ANTHROPIC_API_KEY', urlVariable: 'ANTHROPIC_BASE_URL' },
  { type: 'gemini', keyVariable: 'GEMINI_API_KEY', urlVariable: 'GEMINI_BASE_URL' },
]

export interface EnvironmentProvider {
  readonly type: ProviderType
  readonly apiKey: Secret
  readonly baseUrl: string
  /** The variable that the base URL comes from, or would come from. */
  readonly urlVariable: string
}

/** The providers whose keys are set. */
export const environmentProvidersOf = (variables: Readonly<Record<string, unknown>>): EnvironmentProvider[] =>
  keyedProviders.flatMap(({ type, keyVariable, urlVariable }) => {
    const apiKey = variables[keyVariable] as Secret | undefined
    return apiKey ? [{ type, apiKey, baseUrl: variables[urlVariable] as string, urlVariable }] : []
  })

type Environment = Readonly<Record<string, string | undefined>>

const hasKey = (environment: Environment, { keyVariable }: KeyedProvider): boolean =>
  Boolean(environment[keyVariable] || environment[`${keyVariable}_FILE`])

/** Their names, before anything is read. */
export const namesOfEnvironmentProviders = (environment: Environment): string[] =>
  keyedProviders.filter((provider) => hasKey(environment, provider)).map(({ type }) => type)

/** Base URLs of providers whose keys are not set. */
export const idleUrls = (environment: Environment): { path: string; message: string }[] =>
  keyedProviders
    .filter((provider) => environment[provider.urlVariable] && !hasKey(environment, provider))
    .map(({ urlVariable, keyVariable }) => ({ path: urlVariable, message: `has no effect without ${keyVariable}` }))
