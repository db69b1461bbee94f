import { type ProviderFactory, requiredBaseUrl, unsupportedParametersOf } from '../provider-factory.ts'
import { createTranslatingProvider } from '../translating-provider.ts'
import { readGeminiError } from './errors.ts'
import { type GoogleService, translateForGoogle } from './translate.ts'

export const createGemini: ProviderFactory = (source, { client }) => {
  const credential = source.credentials.apiKey
  const google: GoogleService = {
    service: 'gemini',
    modelsPath: '',
    unsupportedParameters: unsupportedParametersOf(source),
    credential,
  }
  return createTranslatingProvider(
    {
      name: source.name,
      type: source.type,
      baseUrl: requiredBaseUrl(source),
      timeouts: source.timeouts,
      // Never as `?key=`, where access logs would have it.
      headers: credential === undefined ? [] : ['x-goog-api-key', credential],
      translate: (call, output) => translateForGoogle(google, call, output),
      readError: (status, headers, body) => readGeminiError(status, headers, body, credential),
    },
    client,
  )
}
