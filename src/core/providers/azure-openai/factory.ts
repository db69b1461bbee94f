import type { UpstreamClient } from '../../upstream/upstream-client.ts'
import { type AccessTokens, createAccessTokens, requestToken } from '../access-tokens.ts'
import { isRecord } from '../json.ts'
import { type CreateAnswerReader, createOpenAiProvider, type OpenAiSettings, openAiPaths } from '../openai/provider.ts'
import { RelayAnswer } from '../openai/relay-answer.ts'
import { RelayStream } from '../openai/relay-stream.ts'
import { type ProviderFactory, type ProviderSource, requiredBaseUrl, textSetting } from '../provider-factory.ts'
import { createChunkMender } from './mend-chunks.ts'

const apiVersionDefault = '2024-10-21'
const authorityDefault = 'https://login.microsoftonline.com'
const scope = 'https://cognitiveservices.azure.com/.default'

/** Azure OpenAI: OpenAI's protocol, with a deployment in the path and another way to sign in. */
export const createAzureOpenAi: ProviderFactory = (source, { client }) => {
  const { apiKey } = source.credentials
  const tokens = apiKey === undefined ? entraTokens(source, client) : undefined
  const settings: OpenAiSettings = {
    name: source.name,
    baseUrl: requiredBaseUrl(source),
    apiKey,
    apiKeyHeader: 'api-key',
    ...(tokens && { tokens }),
    organization: undefined,
    project: undefined,
    headers: {},
    timeouts: source.timeouts,
  }
  const deploymentOf = deploymentsIn(source)
  const apiVersion = textSetting(source, 'apiVersion') ?? apiVersionDefault
  return createOpenAiProvider(settings, client, {
    type: source.type,
    createReader: createAzureReader,
    // The newer API has OpenAI's own paths, and no version but this.
    pathOf: (operation, model) =>
      apiVersion === 'v1'
        ? `/openai/v1${openAiPaths[operation]}`
        : `/openai/deployments/${encodeURIComponent(deploymentOf(model))}${openAiPaths[operation]}?api-version=${apiVersion}`,
    bodyModelOf: deploymentOf,
  })
}

const createAzureReader: CreateAnswerReader = ({ request, operation }, output, credential) =>
  request.stream
    ? new RelayStream(output, request.includeUsage, credential, createChunkMender())
    : new RelayAnswer(operation, credential)

function deploymentsIn({ settings }: ProviderSource): (model: string) => string {
  const deployments = isRecord(settings.deployments) ? settings.deployments : {}
  return (model) => {
    const deployment = Object.hasOwn(deployments, model) ? deployments[model] : undefined
    return typeof deployment === 'string' ? deployment : model
  }
}

/**
 * Tokens of Microsoft Entra for an application.
 *
 * @throws Error when its credentials are not complete
 */
function entraTokens(source: ProviderSource, client: UpstreamClient): AccessTokens {
  const { tenantId, clientId, clientSecret } = source.credentials
  if (tenantId === undefined || clientId === undefined || clientSecret === undefined) {
    throw new Error(`The provider ${source.name} needs apiKey, or tenantId, clientId and clientSecret.`)
  }
  const authority = textSetting(source, 'authorityHost') ?? authorityDefault
  const url = `${authority}/${encodeURIComponent(tenantId)}/oauth2/v2.0/token`
  const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret, scope }
  return createAccessTokens(() => requestToken(client, url, form))
}
