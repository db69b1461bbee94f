import type { UpstreamClient } from '../upstream/upstream-client.ts'
import type { AccessTokens } from './access-tokens.ts'
import type { AnswerReader } from './answer-reader.ts'
import { exchange, traceHeaders } from './exchange.ts'
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
  /** Bearer tokens, where there is no key among the headers. */
  tokens?: AccessTokens
  /**
   * @param token - the one in use, which may be echoed
   * @throws GatewayError for what cannot be said in the provider's protocol
   */
  translate(call: UpstreamCall, output: AttemptOutput, token: string | undefined): Translation
  readError(status: number, headers: ResponseHeaders, body: Buffer, token: string | undefined): ExchangeFailure
}

/** A provider that speaks another protocol than OpenAI's, over HTTP: what it is told and how it is read is its folder's. */
export function createTranslatingProvider(
  { name, type, baseUrl, timeouts, headers, tokens, translate, readError }: TranslatingProviderOptions,
  client: UpstreamClient,
): Provider {
  const origin = client.openOrigin(baseUrl)
  const constantHeaders = [...commonHeaders, ...headers]
  return {
    name,
    type,
    totalTimeoutMs: timeouts.totalMs,
    async exchange(call: UpstreamCall, output: AttemptOutput): Promise<ExchangeResult> {
      const token = tokens && (await tokens.current())
      const { path, body, headers: ownHeaders = [], streamTypes, reader } = translate(call, output, token)
      const authorization = token === undefined ? [] : ['authorization', `Bearer ${token}`]
      return exchange(
        origin,
        {
          path: origin.pathPrefix + path,
          headers: [...constantHeaders, ...authorization, ...ownHeaders, ...traceHeaders(call)],
          body: Buffer.from(JSON.stringify(body)),
          stream: call.request.stream,
          ...(streamTypes && { streamTypes }),
          readError(status, errorHeaders, errorBody) {
            if (status === 401) tokens?.forget()
            return readError(status, errorHeaders, errorBody, token)
          },
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
