import type { ServiceDefinition } from '@grpc/grpc-js'

/** Who may call a method: the bearer of a live API key, or anybody. */
type Policy = 'key' | 'anybody'

/** Every method that is served, so that none is served by mistake. */
const policies: Readonly<Record<string, Policy>> = {
  '/thinkpixel.llmgw.v1.ChatService/Complete': 'key',
  '/thinkpixel.llmgw.v1.ChatService/Stream': 'key',
  '/thinkpixel.llmgw.v1.EmbeddingService/Embed': 'key',
  '/thinkpixel.llmgw.v1.ModelService/ListModels': 'key',
  '/thinkpixel.llmgw.v1.ModelService/GetModel': 'key',
  // Load balancers have no key.
  '/grpc.health.v1.Health/Check': 'anybody',
  '/grpc.health.v1.Health/Watch': 'anybody',
  '/grpc.health.v1.Health/List': 'anybody',
  // Only where it is switched on.
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': 'anybody',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': 'anybody',
}

/** @throws Error that names the methods nobody has decided about: the process must not start */
export function checkPolicies(service: ServiceDefinition): void {
  const paths = Object.values(service).map(({ path }) => path)
  const undecided = paths.filter((path) => policies[path] === undefined)
  if (undecided.length > 0) throw new Error(`No policy says who may call ${undecided.join(', ')}.`)
}
