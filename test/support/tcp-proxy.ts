import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from 'node:net'

/**
 * - `up`: as if it were not there.
 * - `down`: resets every connection, those that are open and those that come.
 * - `freeze`: accepts, and moves no byte either way until it is up again: a host that hangs.
 * - `mute`: requests arrive, answers are lost.
 */
export type ProxyMode = 'up' | 'down' | 'freeze' | 'mute'

/** Stands between a client and its server on 127.0.0.1, and breaks what a test wants broken. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number
  mode: ProxyMode
  /** By how much every piece is late, each way. */
  latencyMs: number
  readonly connections: number
  /** Resets the connections that are open; new ones pass. */
  cut(): void
  /**
   * Cuts the connection when the server next answers a message that is longer than this, or has this text in it: the
   * request has been carried out, and its client never hears of it.
   */
  cutAnswerTo(message: number | string): void
  /** How many connections `cutAnswerTo` has cut. */
  readonly cuts: number
}

interface Link {
  client: Socket
  upstream: Socket
  toUpstream: Pipe
  toClient: Pipe
}

export async function openTcpProxy(target: NetConnectOpts): Promise<TcpProxy> {
  const links = new Set<Link>()
  let mode: ProxyMode = 'up'
  let latencyMs = 0
  let isToBeCut = (_message: Buffer): boolean => false
  let cuts = 0
  const isHeld = (): boolean => mode === 'freeze'
  const server = createServer({ noDelay: true }, (client) => {
    client.on('error', () => {})
    if (mode === 'down') {
      client.resetAndDestroy()
      return
    }
    const upstream = connect({ ...target, noDelay: true } as NetConnectOpts)
    upstream.on('error', () => {})
    const link: Link = {
      client,
      upstream,
      toUpstream: createPipe(upstream, () => latencyMs, isHeld),
      toClient: createPipe(client, () => latencyMs, isHeld),
    }
    links.add(link)
    let armed = false
    client.on('data', (bytes) => {
      armed ||= isToBeCut(bytes)
      link.toUpstream.push(bytes)
    })
    upstream.on('data', (bytes) => {
      if (mode === 'mute') return
      if (!armed) {
        link.toClient.push(bytes)
        return
      }
      isToBeCut = () => false
      cuts++
      client.destroy()
    })
    client.on('end', () => link.toUpstream.end())
    upstream.on('end', () => link.toClient.end())
    client.on('close', () => {
      links.delete(link)
      upstream.destroy()
    })
    upstream.on('close', () => link.toClient.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const { client, upstream } of links) {
      client.resetAndDestroy()
      upstream.destroy()
    }
  }

  return {
    port: (server.address() as AddressInfo).port,
    get mode() {
      return mode
    },
    set mode(next) {
      mode = next
      if (next === 'down') cut()
      for (const { toUpstream, toClient } of links) {
        toUpstream.flow()
        toClient.flow()
      }
    },
    get latencyMs() {
      return latencyMs
    },
    set latencyMs(next) {
      latencyMs = next
    },
    get connections() {
      return links.size
    },
    cut,
    cutAnswerTo(message) {
      isToBeCut = (bytes) => (typeof message === 'string' ? bytes.includes(message) : bytes.length > message)
    },
    get cuts() {
      return cuts
    },
    async [Symbol.asyncDispose]() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
}

/** One direction: pieces in order, each as late as it must be, none while it is held. */
interface Pipe {
  push(bytes: Buffer): void
  end(): void
  /** Writes what is due. */
  flow(): void
}

function createPipe(to: Socket, latencyMs: () => number, isHeld: () => boolean): Pipe {
  const waiting: { bytes: Buffer | undefined; dueMs: number }[] = []
  let lastDueMs = 0
  const flow = (): void => {
    while (waiting[0] && !isHeld() && waiting[0].dueMs <= performance.now()) {
      const bytes = waiting.shift()?.bytes
      if (to.destroyed) continue
      if (bytes) to.write(bytes)
      else to.end()
    }
  }
  const add = (bytes: Buffer | undefined): void => {
    const lateMs = latencyMs()
    lastDueMs = Math.max(lastDueMs, performance.now() + lateMs)
    waiting.push({ bytes, dueMs: lastDueMs })
    if (lastDueMs <= performance.now()) flow()
    else setTimeout(flow, Math.ceil(lastDueMs - performance.now()) + 1)
  }
  return { push: add, end: () => add(undefined), flow }
}
