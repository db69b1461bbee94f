import type { UpstreamClient } from '../upstream/upstream-client.ts'
import type { AnswerReader } from './answer-reader.ts'
import { exchange } from './exchange.ts'
import type { ResponseHeaders } from './failures.ts'
import type {
  AttemptOutput,
  ExchangeFailure,
  ExchangeResult,
  Provider,
  ProviderTimeouts,
  ProviderType,
  UpstreamCall,
} from './provider.ts'

/** One call in a provider's own protocol. */
export interface Translation {
  /** Behind the path of the base URL. */
  path: string
  body: unknown
  /** Beside those of every call. */
  headers?: readonly string[]
  /** The media types that a streamed answer may have; `text/event-stream` unless given. */
  streamTypes?: readonly string[]
  reader: AnswerReader
}

export interface TranslatingProviderOptions {
  name: string
  type: ProviderType
  baseUrl: string
  timeouts: ProviderTimeouts
  /** Names and values in turn, of every call. */
  headers: readonly string[]
  /**
   * Headers that take time to get, such as a token that expires.
   *
   * @throws GatewayError provider_auth_failed
   */
  authorize?: () => Promise<readonly string[]>
  /** @throws GatewayError for what cannot be said in the provider's protocol */
  translate(call: UpstreamCall, output: AttemptOutput): Translation
  readError(status: number, headers: ResponseHeaders, body: Buffer): ExchangeFailure
}

/** A provider that speaks another protocol than OpenAI's, over HTTP: what it is told and how it is read is its folder's. */
export function createTranslatingProvider(
  { name, type, baseUrl, timeouts, headers, authorize, translate, readError }: TranslatingProviderOptions,
  client: UpstreamClient,
): Provider {
  const origin = client.openOrigin(baseUrl)
  const constantHeaders = [...commonHeaders, ...headers]
  return {
    name,
    type,
    totalTimeoutMs: timeouts.totalMs,
    async exchange(call: UpstreamCall, output: AttemptOutput): Promise<ExchangeResult> {
      const { path, body, headers: ownHeaders = [], streamTypes, reader } = translate(call, output)
      const authorization = authorize ? await authorize() : []
      return exchange(
        origin,
        {
          path: origin.pathPrefix + path,
          headers: [...constantHeaders, ...authorization, ...ownHeaders],
          body: Buffer.from(JSON.stringify(body)),
          stream: call.request.stream,
          ...(streamTypes && { streamTypes }),
          readError,
          firstByteTimeoutMs: Math.min(timeouts.firstByteMs, call.remainingMs),
          idleTimeoutMs: Math.min(timeouts.idleMs, call.remainingMs),
          cancellation: call.cancellation,
        },
        output,
        reader,
      )
    },
    close: () => origin.close(),
  }
}

const commonHeaders = ['content-type', 'application/json', 'accept-encoding', 'identity', 'user-agent', 'llmgw']
