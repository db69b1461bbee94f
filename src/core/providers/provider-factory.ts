import type { UnsupportedParameters } from '../chat/request.ts'
import type { StoredProvider } from '../routing/snapshot.store.ts'
import type { UpstreamClient } from '../upstream/upstream-client.ts'
import type { Credentials } from './credentials.ts'
import type { Provider, ProviderTimeouts } from './provider.ts'

/** What a provider is made from, checked as far as all types have it in common. */
export interface ProviderSource {
  name: string
  type: StoredProvider['type']
  baseUrl: string | null
  settings: Readonly<Record<string, unknown>>
  credentials: Credentials
  timeouts: ProviderTimeouts
}

export interface ProviderDeps {
  /** The only way out. */
  client: UpstreamClient
}

/**
 * Each provider's folder has one.
 *
 * @throws Error, with a message fit to show, when a setting or a credential is missing or wrong
 */
export type ProviderFactory = (source: ProviderSource, deps: ProviderDeps) => Provider | Promise<Provider>

/** A setting that is text; undefined when it is not set. */
export const textSetting = ({ settings }: ProviderSource, name: string): string | undefined =>
  typeof settings[name] === 'string' ? settings[name] : undefined

/** @throws Error when the provider has none */
export function requiredBaseUrl({ name, baseUrl }: ProviderSource): string {
  if (baseUrl === null) throw new Error(`The provider ${name} has no base URL.`)
  return baseUrl
}

/** What the operator wants done about what this provider has no equivalent of. */
export const unsupportedParametersOf = (source: ProviderSource): UnsupportedParameters =>
  textSetting(source, 'unsupportedParameters') === 'drop' ? 'drop' : 'refuse'
