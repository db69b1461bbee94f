import { join } from 'node:path'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import { loadSync, type PackageDefinition } from '@grpc/proto-loader'

/** As codegen.ts has the types made: others would lie about what is loaded here. */
const options = { longs: String, enums: String, defaults: true, oneofs: true } as const

const folder = join(import.meta.dirname, '../../../proto')
const files = ['chat_service', 'embedding_service', 'model_service'].map((name) => `thinkpixel/llmgw/v1/${name}.proto`)

/** Stands for a request that is not what its method takes: refused by the method, in our words. */
export class MalformedMessage {}

export interface Contract {
  chat: ServiceDefinition
  embedding: ServiceDefinition
  model: ServiceDefinition
  /** What reflection tells. */
  definition: PackageDefinition
}

/** Reads `proto/`. Requests that cannot be decoded become `MalformedMessage`; answers that are bytes already go as they are. */
export function loadContract(): Contract {
  const definition = loadSync(files, { ...options, includeDirs: [folder] })
  const service = (name: string): ServiceDefinition => served(definition[`thinkpixel.llmgw.v1.${name}`])
  return {
    chat: service('ChatService'),
    embedding: service('EmbeddingService'),
    model: service('ModelService'),
    definition,
  }
}

function served(loaded: PackageDefinition[string] | undefined): ServiceDefinition {
  const service = loaded as ServiceDefinition
  return Object.fromEntries(Object.entries(service).map(([name, method]) => [name, servedMethod(method)]))
}

// biome-ignore lint/suspicious/noExplicitAny: as grpc-js has it
function servedMethod(method: MethodDefinition<any, any>): MethodDefinition<any, any> {
  return {
    ...method,
    requestDeserialize(bytes) {
      try {
        return method.requestDeserialize(bytes)
      } catch {
        return new MalformedMessage()
      }
    },
    responseSerialize: (answer) => (Buffer.isBuffer(answer) ? answer : method.responseSerialize(answer)),
  }
}
