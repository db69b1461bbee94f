import type { StoredProvider } from '../routing/snapshot.store.ts'
import type { Credentials } from './credentials.ts'
import type { Provider, ProviderTimeouts, ProviderType } from './provider.ts'
import type { ProviderDeps, ProviderFactory } from './provider-factory.ts'

/** The only list of provider types. An adapter is loaded when the first provider of its type is made. */
const factories: Readonly<Record<ProviderType, () => Promise<ProviderFactory>>> = {
  openai: async () => (await import('./openai/factory.ts')).createOpenAi,
  'openai-compatible': async () => (await import('./openai-compatible/factory.ts')).createOpenAiCompatible,
  'azure-openai': async () => (await import('./azure-openai/factory.ts')).createAzureOpenAi,
  anthropic: async () => (await import('./anthropic/factory.ts')).createAnthropic,
  bedrock: async () => (await import('./bedrock/factory.ts')).createBedrock,
  gemini: async () => (await import('./gemini/factory.ts')).createGemini,
  vertex: async () => (await import('./vertex/factory.ts')).createVertex,
  demo: async () => (await import('./demo/factory.ts')).createDemo,
}

const timeoutsDefault: ProviderTimeouts = { firstByteMs: 60_000, idleMs: 60_000, totalMs: 600_000 }

/** @throws Error, with a message fit to show, when a setting or a credential is missing or wrong */
export async function createProvider(
  stored: StoredProvider,
  credentials: Credentials,
  deps: ProviderDeps,
): Promise<Provider> {
  const { name, type, baseUrl, settings } = stored
  const unknown = fieldsOf(settings.credentialFields).filter((field) => credentials[field] === undefined)
  if (unknown.length > 0) {
    throw new Error(`The credentials of the provider ${name} are not known to this process: ${unknown.join(', ')}.`)
  }
  const timeouts = { ...timeoutsDefault, ...(settings.timeouts as Partial<ProviderTimeouts> | undefined) }
  const create = await factories[type]()
  return create({ name, type, baseUrl, settings, credentials, timeouts }, deps)
}

const fieldsOf = (fields: unknown): string[] => (Array.isArray(fields) ? fields.map(String) : [])
