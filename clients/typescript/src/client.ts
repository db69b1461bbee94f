import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import {
  type ChannelOptions,
  Client,
  credentials,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { LlmgwError } from './errors.ts'
import type { ChatRequest } from './generated/thinkpixel/llmgw/v1/ChatRequest.ts'
import type { CompleteResponse__Output } from './generated/thinkpixel/llmgw/v1/CompleteResponse.ts'
import type { EmbedRequest } from './generated/thinkpixel/llmgw/v1/EmbedRequest.ts'
import type { EmbedResponse__Output } from './generated/thinkpixel/llmgw/v1/EmbedResponse.ts'
import type { GetModelResponse__Output } from './generated/thinkpixel/llmgw/v1/GetModelResponse.ts'
import type { ListModelsResponse__Output } from './generated/thinkpixel/llmgw/v1/ListModelsResponse.ts'
import type { Model__Output } from './generated/thinkpixel/llmgw/v1/Model.ts'
import type { StreamResponse__Output } from './generated/thinkpixel/llmgw/v1/StreamResponse.ts'
import { type RetryOptions, retryDefaults, serviceConfigOf } from './service-config.ts'

export interface ClientOptions {
  /** `host:port`, or any other target of gRPC such as `dns:///llmgw.internal:50051`. */
  address: string
  /** A virtual key; without one, the client certificate in `tls` has to stand for one. */
  apiKey?: string
  /** `false` is plain text; `true`, and no value, trusts the authorities that Node.js trusts. */
  tls?: boolean | TlsOptions
  /** Of each call, in milliseconds, unless it says otherwise; 10 minutes by default. */
  deadlineMs?: number
  /** `false` makes no call a second time. */
  retries?: false | Partial<RetryOptions>
  /**
   * Whether each call carries an idempotency key, so that one that is made again is not paid for twice; by default when
   * there are retries.
   */
  idempotencyKeys?: boolean
  /** Of grpc-js, in addition. */
  channelOptions?: ChannelOptions
}

/** All in PEM. */
export interface TlsOptions {
  /** Whom to trust instead of the usual authorities. */
  ca?: Buffer
  certificate?: Buffer
  key?: Buffer
}

export interface CallOptions {
  deadlineMs?: number
  /** Cancels the call: the gateway stops the provider. */
  signal?: AbortSignal
  /** Names the request, so that it is made once however often it is sent. */
  idempotencyKey?: string
  /** Further metadata, such as `x-request-id`. */
  metadata?: Readonly<Record<string, string>>
}

/** Every method throws an `LlmgwError` when the call fails, and the signal's reason when that has ended it. */
export interface LlmgwClient extends Disposable {
  complete(chat: ChatRequest, options?: CallOptions): Promise<CompleteResponse__Output>
  /** Leaving the loop cancels the call. */
  stream(chat: ChatRequest, options?: CallOptions): AsyncGenerator<StreamResponse__Output, void, void>
  embed(request: EmbedRequest, options?: CallOptions): Promise<EmbedResponse__Output>
  /** Asks for page after page as it goes. */
  models(options?: CallOptions): AsyncGenerator<Model__Output, void, void>
  model(name: string, options?: CallOptions): Promise<Model__Output>
  /** Calls that are under way end; new ones fail. */
  close(): void
}

const deadlineMsDefault = 600_000
const loaderOptions = { longs: String, enums: String, defaults: true, oneofs: true } as const
const files = ['chat_service', 'embedding_service', 'model_service'].map((name) => `thinkpixel/llmgw/v1/${name}.proto`)

export function createClient(options: ClientOptions): LlmgwClient {
  const retries = options.retries === false ? undefined : { ...retryDefaults, ...options.retries }
  const sendsKeys = options.idempotencyKeys ?? retries !== undefined
  const definition = loadSync(files, {
    ...loaderOptions,
    includeDirs: [fileURLToPath(new URL('../proto', import.meta.url))],
  })
  const client = new Client(options.address, securityOf(options.tls ?? true), {
    'grpc.enable_retries': retries ? 1 : 0,
    ...(retries && { 'grpc.service_config': serviceConfigOf(retries) }),
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    ...options.channelOptions,
  })

  const methodOf = (service: string, name: string): ServiceDefinition[string] => {
    const method = (definition[`thinkpixel.llmgw.v1.${service}`] as ServiceDefinition)[name]
    if (!method) throw new Error(`The contract has no ${service}.${name}.`)
    return method
  }

  const metadataOf = ({ idempotencyKey, metadata = {} }: CallOptions, isPaidFor: boolean): Metadata => {
    const sent = new Metadata()
    if (options.apiKey !== undefined) sent.set('authorization', `Bearer ${options.apiKey}`)
    const key = idempotencyKey ?? (isPaidFor && sendsKeys ? randomUUID() : undefined)
    if (key !== undefined) sent.set('idempotency-key', key)
    for (const [name, value] of Object.entries(metadata)) sent.set(name, value)
    return sent
  }

  const deadlineOf = ({ deadlineMs = options.deadlineMs ?? deadlineMsDefault }: CallOptions): GrpcCallOptions => ({
    deadline: Date.now() + deadlineMs,
  })

  function unary<Answer>(service: string, name: string, request: object, given: CallOptions = {}): Promise<Answer> {
    const { signal } = given
    const method = methodOf(service, name)
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const metadata = metadataOf(given, service !== 'ModelService')
      const call = client.makeUnaryRequest<object, Answer>(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        deadlineOf(given),
        (error, answer) => {
          signal?.removeEventListener('abort', cancel)
          if (!error) resolve(answer as Answer)
          else reject(signal?.aborted ? signal.reason : new LlmgwError(error))
        },
      )
      const cancel = (): void => call.cancel()
      signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  async function* stream(chat: ChatRequest, given: CallOptions = {}) {
    const { signal } = given
    signal?.throwIfAborted()
    const method = methodOf('ChatService', 'Stream')
    const call = client.makeServerStreamRequest<object, StreamResponse__Output>(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      { chat },
      metadataOf(given, true),
      deadlineOf(given),
    )
    const cancel = (): void => call.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      yield* call as AsyncIterable<StreamResponse__Output>
    } catch (error) {
      throw signal?.aborted ? signal.reason : new LlmgwError(error as ServiceError)
    } finally {
      signal?.removeEventListener('abort', cancel)
      call.cancel()
    }
  }

  async function* models(given?: CallOptions) {
    let pageToken = ''
    do {
      const page = await unary<ListModelsResponse__Output>('ModelService', 'ListModels', { pageToken }, given)
      yield* page.models
      pageToken = page.nextPageToken
    } while (pageToken !== '')
  }

  return {
    complete: (chat, given) => unary('ChatService', 'Complete', { chat }, given),
    stream,
    embed: (request, given) => unary('EmbeddingService', 'Embed', request, given),
    models,
    async model(name, given) {
      const { model } = await unary<GetModelResponse__Output>('ModelService', 'GetModel', { name }, given)
      if (!model) throw new Error(`The gateway knows ${name}, and does not say what it is.`)
      return model
    },
    close: () => client.close(),
    [Symbol.dispose]: () => client.close(),
  }
}

function securityOf(tls: boolean | TlsOptions) {
  if (tls === false) return credentials.createInsecure()
  const { ca, key, certificate } = tls === true ? {} : tls
  return credentials.createSsl(ca ?? null, key ?? null, certificate ?? null)
}
