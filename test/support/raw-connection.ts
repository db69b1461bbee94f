import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A TCP connection on which a test says exactly what it wants, valid HTTP or not. */
export interface RawConnection extends Disposable {
  readonly socket: Socket
  /** What has come so far. */
  readonly received: string
  send(bytes: string | Uint8Array): void
  /** Resolves with all that came, once the other side has closed. */
  readonly closed: Promise<string>
}

/** @param options.reads - false takes nothing off the connection, as a client that hangs */
export async function openRawConnection(url: string, options: { reads?: boolean } = {}): Promise<RawConnection> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.on('error', () => {}) // a reset is one of the ways in which connections end here
  let received = ''
  if (options.reads ?? true) socket.on('data', (bytes) => (received += bytes.toString('latin1')))
  const closed = once(socket, 'close').then(() => received)
  return {
    socket,
    get received() {
      return received
    },
    send: (bytes) => void socket.write(bytes),
    closed,
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

/** A POST request as it stands on the wire. */
export function postRequest(path: string, key: string, body: object | string, headers: readonly string[] = []): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return [
    `POST ${path} HTTP/1.1`,
    'host: gateway',
    `authorization: Bearer ${key}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(text)}`,
    ...headers,
    '',
    text,
  ].join('\r\n')
}

export interface RawAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

export function parseRawAnswer(text: string): RawAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = lines.map((line) => line.split(/:\s*/, 2).map((part, at) => (at === 0 ? part.toLowerCase() : part)))
  return { status: Number(statusLine.split(' ')[1]), headers: Object.fromEntries(headers), body: rest.join('\r\n\r\n') }
}
