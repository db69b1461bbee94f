import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { detailsOf, GrpcClient } from '../support/grpc.ts'

const mebibyte = 1024 * 1024
const invalidArgument = 3
const resourceExhausted = 8
const unimplemented = 12
const unauthenticated = 16

let gateway: TestGateway
let client: GrpcClient

beforeAll(async () => {
  gateway = await openTestGateway()
  client = new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, gateway.keySecret)
})
afterAll(async () => {
  client?.close()
  await gateway?.close()
})

/** Whatever was done to it: it is ready, nothing is left open, and it answers. */
afterEach(async () => {
  expect((await fetch(`${gateway.opsUrl}/readyz`)).status).toBe(200)
  await eventually('nothing to be open', async () => (await gateway.metric('llmgw_requests_in_flight')) === 0)
  using other = new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, gateway.keySecret)
  expect((await other.complete({ model: 'demo/demo-chat' }, { deadlineMs: 10_000 })).code).toBe(0)
})

const address = (): string => `http://127.0.0.1:${gateway.app.grpc.port}`
const completePath = '/thinkpixel.llmgw.v1.ChatService/Complete'

/** A connection on which a test says exactly what it wants. */
async function open(): Promise<ClientHttp2Session & AsyncDisposable> {
  const session = connect(address())
  session.on('error', () => {})
  // Limits hold from when they are known.
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  await new Promise<void>((resolve) => session.ping(() => resolve()))
  return Object.assign(session, { [Symbol.asyncDispose]: async () => session.destroy() })
}

const headersOf = (more: OutgoingHttpHeaders = {}): OutgoingHttpHeaders => ({
  ':method': 'POST',
  ':path': completePath,
  'content-type': 'application/grpc+proto',
  te: 'trailers',
  authorization: `Bearer ${gateway.keySecret}`,
  ...more,
})

/** A message with its flag and its length before it. */
function framed(message: Buffer, flag = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt8(flag)
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, message])
}

/** How a call ended: its gRPC status, or the HTTP/2 code of a reset. */
async function ended(stream: ClientHttp2Stream): Promise<{ status?: number; reset?: number }> {
  let status: number | undefined
  await new Promise<void>((resolve) => {
    const note = (headers: OutgoingHttpHeaders): void => {
      if (headers['grpc-status'] === undefined) return
      status = Number(headers['grpc-status'])
      resolve()
    }
    stream.on('response', note)
    stream.on('trailers', note)
    stream.on('error', () => {})
    stream.on('close', resolve)
    stream.resume()
    if (stream.closed) resolve()
  })
  return status === undefined ? { reset: stream.rstCode } : { status }
}

async function call(session: ClientHttp2Session, body: Buffer, more?: OutgoingHttpHeaders) {
  const stream = session.request(headersOf(more))
  stream.on('error', () => {})
  stream.end(body)
  return ended(stream)
}

describe('a message', () => {
  test('larger than 4 MiB is refused', async () => {
    const messages = [{ role: 'ROLE_USER', content: [{ text: 'x'.repeat(4 * mebibyte) }] }]
    expect((await client.complete({ messages })).code).toBe(resourceExhausted)
  })

  test('just below that is taken', async () => {
    const messages = [{ role: 'ROLE_USER', content: [{ text: 'x'.repeat(4 * mebibyte - 1_024) }] }]
    expect((await client.complete({ model: 'demo/demo-chat', messages })).code).toBe(0)
  })

  test('that says it is 4 GiB is refused before it comes', async () => {
    await using session = await open()
    const stream = session.request(headersOf())
    stream.write(framed(Buffer.from('x'), 0, 0xffff_ffff))
    expect(await ended(stream)).toEqual({ status: resourceExhausted })
  })

  test('that inflates to more than 4 MiB is refused, and is not inflated further', async () => {
    await using session = await open()
    const bomb = gzipSync(Buffer.alloc(256 * mebibyte))
    expect(bomb.length).toBeLessThan(mebibyte)
    const before = process.memoryUsage().rss
    expect(await call(session, framed(bomb, 1), { 'grpc-encoding': 'gzip' })).toEqual({ status: resourceExhausted })
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * mebibyte)
  })

  test('in an encoding that nobody knows is refused', async () => {
    await using session = await open()
    const { status } = await call(session, framed(Buffer.from('x'), 1), { 'grpc-encoding': 'snappy' })
    expect(status).toBe(unimplemented)
  })

  test('that claims to be gzip and is none is refused', async () => {
    await using session = await open()
    const outcome = await call(session, framed(Buffer.from('no gzip'), 1), { 'grpc-encoding': 'gzip' })
    expect(outcome.status).toBeGreaterThan(0)
  })

  test.for([
    ['no protobuf', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])],
    ['a field that ends before its length', Buffer.from([0x0a, 0x7f, 0x00])],
    ['a group that never ends', Buffer.from([0x0b])],
  ] as const)('%s is refused as what it is', async ([, bytes]) => {
    const refused = await client.unary('ChatService/Complete', bytes)
    expect([refused.code, detailsOf(refused).ErrorInfo?.reason]).toEqual([invalidArgument, 'invalid_body'])
  })

  test('of five thousand structs in each other is refused', async () => {
    let value: Buffer = Buffer.from([0x12, 0x00])
    const wrapped = (tag: number, inner: Buffer): Buffer => {
      const length: number[] = []
      for (let rest = inner.length; ; rest >>>= 7) {
        length.push(rest > 127 ? (rest & 127) | 128 : rest)
        if (rest <= 127) break
      }
      return Buffer.concat([Buffer.from([tag, ...length]), inner])
    }
    for (let depth = 0; depth < 5_000; depth++) {
      const entry = Buffer.concat([Buffer.from([0x0a, 0x01, 0x61]), wrapped(0x12, value)])
      value = wrapped(0x2a, wrapped(0x0a, entry))
    }
    const options = wrapped(0x0a, Buffer.concat([Buffer.from([0x0a, 0x01, 0x61]), wrapped(0x12, value)]))
    const chat = Buffer.concat([wrapped(0x0a, Buffer.from('demo/demo-chat')), wrapped(0xb2, options)])
    const refused = await client.unary('ChatService/Complete', wrapped(0x0a, chat))
    expect(refused.code).toBe(invalidArgument)
  })

  test('that is missing is refused', async () => {
    await using session = await open()
    const outcome = await call(session, Buffer.alloc(0))
    expect(outcome.status).toBeGreaterThan(0)
  })

  test('that never ends is given up when its client goes', async () => {
    const session = await open()
    session
      .request(headersOf())
      .on('error', () => {})
      .write(framed(Buffer.from('x'), 0, 1_000))
    await session[Symbol.asyncDispose]()
  })
})

describe('a request field', () => {
  const cases: [string, object, string][] = [
    ['no messages', { messages: [] }, 'messages'],
    ['no role', { messages: [{ content: [{ text: 'x' }] }] }, 'chat.messages[0].role'],
    ['an empty part', { messages: [{ role: 'ROLE_USER', content: [{}] }] }, 'chat.messages[0].content[0]'],
    [
      'an image of nothing',
      { messages: [{ role: 'ROLE_USER', content: [{ image: {} }] }] },
      'chat.messages[0].content[0].image',
    ],
    [
      'a picture of no kind',
      { messages: [{ role: 'ROLE_USER', content: [{ image: { inline: { data: Buffer.from('x') } } }] }] },
      'chat.messages[0].content[0].image.inline.media_type',
    ],
    ['a temperature that is no number', { temperature: Number.NaN }, 'chat.temperature'],
    ['a seed that JSON cannot say', { seed: '9007199254740993' }, 'chat.seed'],
    ['no tool', { tools: [{}] }, 'chat.tools[0]'],
    ['a choice of nothing', { toolChoice: {} }, 'chat.tool_choice'],
    ['a format of nothing', { responseFormat: {} }, 'chat.response_format'],
    [
      'what a field says already',
      { providerOptions: { fields: { max_tokens: { numberValue: 5 } } } },
      'provider_options.max_tokens',
    ],
    ['too many messages', { messages: Array(2_049).fill({ role: 'ROLE_USER', content: [{ text: 'x' }] }) }, 'messages'],
  ]
  test.for(cases)('%s is named', async ([, chat, field]) => {
    const seenBefore = gateway.upstream.requests.length
    const refused = await client.complete(chat)
    expect([refused.code, detailsOf(refused).BadRequest?.field]).toEqual([invalidArgument, field])
    expect(gateway.upstream.requests.length).toBe(seenBefore)
  })
})

describe('metadata', () => {
  test('of more than 8 KiB is refused', async () => {
    const refused = await client.complete({}, { metadata: { 'x-much': 'x'.repeat(8 * 1024) } })
    expect([refused.code, detailsOf(refused).ErrorInfo?.reason]).toEqual([invalidArgument, 'invalid_header'])
  })

  test('of far more is refused before it is a call, and the connection goes on', async () => {
    await using session = await open()
    for (const bytes of [40 * 1024, 60 * 1024]) {
      expect((await call(session, framed(Buffer.alloc(0)), { 'x-much': 'x'.repeat(bytes) })).reset).toBe(
        constants.NGHTTP2_ENHANCE_YOUR_CALM,
      )
    }
    const { status } = await call(session, framed(Buffer.alloc(0)))
    expect(status).toBe(invalidArgument)
  })

  test('in two thousand entries is refused', async () => {
    await using session = await open()
    const many: OutgoingHttpHeaders = Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`x-${at}`, '1']))
    const outcome = await call(session, framed(Buffer.alloc(0)), many)
    expect(outcome.status ?? outcome.reset).not.toBe(0)
  })

  test('with two keys is refused', async () => {
    await using session = await open()
    const authorization = `Bearer ${gateway.keySecret}, Bearer sk-another`
    const { status } = await call(session, framed(Buffer.alloc(0)), { authorization })
    expect(status).toBe(unauthenticated)
  })

  test('with an idempotency key that is none is refused', async () => {
    const refused = await client.complete({}, { metadata: { 'idempotency-key': 'with space' } })
    expect(detailsOf(refused).ErrorInfo?.reason).toBe('invalid_header')
  })
})

describe('a connection', () => {
  test('that resets streams by the thousand is closed', async () => {
    await using session = await open()
    const closed = new Promise((resolve) => session.once('close', resolve))
    let sent = 0
    const flood = async (): Promise<void> => {
      while (!session.destroyed && sent < 20_000) {
        for (let i = 0; i < 100 && !session.destroyed; i++, sent++) {
          const stream = session.request(headersOf())
          stream.on('error', () => {})
          stream.close(constants.NGHTTP2_CANCEL)
        }
        await new Promise(setImmediate)
      }
    }
    await Promise.all([flood(), closed])
    expect(sent).toBeLessThan(20_000)
  })

  test('has at most a hundred calls under way', async () => {
    await using session = await open()
    await eventually('the settings', () => session.remoteSettings.maxConcurrentStreams === 100)
  })

  test('that asks again and again whether we are there is closed', async () => {
    await using session = await open()
    const told = new Promise((resolve) => session.once('goaway', resolve))
    for (let i = 0; i < 5 && !session.destroyed; i++) {
      await new Promise<void>((resolve) => session.ping(() => resolve()))
    }
    expect(await told).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  })

  test('is one of at most 200 of its address', async () => {
    const sockets: Socket[] = []
    try {
      let refused = 0
      for (let i = 0; i < 220; i++) {
        const socket = connectTcp(gateway.app.grpc.port, '127.0.0.1')
        socket.on('error', () => {})
        socket.on('close', () => refused++)
        sockets.push(socket)
        await Promise.race([once(socket, 'connect'), once(socket, 'close')])
      }
      // `client` holds one.
      await eventually('those beyond to be closed', () => refused >= 20)
      expect(refused).toBeLessThanOrEqual(22)
    } finally {
      for (const socket of sockets) socket.destroy()
    }
  })

  test('that speaks HTTP/1.1, or nonsense, is closed', async () => {
    for (const text of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', '\u0000'.repeat(1_000)]) {
      const socket = connectTcp(gateway.app.grpc.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume()
      socket.write(text)
      await once(socket, 'close')
    }
  })

  test('with a path that nobody serves is told so', async () => {
    await using session = await open()
    expect(
      await call(session, framed(Buffer.alloc(0)), { ':path': '/thinkpixel.llmgw.v1.AdminService/Everything' }),
    ).toEqual({
      status: unimplemented,
    })
  })
})
