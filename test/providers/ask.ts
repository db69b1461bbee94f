import { Cancellation } from '../../src/core/inference/cancellation.ts'
import { readInferenceRequest } from '../../src/core/inference/read-inference-request.ts'
import type { ExchangeResult, Provider, ProviderType } from '../../src/core/providers/provider.ts'
import { createProvider } from '../../src/core/providers/registry.ts'
import { createAddressGuard } from '../../src/core/upstream/address-guard.ts'
import { createUpstreamClient } from '../../src/core/upstream/upstream-client.ts'

export const client = createUpstreamClient(createAddressGuard(['127.0.0.1']))

export const makeProvider = (
  type: ProviderType,
  baseUrl: string,
  credentials: Record<string, string>,
  settings: Record<string, unknown> = {},
): Promise<Provider> =>
  createProvider(
    {
      id: 'id',
      name: 'tested',
      type,
      baseUrl,
      settings,
      credentials: [],
      passthroughModels: true,
      enabled: true,
      managedBy: 'file',
    },
    credentials,
    { client },
  )

/** One call through an adapter, without a pipeline around it. */
export const ask = (
  provider: Provider,
  body: Record<string, unknown> = {},
  operation: 'chat' | 'embeddings' = 'chat',
): Promise<ExchangeResult> => {
  const request = {
    model: 'm-1',
    ...(operation === 'chat' && { messages: [{ role: 'user', content: 'Hello.' }] }),
    ...body,
  }
  return provider.exchange(
    {
      requestId: '018bcfe5-6800-7000-8000-000000000000',
      operation,
      model: String(request.model),
      request: readInferenceRequest(operation, Buffer.from(JSON.stringify(request))),
      cancellation: new Cancellation(),
      remainingMs: 30_000,
      answerForm: 'any',
      outputTokensCap: undefined,
      modelOutputTokensMax: undefined,
    },
    { bytes: () => true, event: () => true, onceDrained: () => {}, follow: () => {} },
  )
}
