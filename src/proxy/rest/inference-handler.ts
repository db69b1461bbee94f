import type { IncomingMessage, ServerResponse } from 'node:http'
import { GatewayError } from '../../core/errors.ts'
import type { Operation } from '../../core/inference/call.ts'
import { readInferenceRequest } from '../../core/inference/read-inference-request.ts'
import type { Caller } from '../../core/keys/caller.ts'
import { sendError } from './error-reply.ts'
import { checkHeaders, clientRequestIdOf, credentialOf, idempotencyKeyOf, requestTimeoutMsOf } from './headers.ts'
import { readBody } from './read-body.ts'
import { RestAnswer } from './rest-answer.ts'
import type { RestServerDeps } from './server.ts'

interface InferenceHandlerDeps extends RestServerDeps {
  isDraining(): boolean
}

interface Target {
  operation: Operation
  /** As an idempotency key's request is compared by. */
  name: string
}

const targets: ReadonlyMap<string, Target> = new Map([
  ['/v1/chat/completions', { operation: 'chat', name: 'POST /v1/chat/completions' }],
  ['/v1/embeddings', { operation: 'embeddings', name: 'POST /v1/embeddings' }],
])

/**
 * POST /v1/chat/completions and POST /v1/embeddings: the same road for both, and straight from `node:http`. Nearly all
 * requests are these, and a framework's routing, request and reply are a tenth of what one of them costs.
 *
 * @returns takes a request, or returns false when it is another one
 */
export function createInferenceHandler(
  deps: InferenceHandlerDeps,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { pipeline, open, clock, limits } = deps

  function receive(target: Target, request: IncomingMessage, response: ServerResponse): void {
    const requestId = deps.ids(clock.nowMs())
    const refuse = (thrown: unknown): void => sendError(response, thrown, requestId, deps.log)
    const read = (caller: Caller): void => {
      const begin = (body: Buffer): void => {
        try {
          start(target, request, response, requestId, caller, body)
        } catch (thrown) {
          refuse(thrown)
        }
      }
      readBody(request, limits.bodyBytes, begin, refuse)
    }
    if (deps.isDraining()) response.setHeader('connection', 'close')
    try {
      checkHeaders(request)
      const caller = pipeline.authenticate(credentialOf(request))
      if (caller instanceof Promise) caller.then(read, refuse)
      else read(caller)
    } catch (thrown) {
      refuse(thrown)
    }
  }

  function start(
    { operation, name }: Target,
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    caller: Caller,
    bytes: Buffer,
  ): void {
    const startedMs = clock.monotonicMs()
    if (deps.isDraining()) throw new GatewayError('server_shutting_down', 'The gateway is shutting down; try again.')
    if (deps.isOverloaded()) throw new GatewayError('overloaded', 'The gateway has too much to do; try again shortly.')
    if (bytes.length === 0) throw new GatewayError('invalid_json', 'The request has no body.')
    const body = readInferenceRequest(operation, bytes)
    const timeoutMs = requestTimeoutMsOf(request)
    const key = idempotencyKeyOf(request)
    const answer = new RestAnswer(response, requestId, body, open, clock.monotonicMs)
    const call = {
      requestId,
      door: 'rest' as const,
      operation,
      caller,
      request: body,
      answerForm: 'any' as const,
      clientRequestId: clientRequestIdOf(request),
      idempotency: key === undefined ? undefined : { key, target: name },
      header: (name: string) => headerOf(request, name),
      cancellation: answer.cancellation,
      timeoutMs,
      startedMs,
    }
    void pipeline.run(call, answer).then(() => answer.settled())
  }

  return (request, response) => {
    const target = request.method === 'POST' ? targetOf(request.url ?? '') : undefined
    if (target) receive(target, request, response)
    return target !== undefined
  }
}

const headerOf = ({ headers }: IncomingMessage, name: string): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

function targetOf(url: string): Target | undefined {
  const query = url.indexOf('?')
  return targets.get(query === -1 ? url : url.slice(0, query))
}
