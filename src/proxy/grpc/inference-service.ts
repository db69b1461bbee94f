import type { ServerUnaryCall, ServerWritableStream, ServiceDefinition, sendUnaryData } from '@grpc/grpc-js'
import type { Clock } from '../../core/clock.ts'
import { GatewayError } from '../../core/errors.ts'
import type { IdSource } from '../../core/ids.ts'
import type { Call, Operation } from '../../core/inference/call.ts'
import type { Pipeline } from '../../core/inference/pipeline.ts'
import { readInferenceRequest } from '../../core/inference/read-inference-request.ts'
import type { Caller } from '../../core/keys/caller.ts'
import type { Log } from '../../core/log.ts'
import type { CompleteRequest__Output } from '../../generated/proto/thinkpixel/llmgw/v1/CompleteRequest.ts'
import type { EmbedRequest__Output } from '../../generated/proto/thinkpixel/llmgw/v1/EmbedRequest.ts'
import type { OpenAnswers } from '../open-answers.ts'
import { clientRequestIdOf, entryOf, idempotencyKeyOf, timeoutMsOf } from './call-metadata.ts'
import { chatBody } from './chat-body.ts'
import { type Contract, MalformedMessage } from './contract.ts'
import { embedBody } from './embed-body.ts'
import { errorStatus } from './error-status.ts'
import type { OpenCall, OpenCallDeps, ServerCall } from './open-call.ts'
import { StreamAnswer } from './stream-answer.ts'
import { UnaryAnswer } from './unary-answer.ts'

export interface InferenceServiceDeps {
  pipeline: Pipeline
  /** Checks what must hold of every call before its message is looked at. */
  callerOf(call: ServerCall): Caller | Promise<Caller>
  open: OpenAnswers
  isOverloaded(): boolean
  isDraining(): boolean
  clock: Clock
  ids: IdSource
  log: Log
}

interface Method {
  operation: Operation
  /** As an idempotency key's request is compared by. */
  target: string
  /** The request in OpenAI's form. @throws GatewayError invalid_body */
  body(request: never): Buffer
  answer(deps: OpenCallDeps): OpenCall
  refuse(thrown: unknown): void
}

/** ChatService and EmbeddingService: messages to calls of the pipeline, and its answers to messages. */
export function createInferenceService({ chat, embedding }: Contract, deps: InferenceServiceDeps) {
  const { pipeline, open, clock } = deps

  function receive(call: ServerCall, method: Method, serialize: OpenCallDeps['serialize'], requestId: string): void {
    const startedMs = clock.monotonicMs()
    const begin = (caller: Caller): void => {
      try {
        start(call, method, serialize, requestId, caller, startedMs)
      } catch (thrown) {
        method.refuse(thrown)
      }
    }
    try {
      const caller = deps.callerOf(call)
      if (caller instanceof Promise) caller.then(begin, method.refuse)
      else begin(caller)
    } catch (thrown) {
      method.refuse(thrown)
    }
  }

  function start(
    call: ServerCall,
    { operation, target, body, answer }: Method,
    serialize: OpenCallDeps['serialize'],
    requestId: string,
    caller: Caller,
    startedMs: number,
  ): void {
    if (deps.isDraining()) throw new GatewayError('server_shutting_down', 'The gateway is shutting down; try again.')
    if (deps.isOverloaded()) throw new GatewayError('overloaded', 'The gateway has too much to do; try again shortly.')
    if (call.request instanceof MalformedMessage) {
      throw new GatewayError('invalid_body', 'The message is not one of the type that the method takes.')
    }
    const request = readInferenceRequest(operation, body(call.request as never))
    const { metadata } = call
    const key = idempotencyKeyOf(metadata)
    const timeoutMs = timeoutMsOf(call.getDeadline(), Date.now())
    const sink = answer({ requestId, requestedModel: request.model, open, nowMs: clock.monotonicMs, serialize })
    const asked: Call = {
      requestId,
      door: 'grpc',
      operation,
      caller,
      request,
      answerForm: 'events',
      clientRequestId: clientRequestIdOf(metadata),
      idempotency: key === undefined ? undefined : { key, target },
      header: (name) => entryOf(metadata, name),
      cancellation: sink.cancellation,
      timeoutMs,
      startedMs,
    }
    void pipeline.run(asked, sink).then(() => sink.settled())
  }

  const refusal = (thrown: unknown, requestId: string) => {
    const error = GatewayError.from(thrown)
    if (error.code === 'internal_error') {
      deps.log.error({ err: error.cause, request_id: requestId }, 'A request failed inside.')
    }
    return errorStatus(error, requestId, Math.random())
  }

  const unary =
    (definition: ServiceDefinition, name: string, operation: Operation, body: Method['body']) =>
    (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>): void => {
      const requestId = deps.ids(clock.nowMs())
      const method: Method = {
        operation,
        target: pathOf(definition, name),
        body,
        answer: (answering) => new UnaryAnswer(call, operation, answering, done),
        refuse: (thrown) => done(refusal(thrown, requestId)),
      }
      receive(call, method, serializerOf(definition, name), requestId)
    }

  return {
    chat: {
      Complete: unary(chat, 'Complete', 'chat', ({ chat }: CompleteRequest__Output) => chatBody(chat, false)),
      Stream(call: ServerWritableStream<unknown, unknown>): void {
        const requestId = deps.ids(clock.nowMs())
        const method: Method = {
          operation: 'chat',
          target: pathOf(chat, 'Stream'),
          body: ({ chat }: CompleteRequest__Output) => chatBody(chat, true),
          answer: (answering) => new StreamAnswer(call, answering),
          refuse: (thrown) => void call.emit('error', refusal(thrown, requestId)),
        }
        receive(call, method, serializerOf(chat, 'Stream'), requestId)
      },
    },
    embedding: {
      Embed: unary(embedding, 'Embed', 'embeddings', (request: EmbedRequest__Output) => embedBody(request)),
    },
  }
}

const pathOf = (definition: ServiceDefinition, name: string): string =>
  (definition[name] as ServiceDefinition[string]).path

const serializerOf =
  (definition: ServiceDefinition, name: string): OpenCallDeps['serialize'] =>
  (message) =>
    (definition[name] as ServiceDefinition[string]).responseSerialize(message)
