import { readChatRequest } from '../../chat/read-request.ts'
import { GatewayError } from '../../errors.ts'
import { parsedRequest } from '../../inference/call.ts'
import { DecodedAnswer, DecodedStream, passWhole } from '../decoded-answer.ts'
import {
  type ProviderFactory,
  type ProviderSource,
  requiredBaseUrl,
  textSetting,
  unsupportedParametersOf,
} from '../provider-factory.ts'
import { createTranslatingProvider } from '../translating-provider.ts'
import { readAnthropicError } from './errors.ts'
import { createMessageStreamDecoder, decodeMessage } from './from-upstream.ts'
import { toAnthropicRequest } from './to-upstream.ts'

const versionDefault = '2023-06-01'

export const createAnthropic: ProviderFactory = (source, { client }) => {
  const credential = source.credentials.apiKey
  const unsupportedParameters = unsupportedParametersOf(source)
  return createTranslatingProvider(
    {
      name: source.name,
      type: source.type,
      baseUrl: requiredBaseUrl(source),
      timeouts: source.timeouts,
      headers: headersOf(source),
      translate({ operation, model, request, outputTokensCap, modelOutputTokensMax }, output) {
        if (operation !== 'chat') {
          throw new GatewayError('unsupported_parameter', 'Anthropic has no embeddings.', { param: 'model' })
        }
        const { body, answerTool } = toAnthropicRequest(readChatRequest(parsedRequest(request)), {
          model,
          stream: request.stream,
          outputTokensMax: outputTokensCap ?? modelOutputTokensMax,
          unsupportedParameters,
        })
        const options = { answerTool, credential }
        return {
          path: '/v1/messages',
          body,
          reader: request.stream
            ? new DecodedStream(output, createMessageStreamDecoder(options))
            : new DecodedAnswer((bytes) => passWhole(output, decodeMessage(bytes, options))),
        }
      },
      readError: (status, headers, body) => readAnthropicError(status, headers, body, credential),
    },
    client,
  )
}

function headersOf(source: ProviderSource): string[] {
  const { apiKey } = source.credentials
  const headers = ['anthropic-version', textSetting(source, 'anthropicVersion') ?? versionDefault]
  const beta = textSetting(source, 'anthropicBeta')
  if (apiKey !== undefined) headers.push('x-api-key', apiKey)
  if (beta !== undefined) headers.push('anthropic-beta', beta)
  return headers
}
