import { once } from 'node:events'
import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { service as healthService } from 'grpc-health-check'
import protobuf from 'protobufjs/minimal.js'
import type { CompleteResponse__Output } from '../../src/generated/proto/thinkpixel/llmgw/v1/CompleteResponse.ts'
import type { EmbedResponse__Output } from '../../src/generated/proto/thinkpixel/llmgw/v1/EmbedResponse.ts'
import type { StreamResponse__Output } from '../../src/generated/proto/thinkpixel/llmgw/v1/StreamResponse.ts'

const files = ['chat_service', 'embedding_service', 'model_service'].map((name) => `thinkpixel/llmgw/v1/${name}.proto`)
const definition = loadSync(files, {
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  includeDirs: ['proto'],
})
export const packageDefinition = definition

export interface GrpcCallOptions {
  /** Null sends none. */
  key?: string | null
  metadata?: Readonly<Record<string, string>>
  deadlineMs?: number
  /** Gets a unary call once it is under way. */
  onCall?(call: { cancel(): void }): void
}

/** How a call ended, and what came with it. */
export interface GrpcOutcome<Message> {
  /** As gRPC numbers it; 0 is OK. */
  code: number
  message: string
  messages: Message[]
  head: Metadata
  trailer: Metadata
}

export interface GrpcStream {
  call: ClientReadableStream<StreamResponse__Output>
  outcome: Promise<GrpcOutcome<StreamResponse__Output>>
}

/** A client of our services, as others would write it. */
export class GrpcClient extends Client implements Disposable {
  readonly #key: string

  constructor(address: string, key: string, security: ChannelCredentials = credentials.createInsecure(), options = {}) {
    super(address, security, options)
    this.#key = key
  }

  /** A chat request for `gpt-4o-mini`, but for what is given. */
  complete(chat: object = {}, options?: GrpcCallOptions): Promise<GrpcOutcome<CompleteResponse__Output>> {
    return this.unary('ChatService/Complete', { chat: { ...chatDefaults, ...chat } }, options)
  }

  embed(request: object = {}, options?: GrpcCallOptions): Promise<GrpcOutcome<EmbedResponse__Output>> {
    const defaults = { model: 'text-embedding-3-small', texts: ['Say hello.'] }
    return this.unary('EmbeddingService/Embed', { ...defaults, ...request }, options)
  }

  unary<Message>(path: string, request: object | Buffer, options: GrpcCallOptions = {}): Promise<GrpcOutcome<Message>> {
    const method = methodOf(path)
    return new Promise((resolve) => {
      let head = new Metadata()
      let message: Message | undefined
      let failure: ServiceError | null = null
      const call = this.makeUnaryRequest<unknown, Message>(
        method.path,
        (value) => (Buffer.isBuffer(value) ? value : method.requestSerialize(value)),
        method.responseDeserialize,
        request,
        this.#metadataOf(options),
        deadlineOf(options),
        (error, value) => {
          failure = error
          message = value
        },
      )
      options.onCall?.(call)
      call.on('metadata', (metadata) => {
        head = metadata
      })
      call.on('status', ({ code, details, metadata }) => {
        setImmediate(() =>
          resolve({
            code: failure?.code ?? code,
            message: details,
            messages: message ? [message] : [],
            head,
            trailer: metadata,
          }),
        )
      })
    })
  }

  /** Reads all of it, unless somebody pauses `call`. */
  stream(chat: object = {}, options: GrpcCallOptions = {}): GrpcStream {
    const method = methodOf('ChatService/Stream')
    const call = this.makeServerStreamRequest<unknown, StreamResponse__Output>(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      { chat: { ...chatDefaults, ...chat } },
      this.#metadataOf(options),
      deadlineOf(options),
    )
    const outcome = new Promise<GrpcOutcome<StreamResponse__Output>>((resolve) => {
      const messages: StreamResponse__Output[] = []
      let head = new Metadata()
      call.on('metadata', (metadata) => {
        head = metadata
      })
      call.on('data', (message) => messages.push(message))
      call.on('error', () => {}) // the status says it, too
      call.on('status', ({ code, details, metadata }) =>
        resolve({ code, message: details, messages, head, trailer: metadata }),
      )
    })
    return { call, outcome }
  }

  /** @param service - empty asks about all of them */
  health(service: string): Promise<string> {
    const Check = healthService.Check as ServiceDefinition[string]
    return new Promise((resolve, reject) =>
      this.makeUnaryRequest<{ service: string }, { status: string }>(
        Check.path,
        Check.requestSerialize,
        Check.responseDeserialize as (bytes: Buffer) => { status: string },
        { service },
        (error, answer) => (error ? reject(error) : resolve(answer?.status ?? '')),
      ),
    )
  }

  #metadataOf({ key = this.#key, metadata = {} }: GrpcCallOptions): Metadata {
    const sent = new Metadata()
    if (key !== null) sent.set('authorization', `Bearer ${key}`)
    for (const [name, value] of Object.entries(metadata)) sent.set(name, value)
    return sent
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

const chatDefaults = { model: 'gpt-4o-mini', messages: [{ role: 'ROLE_USER', content: [{ text: 'Say hello.' }] }] }

const deadlineOf = ({ deadlineMs }: GrpcCallOptions) =>
  deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs }

function methodOf(path: string) {
  const [service = '', name = ''] = path.split('/')
  const method = (definition[`thinkpixel.llmgw.v1.${service}`] as ServiceDefinition)[name]
  if (!method) throw new Error(`There is no ${path}.`)
  return method
}

/** Waits until the first message is there. */
export const firstMessage = ({ call }: GrpcStream): Promise<unknown> => once(call, 'data')

/** The texts of a stream, in one. */
export const textOf = (messages: readonly StreamResponse__Output[]): string =>
  messages.map((message) => message.text?.text ?? '').join('')

/** What `google.rpc.Status` tells, by the names of its details. */
export interface StatusDetails {
  ErrorInfo?: { reason: string; domain: string; providerCode?: string }
  /** In milliseconds. */
  RetryInfo?: { retryDelayMs: number }
  QuotaFailure?: { subject: string; description: string }
  BadRequest?: { field: string; description: string }
  RequestInfo?: { requestId: string }
}

/** Decoded by hand, from the field numbers of google/rpc/status.proto and error_details.proto. */
export function detailsOf({ trailer }: Pick<GrpcOutcome<unknown>, 'trailer'>): StatusDetails {
  const [bytes] = trailer.get('grpc-status-details-bin')
  if (!Buffer.isBuffer(bytes)) return {}
  const details: StatusDetails = {}
  for (const any of fieldsOf(bytes)[3] ?? []) {
    const [type, value] = [1, 2].map((field) => fieldsOf(any as Uint8Array)[field]?.[0] as Uint8Array)
    const name = Buffer.from(type as Uint8Array)
      .toString()
      .replace('type.googleapis.com/google.rpc.', '')
    const fields = fieldsOf(value as Uint8Array)
    const text = (field: number, of = fields): string => Buffer.from((of[field]?.[0] ?? '') as Uint8Array).toString()
    const inner = () => fieldsOf((fields[1]?.[0] ?? new Uint8Array()) as Uint8Array)
    if (name === 'ErrorInfo') {
      details.ErrorInfo = { reason: text(1), domain: text(2) }
      if (fields[3]) details.ErrorInfo.providerCode = text(2, fieldsOf(fields[3][0] as Uint8Array))
    } else if (name === 'RequestInfo') details.RequestInfo = { requestId: text(1) }
    else if (name === 'RetryInfo') {
      const [seconds = 0, nanos = 0] = [1, 2].map((field) => Number(inner()[field]?.[0] ?? 0))
      details.RetryInfo = { retryDelayMs: seconds * 1_000 + nanos / 1e6 }
    } else if (name === 'QuotaFailure')
      details.QuotaFailure = { subject: text(1, inner()), description: text(2, inner()) }
    else if (name === 'BadRequest') details.BadRequest = { field: text(1, inner()), description: text(2, inner()) }
    else throw new Error(`Nobody expected ${name}.`)
  }
  return details
}

function fieldsOf(bytes: Uint8Array): Record<number, (number | Uint8Array)[]> {
  const fields: Record<number, (number | Uint8Array)[]> = {}
  const reader = protobuf.Reader.create(bytes)
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    const value = (tag & 7) === 2 ? reader.bytes() : Number(reader.int64().toString())
    fields[tag >>> 3] = [...(fields[tag >>> 3] ?? []), value]
  }
  return fields
}
