import type { Operation } from '../../inference/call.ts'
import type { UpstreamClient } from '../../upstream/upstream-client.ts'
import type { AccessTokens } from '../access-tokens.ts'
import type { AnswerReader } from '../answer-reader.ts'
import { exchange, traceHeaders } from '../exchange.ts'
import { createDecodingReader } from '../openai-compatible/decoding-reader.ts'
import type {
  AttemptOutput,
  ExchangeResult,
  Provider,
  ProviderTimeouts,
  ProviderType,
  UpstreamCall,
} from '../provider.ts'
import { readOpenAiError } from './errors.ts'
import { RelayAnswer } from './relay-answer.ts'
import { RelayStream } from './relay-stream.ts'
import { type RequestQuirks, toUpstreamBody } from './to-upstream.ts'

export interface OpenAiSettings {
  name: string
  baseUrl: string
  /** Absent for local servers that ask for none. */
  apiKey: string | undefined
  /** Where the key goes instead of `Authorization: Bearer`. */
  apiKeyHeader?: string
  /** Bearer tokens, where there is no key. */
  tokens?: AccessTokens
  organization: string | undefined
  project: string | undefined
  /** Constants set by the operator, never by a client. */
  headers: Readonly<Record<string, string>>
  timeouts: ProviderTimeouts
}

/** How answers are read: the relay for upstreams that speak the protocol cleanly, a decoder for the others. */
export type CreateAnswerReader = (
  call: UpstreamCall,
  output: AttemptOutput,
  /** Replaced wherever the provider echoes it in an error. */
  credential: string | undefined,
) => AnswerReader

/** Of the operations, behind the path of the base URL. */
export const openAiPaths = { chat: '/chat/completions', embeddings: '/embeddings' } as const

/** What differs between OpenAI and others who speak its protocol. */
export interface OpenAiVariant {
  type: ProviderType
  createReader: CreateAnswerReader
  quirks?: RequestQuirks
  /** Behind the path of the base URL. */
  pathOf?: (operation: Operation, model: string) => string
  /** The provider's name of what is asked for, in the body. */
  bodyModelOf?: (model: string) => string
}

/** OpenAI, and whoever speaks its protocol. */
export function createOpenAiProvider(
  settings: OpenAiSettings,
  client: UpstreamClient,
  {
    type,
    createReader,
    quirks = {},
    pathOf = (operation) => openAiPaths[operation],
    bodyModelOf = (model) => model,
  }: OpenAiVariant,
): Provider {
  const origin = client.openOrigin(settings.baseUrl)
  const constantHeaders = headersOf(settings)
  const { tokens } = settings
  return {
    name: settings.name,
    type,
    totalTimeoutMs: settings.timeouts.totalMs,
    async exchange(call: UpstreamCall, output: AttemptOutput): Promise<ExchangeResult> {
      const read = call.answerForm === 'events' && call.operation === 'chat' ? createDecodingReader : createReader
      const reader = read(call, output, settings.apiKey)
      const token = tokens && (await tokens.current())
      return exchange(
        origin,
        {
          path: origin.pathPrefix + pathOf(call.operation, call.model),
          headers: [...constantHeaders, ...bearer(token), ...traceHeaders(call), 'x-client-request-id', call.requestId],
          body: toUpstreamBody(call.request, bodyModelOf(call.model), quirks, call.outputTokensCap),
          stream: call.request.stream,
          readError(status, headers, body) {
            if (status === 401) tokens?.forget()
            return readOpenAiError(status, headers, body, settings.apiKey ?? token)
          },
          firstByteTimeoutMs: Math.min(settings.timeouts.firstByteMs, call.remainingMs),
          idleTimeoutMs: Math.min(settings.timeouts.idleMs, call.remainingMs),
          cancellation: call.cancellation,
        },
        output,
        reader,
      )
    },
    close: () => origin.close(),
  }
}

export const createRelayReader: CreateAnswerReader = ({ request, operation }, output, credential) =>
  request.stream ? new RelayStream(output, request.includeUsage, credential) : new RelayAnswer(operation, credential)

const bearer = (token: string | undefined): string[] =>
  token === undefined ? [] : ['authorization', `Bearer ${token}`]

function headersOf({ apiKey, apiKeyHeader, organization, project, headers }: OpenAiSettings): string[] {
  const list = ['content-type', 'application/json', 'accept-encoding', 'identity', 'user-agent', 'llmgw']
  if (apiKey !== undefined && apiKeyHeader !== undefined) list.push(apiKeyHeader, apiKey)
  else list.push(...bearer(apiKey))
  if (organization !== undefined) list.push('openai-organization', organization)
  if (project !== undefined) list.push('openai-project', project)
  for (const [name, value] of Object.entries(headers)) list.push(name, value)
  return list
}
