import type { ProviderType } from '../providers/provider.ts'

/** What of a provider decides where its credentials are sent. */
export interface CredentialAudience {
  readonly type: ProviderType
  readonly baseUrl: string | null
  readonly settings: Readonly<Record<string, unknown>>
}

/**
 * Scheme, host and port of all that a provider's credentials are sent to: of the base URL, or what stands for it where
 * the type makes its own, and of every other URL among the settings, such as the one that gives out tokens. A credential
 * is saved for this text, and used for no other.
 *
 * @returns such as `https://api.openai.com`, or `bedrock region=us-east-1`
 */
export function credentialOrigin({ type, baseUrl, settings }: CredentialAudience): string {
  const urls = Object.values(settings).flatMap((value) => originOf(value) ?? [])
  const main = baseUrl === null ? [type, ...places(settings)].join(' ') : (originOf(baseUrl) ?? baseUrl)
  return [main, ...[...new Set(urls)].filter((origin) => origin !== main).sort()].join(' ')
}

/** They become part of a host name. */
const places = (settings: CredentialAudience['settings']): string[] =>
  ['location', 'region'].flatMap((name) => (typeof settings[name] === 'string' ? [`${name}=${settings[name]}`] : []))

function originOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || !/^https?:/i.test(value)) return undefined
  return URL.parse(value)?.origin
}
