import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type NetConnectOpts, type Socket } from 'node:net'

/** Stands between a pool and its server, and breaks what a test wants broken. */
export interface PostgresProxy extends AsyncDisposable {
  url: string
  /** `down` refuses and drops every connection; `mute` swallows answers, as a server that hangs. */
  mode: 'up' | 'down' | 'mute'
  /**
   * Cuts the connection when the server next answers a message longer than this: the statement has been executed and
   * committed, and its client never hears of it.
   */
  cutAnswerTo(messageBytes: number): void
  readonly cuts: number
}

export async function openPostgresProxy(url: string): Promise<PostgresProxy> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let mode: PostgresProxy['mode'] = 'up'
  let cutAbove = Number.POSITIVE_INFINITY
  let cuts = 0
  const server = createServer((client) => {
    if (mode === 'down') {
      client.destroy()
      return
    }
    const upstream = connect(serverAddress(target))
    let armed = false
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (bytes) => {
      armed ||= bytes.length > cutAbove
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (mode === 'mute') return
      if (!armed) return void client.write(bytes)
      cutAbove = Number.POSITIVE_INFINITY
      cuts++
      client.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxied = new URL(url)
  proxied.host = '127.0.0.1'
  proxied.port = String((server.address() as AddressInfo).port)

  return {
    url: proxied.href,
    get mode() {
      return mode
    },
    set mode(next) {
      mode = next
      if (next === 'down') for (const socket of sockets) socket.destroy()
    },
    cutAnswerTo(messageBytes) {
      cutAbove = messageBytes
    },
    get cuts() {
      return cuts
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function serverAddress(url: URL): NetConnectOpts {
  const host = decodeURIComponent(url.hostname || url.searchParams.get('host') || '')
  const port = url.port || url.searchParams.get('port') || '5432'
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port: Number(port) }
}
