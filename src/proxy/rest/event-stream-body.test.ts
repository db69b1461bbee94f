import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { EventStreamBody } from './event-stream-body.ts'

/** @returns all bytes of the connection, as `write` leaves them behind the head */
async function sent(
  write: (body: EventStreamBody, response: ServerResponse) => Promise<void>,
  version = '1.1',
): Promise<string> {
  const server = createServer((_request, response) => {
    response.writeHead(200, ['content-type', 'text/event-stream'])
    void write(new EventStreamBody(response), response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(`GET / HTTP/${version}\r\nhost: test\r\nconnection: close\r\n\r\n`)
  const received = await Array.fromAsync(socket as AsyncIterable<Buffer>)
  server.close()
  const text = Buffer.concat(received).toString('utf8')
  return text.slice(text.indexOf('\r\n\r\n') + 4)
}

const piece = (text: string): Buffer => Buffer.from(text)

test('what comes in one turn leaves as one chunk, and the last one with the end of the body', async () => {
  const body = await sent(async (stream) => {
    stream.write(piece('a'.repeat(10)))
    stream.write(piece('é'))
    await nextTurn()
    stream.write(piece('b'))
    stream.end(piece('c'))
  })
  expect(body).toBe(`c\r\n${'a'.repeat(10)}é\r\n2\r\nbc\r\n0\r\n\r\n`)
})

test('a body may end with nothing, or with nothing more', async () => {
  expect(await sent(async (stream) => stream.end(piece('')))).toBe('0\r\n\r\n')
  const body = await sent(async (stream) => {
    stream.write(piece('a'))
    stream.end(piece(''))
  })
  expect(body).toBe('1\r\na\r\n0\r\n\r\n')
})

test('a large piece and what node:http writes in between are chunks, too', async () => {
  const large = 'x'.repeat(20_000)
  const body = await sent(async (stream, response) => {
    stream.write(piece(large))
    await nextTurn()
    response.write(': keep-alive\n\n')
    stream.write(piece(large))
    stream.write(piece('y'))
    await nextTurn()
    stream.end(piece('z'))
  })
  expect(body).toBe(`4e20\r\n${large}\r\ne\r\n: keep-alive\n\n\r\n4e21\r\n${large}y\r\n1\r\nz\r\n0\r\n\r\n`)
})

test('a client of HTTP/1.0 gets no chunks', async () => {
  const body = await sent(async (stream) => {
    stream.write(piece('a'))
    stream.write(piece('b'))
    await nextTurn()
    stream.write(piece('c'))
    stream.end(piece('d'))
  }, '1.0')
  expect(body).toBe('abcd')
})

test('a reader that takes nothing is noticed, and so is that it reads again', async () => {
  const states: boolean[] = []
  const server = createServer((_request, response) => {
    response.writeHead(200)
    const stream = new EventStreamBody(response)
    const fill = async (): Promise<void> => {
      while (stream.write(Buffer.alloc(60_000))) await nextTurn()
      states.push(response.writableNeedDrain)
      client.resume()
      await once(response, 'drain')
      states.push(stream.write(piece('more')))
      stream.end(piece(''))
    }
    void fill()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.pause()
  client.write('GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n')
  await once(client, 'close')
  server.close()
  expect(states).toEqual([true, true])
})
