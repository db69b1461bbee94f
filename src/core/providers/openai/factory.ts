import { headersOf } from '../credentials.ts'
import { type ProviderFactory, type ProviderSource, requiredBaseUrl, textSetting } from '../provider-factory.ts'
import { createOpenAiProvider, createRelayReader, type OpenAiSettings } from './provider.ts'

export const createOpenAi: ProviderFactory = (source, { client }) =>
  createOpenAiProvider(openAiSettings(source), client, { type: source.type, createReader: createRelayReader })

/** What OpenAI and whoever speaks its protocol is told. */
export const openAiSettings = (source: ProviderSource): OpenAiSettings => ({
  name: source.name,
  baseUrl: requiredBaseUrl(source),
  apiKey: source.credentials.apiKey,
  organization: textSetting(source, 'organization'),
  project: textSetting(source, 'project'),
  headers: headersOf(source.credentials),
  timeouts: source.timeouts,
})
