import { readFile } from 'node:fs/promises'
import type { UpstreamClient } from '../../upstream/upstream-client.ts'
import { type AccessToken, type AccessTokens, createAccessTokens } from '../access-tokens.ts'
import { readGeminiError } from '../gemini/errors.ts'
import { translateForGoogle } from '../gemini/translate.ts'
import {
  type ProviderFactory,
  type ProviderSource,
  requiredBaseUrl,
  textSetting,
  unsupportedParametersOf,
} from '../provider-factory.ts'
import { createTranslatingProvider } from '../translating-provider.ts'
import { fetchGoogleToken, fetchMetadataToken, parseGoogleCredentials } from './credentials.ts'

export const createVertex: ProviderFactory = (source, { client }) => {
  const tokens = tokensOf(source, client)
  const unsupportedParameters = unsupportedParametersOf(source)
  return createTranslatingProvider(
    {
      name: source.name,
      type: source.type,
      baseUrl: requiredBaseUrl(source),
      timeouts: source.timeouts,
      headers: [],
      tokens,
      translate: (call, output, credential) =>
        translateForGoogle(
          { service: 'vertex', modelsPath: '/publishers/google', unsupportedParameters, credential },
          call,
          output,
        ),
      readError: readGeminiError,
    },
    client,
  )
}

/** By a token that is given, a service account, the credentials file of this machine, or what the machine itself is. */
function tokensOf(source: ProviderSource, client: UpstreamClient): AccessTokens {
  const { accessToken, serviceAccountJson } = source.credentials
  if (accessToken !== undefined) return { current: async () => accessToken, forget: () => {} }
  const tokenUrl = textSetting(source, 'tokenUrl')
  if (serviceAccountJson !== undefined) {
    const credentials = parseGoogleCredentials(serviceAccountJson)
    return createAccessTokens(() => fetchGoogleToken(client, credentials, tokenUrl))
  }
  const file = textSetting(source, 'credentialsFile')
  return createAccessTokens(() => defaultToken(client, file, tokenUrl))
}

/** Read anew each time: the file may be renewed under us. */
async function defaultToken(
  client: UpstreamClient,
  file: string | undefined,
  tokenUrl: string | undefined,
): Promise<AccessToken> {
  if (file === undefined) return fetchMetadataToken()
  return fetchGoogleToken(client, parseGoogleCredentials(await readFile(file, 'utf8')), tokenUrl)
}
