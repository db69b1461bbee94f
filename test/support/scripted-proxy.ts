import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

/** One request for a tunnel, as the proxy saw it. */
export interface SeenTunnel {
  target: string
  headers: IncomingHttpHeaders
  /** What came through the tunnel first. */
  firstBytes: Promise<Buffer>
}

/** An HTTP proxy on 127.0.0.1 that connects every tunnel to the same port, whatever it is asked for. */
export interface ScriptedProxy {
  readonly port: number
  readonly tunnels: readonly SeenTunnel[]
  /** Answers with this status from now on; 200 connects, and undefined says nothing. */
  answerWith(status: number | undefined): void
  close(): Promise<void>
}

export async function startScriptedProxy(targetPort: number): Promise<ScriptedProxy> {
  const tunnels: SeenTunnel[] = []
  const sockets = new Set<Socket>()
  let status: number | undefined = 200
  const kept = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
    return socket
  }
  const server = createServer((_request, response) => void response.writeHead(405).end())
  server.on('connect', (request, duplex) => {
    const client = kept(duplex as Socket)
    const firstBytes = once(client, 'data').then(([bytes]) => bytes as Buffer)
    tunnels.push({ target: request.url ?? '', headers: request.headers, firstBytes })
    if (status === undefined) return
    client.write(`HTTP/1.1 ${status} Scripted\r\n\r\n`)
    if (status !== 200) return void client.end()
    const target = kept(connect(targetPort, '127.0.0.1'))
    client.pipe(target).pipe(client)
    client.on('close', () => target.destroy())
    target.on('close', () => client.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    tunnels,
    answerWith(next) {
      status = next
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
