import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { chatDefaults, openTestGateway, type TestGateway } from '../support/gateway.ts'
import { openRawConnection, postRequest } from '../support/raw-connection.ts'
import { type ExpectedRefusal, expectNothingDispatched, expectRawRefusal, expectRefusal } from '../support/refusals.ts'
import { respondWithCompletion, startStream, textChunk, writeFrame } from '../support/scripted-upstream.ts'

let gateway: TestGateway

const bodyBytesMax = 64 * 1024

beforeAll(async () => {
  const limits = { bodyBytes: bodyBytesMax, headersTimeoutMs: 400, bodyTimeoutMs: 400 }
  gateway = await openTestGateway({ file: { limits } })
})
afterAll(() => gateway.close())

const invalidRequest = (status: number, code: string): ExpectedRefusal => ({
  status,
  type: 'invalid_request_error',
  code,
})
const noKey: ExpectedRefusal = { status: 401, type: 'authentication_error', code: 'invalid_api_key' }

/** Sends what `fetch` would not. */
function rawCall(headers: OutgoingHttpHeaders | string[], body = JSON.stringify(chatDefaults)): Promise<Response> {
  return new Promise((resolve, reject) => {
    const sending = httpRequest(
      `${gateway.url}/v1/chat/completions`,
      { method: 'POST', headers, agent: false },
      async (answer: IncomingMessage) => {
        const chunks: Buffer[] = []
        for await (const chunk of answer) chunks.push(chunk as Buffer)
        resolve(
          new Response(Buffer.concat(chunks), {
            status: answer.statusCode ?? 0,
            headers: answer.headers as Record<string, string>,
          }),
        )
      },
    )
    sending.on('error', reject)
    sending.end(body)
  })
}

describe('400 invalid_header', () => {
  const expected = invalidRequest(400, 'invalid_header')
  const bearer = `Bearer ${'x'.repeat(30)}`
  const json = ['content-type', 'application/json']

  test.for([
    ['two credentials of one kind', ['authorization', bearer, 'authorization', bearer]],
    ['two credentials of two kinds', ['authorization', bearer, 'api-key', 'x'.repeat(30)]],
    ['more than 100 headers', Array.from({ length: 101 }, (_, at) => [`x-${at}`, '1']).flat()],
    ['headers of more than 16 KiB', ['x-long', 'x'.repeat(17_000)]],
  ] as const)('%s', async ([, headers]) => {
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await rawCall(['host', 'gateway', ...json, ...headers]), expected)
    })
  })

  test.for(['0', '-1', '1.5', 'soon', '1e400', ''])('x-request-timeout-ms: %s', async (value) => {
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await gateway.chat({}, { headers: { 'x-request-timeout-ms': value } }), expected)
    })
  })

  const length = `content-length: ${JSON.stringify(chatDefaults).length}`
  test.for([
    ['something that is not HTTP', 'hello\r\n\r\n'],
    ['a TLS greeting', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
    ['an HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['an unknown method', 'FETCH /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n'],
    ['a header without a colon', 'GET /v1/models HTTP/1.1\r\nhost: gateway\r\nhello\r\n\r\n'],
    ['a header with a space before its colon', 'GET /v1/models HTTP/1.1\r\nhost : gateway\r\n\r\n'],
    ['a folded header', 'GET /v1/models HTTP/1.1\r\nhost: gateway\r\nx-a: 1\r\n 2\r\n\r\n'],
    ['a header with a NUL', 'GET /v1/models HTTP/1.1\r\nhost: gateway\r\nx-a: a\0b\r\n\r\n'],
    ['no host', 'GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n'],
    ['two lengths', `POST /v1/embeddings HTTP/1.1\r\nhost: a\r\n${length}\r\ncontent-length: 1\r\n\r\n`],
    [
      'a length and chunks',
      `POST /v1/embeddings HTTP/1.1\r\nhost: a\r\n${length}\r\ntransfer-encoding: chunked\r\n\r\n`,
    ],
    ['a length that is no number', 'POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ncontent-length: many\r\n\r\n'],
  ] as const)('malformed HTTP: %s', async ([, text]) => {
    using client = await openRawConnection(gateway.url)
    client.send(Buffer.from(text, 'latin1'))
    expectRawRefusal(await client.closed, expected)
  })
})

test('an expectation that nobody knows is ignored', async () => {
  const response = await rawCall({ 'content-type': 'application/json', expect: 'a-miracle' })
  await expectRefusal(response, noKey)
})

test('a request that is refused before its body turns out to be malformed is answered once', async () => {
  using client = await openRawConnection(gateway.url)
  client.send('POST /v1/embeddings HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n')
  expect((await client.closed).match(/HTTP\/1\.1 \d+/g)).toHaveLength(1)
})

test('garbage behind a request is not answered in the middle of the answer', async () => {
  gateway.upstream.answer((response) => {
    startStream(response)
    writeFrame(response, textChunk('first'))
  })
  using client = await openRawConnection(gateway.url)
  client.send(postRequest('/v1/chat/completions', gateway.keySecret, { ...chatDefaults, stream: true }))
  await eventually('the first output', () => client.received.includes('first'))
  client.send('garbage\r\n\r\n')
  expect(await client.closed).not.toContain('400 Bad Request')
  await eventually('the upstream to be closed', () => gateway.upstream.requests.at(-1)?.isAborted)
  gateway.upstream.answer(respondWithCompletion)
})

describe('408 request_timeout', () => {
  const whole = postRequest('/v1/chat/completions', 'x'.repeat(30), chatDefaults)
  test.for([
    ['the request line', 12],
    ['the headers', whole.indexOf('content-type') + 5],
  ] as const)('a client that does not come to the end of %s', async ([, until]) => {
    using client = await openRawConnection(gateway.url)
    client.send(whole.slice(0, until))
    expectRawRefusal(await client.closed, invalidRequest(408, 'request_timeout'))
  })

  test('a client that does not come to the end of its body', async () => {
    await expectNothingDispatched(gateway, async () => {
      using client = await openRawConnection(gateway.url)
      client.send(postRequest('/v1/chat/completions', gateway.keySecret, chatDefaults).slice(0, -10))
      expectRawRefusal(await client.closed, invalidRequest(408, 'request_timeout'))
    })
  })
})

describe('413 request_too_large', () => {
  const tooMuch = JSON.stringify({ ...chatDefaults, padding: 'x'.repeat(bodyBytesMax) })

  test('a body that says so', async () => {
    await expectNothingDispatched(gateway, async () => {
      await expectRefusal(await gateway.chat(tooMuch), invalidRequest(413, 'request_too_large'))
    })
  })

  test('a body that does not say how large it is', async () => {
    await expectNothingDispatched(gateway, async () => {
      const authorization = `Bearer ${gateway.keySecret}`
      const headers = { authorization, 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
      await expectRefusal(await rawCall(headers, tooMuch), invalidRequest(413, 'request_too_large'))
    })
  })

  test('a body of just the largest size is fine', async () => {
    const rest = JSON.stringify({ ...chatDefaults, padding: '' }).length
    const body = JSON.stringify({ ...chatDefaults, padding: 'x'.repeat(bodyBytesMax - rest) })
    expect((await gateway.chat(body)).status).toBe(200)
  })
})

describe('415 unsupported_media_type', () => {
  test.for([
    ['no type', { 'content-type': '' }],
    ['text', { 'content-type': 'text/plain' }],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['a type that begins like JSON', { 'content-type': 'application/json-patch+json' }],
    ['another charset', { 'content-type': 'application/json; charset=utf-16' }],
    ['two parameters', { 'content-type': 'application/json; charset=utf-8; charset=utf-7' }],
    ['compression', { 'content-encoding': 'gzip' }],
    ['no compression, in so many words', { 'content-encoding': 'identity' }],
  ] as const)('%s', async ([, headers]) => {
    await expectNothingDispatched(gateway, async () => {
      const response = await gateway.chat({}, { headers })
      await expectRefusal(response, invalidRequest(415, 'unsupported_media_type'))
    })
  })

  test.for(['application/json; charset=utf-8', 'application/json;charset=UTF-8', 'Application/JSON'])(
    '%s is fine',
    async (type) => {
      expect((await gateway.chat({}, { headers: { 'content-type': type } })).status).toBe(200)
    },
  )
})
