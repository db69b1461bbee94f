import http, { type ClientRequestArgs } from 'node:http'
import https, { type RequestOptions } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type AddressGuard, AddressRefusedError, type Target } from './address-guard.ts'
import type { ConnectLog } from './connect-log.ts'
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

/** What decides about a connection, and how it is made. */
export interface Vetting {
  guard: AddressGuard
  lookup: VettedLookup
  /** @returns undefined when the target is connected to directly */
  tunnelTo(target: Target, timeoutMs: number): Promise<Socket> | undefined
  report: ConnectLog
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

/** How one of the agents makes a connection, once it may: by itself, or over one that is there already. */
interface Making {
  protocol: 'http:' | 'https:'
  /** The event that says it is usable. */
  connected: 'connect' | 'secureConnect'
  timeoutMs: number
  make(given: { lookup: never } | { socket: Socket }): Duplex | null | undefined
}

class GuardedHttpAgent extends http.Agent {
  readonly #vetting: Vetting
  readonly #timeoutMs: number

  constructor(vetting: Vetting, connectTimeoutMs: number, options: http.AgentOptions) {
    super(options)
    this.#vetting = vetting
    this.#timeoutMs = connectTimeoutMs
  }

  override createConnection(options: ClientRequestArgs, callback?: Connected): Duplex | null | undefined {
    const making: Making = {
      protocol: 'http:',
      connected: 'connect',
      timeoutMs: this.#timeoutMs,
      make: (given) => super.createConnection({ ...options, ...given }),
    }
    return connectGuarded(this.#vetting, making, options, callback)
  }
}

class GuardedHttpsAgent extends https.Agent {
  readonly #vetting: Vetting
  readonly #timeoutMs: number

  constructor(vetting: Vetting, connectTimeoutMs: number, options: https.AgentOptions) {
    super(options)
    this.#vetting = vetting
    this.#timeoutMs = connectTimeoutMs
  }

  override createConnection(options: RequestOptions, callback?: Connected): Duplex | null | undefined {
    const making: Making = {
      protocol: 'https:',
      connected: 'secureConnect',
      timeoutMs: this.#timeoutMs,
      make: (given) => super.createConnection({ ...options, ...given }),
    }
    return connectGuarded(this.#vetting, making, options, callback)
  }
}

/** @returns the connection being made, or undefined when the callback will be told of it, or why there is none */
function connectGuarded(
  { guard, lookup, tunnelTo, report }: Vetting,
  { protocol, connected, timeoutMs, make }: Making,
  options: ClientRequestArgs,
  callback: Connected | undefined,
): Duplex | null | undefined {
  const target = {
    protocol,
    hostname: options.host ?? options.hostname ?? 'localhost',
    port: options.port === undefined || options.port === null ? undefined : Number(options.port),
  }
  const fail = (error: Error): void => {
    report(target, error)
    callback?.(error, undefined as never)
  }
  const watched = (socket: Duplex | null | undefined): Duplex | null | undefined => {
    const message = `Connecting to ${target.hostname} took more than ${timeoutMs} ms.`
    const timer = setTimeout(() => socket?.destroy(new Error(message)), timeoutMs)
    const reported = (error: Error): void => report(target, error)
    const done = (): void => {
      clearTimeout(timer)
      socket?.off('error', reported)
    }
    return socket?.once('error', reported).once(connected, done).once('close', done)
  }
  const reason = options.socketPath ? 'A socket in the file system is no upstream.' : guard.targetRefusal(target)
  if (reason) {
    process.nextTick(fail, new AddressRefusedError(reason))
    return undefined
  }
  const tunnel = tunnelTo(target, timeoutMs)
  if (!tunnel) return watched(make({ lookup: lookup as never }))
  void tunnel.then((socket) => {
    callback?.(null, protocol === 'http:' ? socket : (watched(make({ socket })) as Duplex))
  }, fail)
  return undefined
}
