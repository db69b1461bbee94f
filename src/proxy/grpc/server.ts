import type { AddressInfo } from 'node:net'
import { Server, ServerCredentials, type ServiceDefinition, type sendUnaryData } from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation } from 'grpc-health-check'
import { GatewayError } from '../../core/errors.ts'
import type { Caller } from '../../core/keys/caller.ts'
import type { CertificateKey } from '../../core/keys/certificate-keys.ts'
import type { RoutingSnapshot } from '../../core/routing/snapshot.ts'
import type { TlsSettings } from '../../core/tls-settings.ts'
import { metadataBytesOf } from './call-metadata.ts'
import { callerOf } from './callers.ts'
import { createConnections } from './connections.ts'
import { loadContract } from './contract.ts'
import { errorStatus } from './error-status.ts'
import { http2ServersOf } from './grpc-js-internals.ts'
import { createInferenceService, type InferenceServiceDeps } from './inference-service.ts'
import { checkPolicies } from './method-policies.ts'
import { createModelService } from './model-service.ts'
import type { ServerCall } from './open-call.ts'
import { limitSessions } from './session-limits.ts'

/** What an operator may change while the server runs. */
export interface GrpcSettings {
  /** Undefined is plain text. */
  tls: TlsSettings | undefined
  certificateKeys: readonly CertificateKey[]
}

export interface GrpcServerDeps extends Omit<InferenceServiceDeps, 'callerOf' | 'isDraining'> {
  snapshot(): RoutingSnapshot
  /** The live key of this name. */
  callerNamed(keyName: string): Caller | Promise<Caller>
  settings: GrpcSettings
  /** Tells any client the contract. */
  reflection: boolean
}

export interface GrpcServer {
  listen(host: string, port: number): Promise<AddressInfo>
  /** For connections, and for calls, from now on. */
  use(settings: GrpcSettings): void
  /** Health says no from now on; calls are taken all the same. */
  announceDrain(): void
  /** No connection and no call any more, and clients are told; what is under way goes on. */
  stopAccepting(): void
  close(): void
}

const mebibyte = 1024 * 1024
const minuteMs = 60_000
const metadataBytesMax = 8 * 1024
const connectionsPerAddressMax = 200
/** Answers under way are ended by their own deadline; this only bounds what nobody ends. */
const drainMsMax = 60 * minuteMs

const options = {
  'grpc.max_receive_message_length': 4 * mebibyte,
  'grpc.max_send_message_length': 16 * mebibyte,
  'grpc.max_concurrent_streams': 100,
  'grpc.max_connection_idle_ms': 5 * minuteMs,
  'grpc.max_connection_age_ms': 30 * minuteMs,
  'grpc.max_connection_age_grace_ms': 5 * minuteMs,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.enable_channelz': 0,
}

/** The gRPC door. @throws Error when a method of a service has no policy */
export function createGrpcServer(deps: GrpcServerDeps): GrpcServer {
  const contract = loadContract()
  let { settings } = deps
  let isDraining = false
  const caller = (call: ServerCall): Caller | Promise<Caller> => {
    if (metadataBytesOf(call.metadata) > metadataBytesMax) {
      throw new GatewayError('invalid_header', `The metadata is larger than ${metadataBytesMax / 1024} KiB.`)
    }
    return callerOf(call, {
      authenticate: deps.pipeline.authenticate,
      callerNamed: deps.callerNamed,
      certificateKeys: () => settings.certificateKeys,
    })
  }
  const refuse = (thrown: unknown, done: sendUnaryData<unknown>): void => {
    const requestId = deps.ids(deps.clock.nowMs())
    const error = GatewayError.from(thrown)
    if (error.code === 'internal_error') {
      deps.log.error({ err: error.cause, request_id: requestId }, 'A request failed inside.')
    }
    done(errorStatus(error, requestId, Math.random()))
  }

  const server = new Server(options)
  const add: Server['addService'] = (definition, implementation) => {
    checkPolicies(definition)
    server.addService(definition, implementation)
  }
  const inference = createInferenceService(contract, { ...deps, callerOf: caller, isDraining: () => isDraining })
  add(contract.chat, inference.chat)
  add(contract.embedding, inference.embedding)
  add(contract.model, createModelService({ callerOf: caller, snapshot: deps.snapshot, refuse }) as never)
  const names = ['', ...[contract.chat, contract.embedding, contract.model].map(serviceNameOf)]
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'SERVING'])))
  // Both add themselves, and nothing is added unchecked.
  health.addToServer({ addService: add } as Server)
  if (deps.reflection) new ReflectionService(contract.definition).addToServer({ addService: add })

  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  for (const http2 of http2ServersOf(server)) limitSessions(http2, deps.clock.monotonicMs)
  const connections = createConnections({
    inject: (socket) => injector.injectConnection(socket),
    perAddressMax: connectionsPerAddressMax,
    log: deps.log,
  })
  connections.secureWith(settings.tls)

  return {
    listen: connections.listen,
    use(next) {
      const isSameTls = JSON.stringify(next.tls) === JSON.stringify(settings.tls)
      settings = next
      if (!isSameTls) connections.secureWith(next.tls)
    },
    announceDrain() {
      for (const name of names) health.setStatus(name, 'NOT_SERVING')
    },
    stopAccepting() {
      isDraining = true
      connections.stopAccepting()
      injector.drain(drainMsMax)
    },
    close() {
      connections.close()
      injector.destroy()
      server.forceShutdown()
    },
  }
}

/** `/thinkpixel.llmgw.v1.ChatService/Complete` is a method of `thinkpixel.llmgw.v1.ChatService`. */
function serviceNameOf(definition: ServiceDefinition): string {
  return Object.values(definition)[0]?.path.split('/')[1] ?? ''
}
