import { get as getPlain, type IncomingMessage } from 'node:http'
import { get as getSecure } from 'node:https'
import { readLitellmFeed } from '../../src/core/catalog/litellm.ts'
import { Cancellation } from '../../src/core/inference/cancellation.ts'
import { readInferenceRequest } from '../../src/core/inference/read-inference-request.ts'
import type { ProviderType } from '../../src/core/providers/provider.ts'
import { createProvider } from '../../src/core/providers/registry.ts'
import { request, requestText } from '../../src/core/upstream/request.ts'
import type { UpstreamClient } from '../../src/core/upstream/upstream-client.ts'

/** One of the code paths by which something leaves the process. Rejects with the reason when it may not. */
export interface WayOut {
  name: string
  /** @param url - of the upstream, as an operator would set it */
  go(client: UpstreamClient, url: string): Promise<unknown>
}

export const credential = 'sk-of-this-upstream-only-0123456789'

/** @param credentials - and settings: the least that a provider of the type is made from */
const provider = (type: ProviderType, credentials: Record<string, string>, settings: object = {}): WayOut => ({
  name: `a provider of type ${type}`,
  async go(client, url) {
    const stored = { id: 'id', name: 'tested', type, baseUrl: url, settings: { ...settings }, credentials: [] }
    const made = await createProvider(
      { ...stored, passthroughModels: true, enabled: true, managedBy: 'file' },
      credentials,
      { client },
    )
    try {
      const body = { model: 'm', messages: [{ role: 'user', content: 'Hello.' }], max_tokens: 5 }
      const { failure } = await made.exchange(
        {
          requestId: '018bcfe5-6800-7000-8000-000000000000',
          operation: 'chat',
          model: 'm',
          request: readInferenceRequest('chat', Buffer.from(JSON.stringify(body))),
          cancellation: new Cancellation(),
          remainingMs: 10_000,
          answerForm: 'any',
          outputTokensCap: undefined,
          modelOutputTokensMax: undefined,
        },
        { bytes: () => true, event: () => true, onceDrained: () => {}, follow: () => {} },
      )
      // What callers are told has no addresses in it; what the operator is told is the cause.
      if (failure) throw failure.error.cause ?? failure.error
    } finally {
      await made.close()
    }
  },
})

const headers = { authorization: `Bearer ${credential}` }

const token: WayOut = {
  name: 'a token request',
  go: (client, url) => request(client, { method: 'POST', url, headers, body: 'grant_type=client_credentials' }),
}

const catalog: WayOut = {
  name: 'the price list',
  go: async (client, url) =>
    readLitellmFeed(await requestText(client, url, { maxBytes: 10_000, signal: AbortSignal.timeout(10_000) })),
}

/** As the AWS SDK uses them. */
const agent: WayOut = {
  name: 'an agent of a library',
  async go(client, url) {
    const { httpAgent, httpsAgent, close } = client.openAgents()
    try {
      await new Promise<void>((resolve, reject) => {
        const read = (response: IncomingMessage): void => {
          response.resume()
          if (response.statusCode === 200) resolve()
          else reject(new Error(`HTTP ${response.statusCode}`))
        }
        const asked = url.startsWith('https:')
          ? getSecure(url, { agent: httpsAgent, headers }, read)
          : getPlain(url, { agent: httpAgent, headers }, read)
        asked.on('error', reject)
      })
    } finally {
      close()
    }
  },
}

export const waysOut: readonly WayOut[] = [
  provider('openai', { apiKey: credential }),
  provider('openai-compatible', { apiKey: credential }),
  provider('anthropic', { apiKey: credential }),
  provider('gemini', { apiKey: credential }),
  provider('azure-openai', { apiKey: credential }),
  provider('vertex', { accessToken: credential }),
  provider('bedrock', { bearerToken: credential }, { region: 'us-east-1' }),
  token,
  catalog,
  agent,
]
