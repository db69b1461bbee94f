import type { Credentials } from '../routing/load-snapshot.ts'
import type { StoredProvider } from '../routing/snapshot.store.ts'
import type { UpstreamClient } from '../upstream/upstream-client.ts'
import { createDemoProvider } from './demo/provider.ts'
import { createOpenAiProvider, createRelayReader, type ProviderTimeouts } from './openai/provider.ts'
import { createDecodingReader } from './openai-compatible/decoded-answer.ts'
import { isPresetName, noPreset, type Preset, presets } from './openai-compatible/presets.ts'
import type { Provider } from './provider.ts'

/** Names a header among the credentials of a provider: `header:x-team`. */
export const headerCredential = (name: string): string => `header:${name}`

const timeoutsDefault: ProviderTimeouts = { firstByteMs: 60_000, idleMs: 60_000, totalMs: 600_000 }

/**
 * The only list of provider types.
 *
 * @throws Error, with a message fit to show, when a setting or a credential is missing or wrong
 */
export function createProvider(stored: StoredProvider, credentials: Credentials, client: UpstreamClient): Provider {
  const { name, type, settings } = stored
  const timeouts = { ...timeoutsDefault, ...(settings.timeouts as Partial<ProviderTimeouts> | undefined) }
  switch (type) {
    case 'demo': {
      const { tokensPerSecond, latencyMs } = settings as { tokensPerSecond: number; latencyMs: number }
      return createDemoProvider({ name, tokensPerSecond, latencyMs, totalTimeoutMs: timeouts.totalMs })
    }
    case 'openai':
    case 'openai-compatible': {
      if (stored.baseUrl === null) throw new Error(`The provider ${name} has no base URL.`)
      if (settings.hasApiKey === true && credentials.apiKey === undefined) {
        throw new Error(`The API key of the provider ${name} is not known to this process.`)
      }
      const preset = presetOf(settings.preset)
      const createReader = type === 'openai' || preset.clean ? createRelayReader : createDecodingReader
      const openAi = {
        name,
        baseUrl: stored.baseUrl,
        apiKey: credentials.apiKey,
        organization: textOr(settings.organization),
        project: textOr(settings.project),
        headers: headersFrom(credentials),
        timeouts,
      }
      return createOpenAiProvider(openAi, client, type, createReader, preset.quirks)
    }
    default:
      throw new Error(`Providers of type ${type} are not available in this release.`)
  }
}

const presetOf = (name: unknown): Preset => (typeof name === 'string' && isPresetName(name) ? presets[name] : noPreset)

const textOr = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

function headersFrom(credentials: Credentials): Record<string, string> {
  const prefix = headerCredential('')
  return Object.fromEntries(
    Object.entries(credentials)
      .filter(([field]) => field.startsWith(prefix))
      .map(([field, value]) => [field.slice(prefix.length), value]),
  )
}
