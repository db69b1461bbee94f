import type { FastifyInstance } from 'fastify'
import { GatewayError } from '../../core/errors.ts'
import type { Operation } from '../../core/inference/call.ts'
import type { Caller } from '../../core/keys/caller.ts'
import { clientRequestIdOf, idempotencyKeyOf, requestTimeoutMsOf } from './headers.ts'
import type { OpenAnswers } from './open-answers.ts'
import { readInferenceRequest } from './request-body.ts'
import { RestAnswer } from './rest-answer.ts'
import type { RestServerDeps } from './server.ts'

interface InferenceRouteDeps extends RestServerDeps {
  open: OpenAnswers
  isOverloaded(): boolean
  isDraining(): boolean
}

const routes = [
  ['/v1/chat/completions', 'chat'],
  ['/v1/embeddings', 'embeddings'],
] as const satisfies [string, Operation][]

/** POST /v1/chat/completions and POST /v1/embeddings: the same road for both. */
export function registerInferenceRoutes(app: FastifyInstance, deps: InferenceRouteDeps): void {
  const { pipeline, open, clock } = deps
  for (const [path, operation] of routes) {
    const target = `POST ${path}`
    app.post(path, (request, reply) => {
      const startedMs = clock.monotonicMs()
      if (deps.isDraining()) throw new GatewayError('server_shutting_down', 'The gateway is shutting down; try again.')
      if (deps.isOverloaded())
        throw new GatewayError('overloaded', 'The gateway has too much to do; try again shortly.')
      const body = readInferenceRequest(operation, bodyOf(request.body))
      const timeoutMs = requestTimeoutMsOf(request.raw)
      const key = idempotencyKeyOf(request.raw)
      reply.hijack()
      const answer = new RestAnswer(reply.raw, request.id, body, open, clock.monotonicMs)
      const call = {
        requestId: request.id,
        door: 'rest' as const,
        operation,
        caller: request.caller as Caller,
        request: body,
        clientRequestId: clientRequestIdOf(request.raw),
        idempotency: key === undefined ? undefined : { key, target },
        cancellation: answer.cancellation,
        timeoutMs,
        startedMs,
      }
      void pipeline.run(call, answer).finally(() => answer.settled())
    })
  }
}

function bodyOf(body: unknown): Buffer {
  if (!Buffer.isBuffer(body)) throw new GatewayError('invalid_json', 'The request has no body.')
  return body
}
