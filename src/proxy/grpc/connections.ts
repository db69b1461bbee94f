import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import type { Log } from '../../core/log.ts'
import type { TlsSettings } from '../../core/tls-settings.ts'

export interface Connections {
  listen(host: string, port: number): Promise<AddressInfo>
  /** For connections from now on; undefined is plain text. */
  secureWith(settings: TlsSettings | undefined): void
  /** No new ones. */
  stopAccepting(): void
  close(): void
}

export interface ConnectionsDeps {
  /** Takes a connection that speaks HTTP/2. */
  inject(socket: Socket): void
  perAddressMax: number
  log: Log
}

const listenBacklog = 1_024
const handshakeTimeoutMs = 10_000

/**
 * The listener itself. It stands before grpc-js, which can neither count the connections of an address nor take another
 * certificate while it listens.
 */
export function createConnections({ inject, perAddressMax, log }: ConnectionsDeps): Connections {
  const open = new Set<Socket>()
  const byAddress = new Map<string, number>()
  let secure: TlsServer | undefined

  const release = (socket: Socket, address: string): void => {
    open.delete(socket)
    const left = (byAddress.get(address) ?? 1) - 1
    if (left > 0) byAddress.set(address, left)
    else byAddress.delete(address)
  }

  const listener = createServer({ noDelay: true }, (socket) => {
    // What goes wrong with a connection ends it; its calls hear of that.
    socket.on('error', () => {})
    const address = socket.remoteAddress ?? ''
    const count = (byAddress.get(address) ?? 0) + 1
    if (count > perAddressMax) {
      socket.destroy()
      return
    }
    byAddress.set(address, count)
    open.add(socket)
    socket.once('close', () => release(socket, address))
    if (secure) secure.emit('connection', socket)
    else inject(socket)
  })

  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        listener.once('error', reject)
        listener.listen({ host, port, backlog: listenBacklog }, () => {
          listener.off('error', reject)
          listener.on('error', (error) => log.error({ err: error }, 'The gRPC listener has an error.'))
          resolve(listener.address() as AddressInfo)
        })
      }),
    secureWith(settings) {
      secure = settings && createSecureListener(settings, inject)
    },
    stopAccepting() {
      listener.close()
    },
    close() {
      listener.close()
      for (const socket of open) socket.destroy()
    },
  }
}

/** A server that never listens: connections are handed to it, so the next ones may be handed to another. */
function createSecureListener(settings: TlsSettings, inject: (socket: Socket) => void): TlsServer {
  const { certificate, key, clientCa, requireClientCertificate } = settings
  const server = createTlsServer(
    {
      cert: certificate,
      key,
      ALPNProtocols: ['h2'],
      handshakeTimeout: handshakeTimeoutMs,
      minVersion: 'TLSv1.2',
      ...(clientCa !== undefined && {
        ca: clientCa,
        requestCert: true,
        rejectUnauthorized: requireClientCertificate,
      }),
    },
    (socket) => {
      socket.on('error', () => {})
      inject(socket)
    },
  )
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server
}
