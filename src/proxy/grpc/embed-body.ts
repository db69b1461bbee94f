import { GatewayError } from '../../core/errors.ts'
import type { EmbedRequest__Output } from '../../generated/proto/thinkpixel/llmgw/v1/EmbedRequest.ts'
import { type FieldByMember, withProviderOptions } from './provider-options.ts'

const fields: FieldByMember = {
  model: 'model',
  input: 'texts',
  dimensions: 'dimensions',
  user: 'user',
  encoding_format: 'embeddings of the answer',
}

/**
 * A request in OpenAI's form, in which core has it. Vectors are asked for in base64: exact, and smaller.
 *
 * @throws GatewayError invalid_body
 */
export function embedBody({ model, texts, tokens, dimensions, user, providerOptions }: EmbedRequest__Output): Buffer {
  if (texts.length > 0 === tokens.length > 0) {
    throw new GatewayError('invalid_body', 'Send either "texts" or "tokens".', { param: 'texts' })
  }
  const input = texts.length > 0 ? texts : tokens.map(({ ids }) => ids)
  const body = { model, input, dimensions, user, encoding_format: 'base64' }
  return Buffer.from(JSON.stringify(withProviderOptions(body, providerOptions, fields)))
}
