import http, { type ClientRequestArgs } from 'node:http'
import https, { type RequestOptions } from 'node:https'
import type { Duplex } from 'node:stream'
import { type AddressGuard, AddressRefusedError } from './address-guard.ts'
import type { VettedLookup } from './vetted-lookup.ts'

/** For libraries that bring their own HTTP, such as the AWS SDK: every connection of these is vetted when it is made. */
export interface GuardedAgents {
  readonly httpAgent: http.Agent
  readonly httpsAgent: https.Agent
  close(): void
}

export interface GuardedAgentOptions {
  connectTimeoutMs: number
  /** To one origin at once; who comes later waits. */
  connectionsMax: number
  /** How long an idle connection is kept. */
  keepAliveMs: number
}

/** The way out that both agents share with everything else. */
export interface Vetting {
  guard: AddressGuard
  lookup: VettedLookup
}

export function createGuardedAgents(
  vetting: Vetting,
  { connectTimeoutMs, connectionsMax, keepAliveMs }: GuardedAgentOptions,
): GuardedAgents {
  // `timeout` ends idle connections; of those in use it only tells, and whoever makes the request decides.
  const options = { keepAlive: true, maxSockets: connectionsMax, timeout: keepAliveMs, scheduling: 'lifo' } as const
  const httpAgent = new GuardedHttpAgent(vetting, connectTimeoutMs, options)
  const httpsAgent = new GuardedHttpsAgent(vetting, connectTimeoutMs, options)
  return {
    httpAgent,
    httpsAgent,
    close() {
      httpAgent.destroy()
      httpsAgent.destroy()
    },
  }
}

type Connected = (error: Error | null, socket: Duplex) => void

class GuardedHttpAgent extends http.Agent {
  readonly #vetting: Vetting
  readonly #connectTimeoutMs: number

  constructor(vetting: Vetting, connectTimeoutMs: number, options: http.AgentOptions) {
    super(options)
    this.#vetting = vetting
    this.#connectTimeoutMs = connectTimeoutMs
  }

  override createConnection(options: ClientRequestArgs, callback?: Connected): Duplex | null | undefined {
    const refused = refusedConnection(this.#vetting, 'http:', options, callback)
    if (refused) return undefined
    const socket = super.createConnection({ ...options, lookup: this.#vetting.lookup as never }, callback)
    return connectingWithin(socket, 'connect', this.#connectTimeoutMs, options)
  }
}

class GuardedHttpsAgent extends https.Agent {
  readonly #vetting: Vetting
  readonly #connectTimeoutMs: number

  constructor(vetting: Vetting, connectTimeoutMs: number, options: https.AgentOptions) {
    super(options)
    this.#vetting = vetting
    this.#connectTimeoutMs = connectTimeoutMs
  }

  override createConnection(options: RequestOptions, callback?: Connected): Duplex | null | undefined {
    const refused = refusedConnection(this.#vetting, 'https:', options, callback)
    if (refused) return undefined
    const socket = super.createConnection({ ...options, lookup: this.#vetting.lookup as never }, callback)
    return connectingWithin(socket, 'secureConnect', this.#connectTimeoutMs, options)
  }
}

/** @returns whether it was; the request then ends with the reason as its error */
function refusedConnection(
  { guard }: Vetting,
  protocol: string,
  options: ClientRequestArgs,
  callback: Connected | undefined,
): boolean {
  const hostname = options.host ?? options.hostname ?? 'localhost'
  const port = options.port === undefined || options.port === null ? undefined : Number(options.port)
  const reason = options.socketPath
    ? 'A socket in the file system is no upstream.'
    : guard.targetRefusal({ protocol, hostname, port })
  if (reason) process.nextTick(() => callback?.(new AddressRefusedError(reason), undefined as never))
  return reason !== undefined
}

function connectingWithin(
  socket: Duplex | null | undefined,
  connected: 'connect' | 'secureConnect',
  ms: number,
  { host }: ClientRequestArgs,
): Duplex | null | undefined {
  if (!socket) return socket
  const message = `Connecting to ${host} took more than ${ms} ms.`
  const timer = setTimeout(() => socket.destroy(new Error(message)), ms)
  const done = (): void => clearTimeout(timer)
  socket.once(connected, done).once('close', done)
  return socket
}
