import type { FastifyInstance } from 'fastify'
import { GatewayError } from '../../core/errors.ts'
import type { Caller } from '../../core/keys/caller.ts'
import { getModel, listModels } from '../../core/routing/listed-models.ts'
import type { RestServerDeps } from './server.ts'

/** GET /v1/models and GET /v1/models/{id}: what the caller's key may use, in OpenAI's form. */
export function registerModelRoutes(app: FastifyInstance, { snapshot }: RestServerDeps): void {
  app.get('/v1/models', (request, reply) => {
    const data = listModels(snapshot(), request.caller as Caller)
    reply.header('x-request-id', request.id).send({ object: 'list', data })
  })
  // Names such as "openai/gpt-4o" have slashes of their own.
  app.get('/v1/models/*', (request, reply) => {
    const name = (request.params as { '*': string })['*']
    const model = getModel(snapshot(), request.caller as Caller, name)
    if (!model) throw new GatewayError('model_not_found', `There is no model ${name.slice(0, 200)} for this key.`)
    reply.header('x-request-id', request.id).send(model)
  })
}
