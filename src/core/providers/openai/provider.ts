import type { UpstreamClient } from '../../upstream/upstream-client.ts'
import type { AnswerReader } from '../answer-reader.ts'
import { exchange } from '../exchange.ts'
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

const paths = { chat: '/chat/completions', embeddings: '/embeddings' } as const

/** OpenAI, and whoever speaks its protocol; only the reading of answers differs between them. */
export function createOpenAiProvider(
  settings: OpenAiSettings,
  client: UpstreamClient,
  type: ProviderType = 'openai',
  createReader: CreateAnswerReader = createRelayReader,
  quirks: RequestQuirks = {},
): Provider {
  const origin = client.openOrigin(settings.baseUrl)
  const constantHeaders = headersOf(settings)
  return {
    name: settings.name,
    type,
    totalTimeoutMs: settings.timeouts.totalMs,
    exchange(call: UpstreamCall, output: AttemptOutput): Promise<ExchangeResult> {
      return exchange(
        origin,
        {
          path: origin.pathPrefix + paths[call.operation],
          headers: [...constantHeaders, 'x-client-request-id', call.requestId],
          body: toUpstreamBody(call.request, call.model, quirks, call.outputTokensCap),
          stream: call.request.stream,
          readError: (status, headers, body) => readOpenAiError(status, headers, body, settings.apiKey),
          firstByteTimeoutMs: Math.min(settings.timeouts.firstByteMs, call.remainingMs),
          idleTimeoutMs: Math.min(settings.timeouts.idleMs, call.remainingMs),
          cancellation: call.cancellation,
        },
        output,
        createReader(call, output, settings.apiKey),
      )
    },
    close: () => origin.close(),
  }
}

export const createRelayReader: CreateAnswerReader = ({ request, operation }, output, credential) =>
  request.stream ? new RelayStream(output, request.includeUsage, credential) : new RelayAnswer(operation, credential)

function headersOf({ apiKey, organization, project, headers }: OpenAiSettings): string[] {
  const list = ['content-type', 'application/json', 'accept-encoding', 'identity', 'user-agent', 'llmgw']
  if (apiKey !== undefined) list.push('authorization', `Bearer ${apiKey}`)
  if (organization !== undefined) list.push('openai-organization', organization)
  if (project !== undefined) list.push('openai-project', project)
  for (const [name, value] of Object.entries(headers)) list.push(name, value)
  return list
}
