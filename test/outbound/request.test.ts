import type { ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import { beforeAll, describe, expect, test } from 'vitest'
import { createAddressGuard } from '../../src/core/upstream/address-guard.ts'
import { RequestError, request, requestText } from '../../src/core/upstream/request.ts'
import { createUpstreamClient } from '../../src/core/upstream/upstream-client.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

const client = createUpstreamClient(createAddressGuard(['127.0.0.1']))
let server: ScriptedUpstream

beforeAll(async () => {
  server = await startScriptedUpstream()
  return server.close
})

const answer = (respond: (response: ServerResponse) => void): void => server.answer((response) => respond(response))
const get = (options: Partial<Parameters<typeof request>[1]> = {}) =>
  request(client, { method: 'GET', url: server.baseUrl, ...options })

test('a form is posted with its headers, and the answer comes whole, whatever its status', async () => {
  answer((response) => response.writeHead(400, { 'x-hint': 'a' }).end('{"error":"invalid_grant"}'))
  const given = await request(client, {
    method: 'POST',
    url: `${server.baseUrl}/token?api-version=1`,
    headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: 'Basic abc' },
    body: 'grant_type=x&scope=ü',
  })
  expect(given).toMatchObject({ status: 400, text: '{"error":"invalid_grant"}', headers: { 'x-hint': 'a' } })
  expect(server.requests.at(-1)).toMatchObject({
    path: '/v1/token?api-version=1',
    body: 'grant_type=x&scope=ü',
    headers: { authorization: 'Basic abc', 'accept-encoding': 'identity' },
  })
})

describe('refused', () => {
  test.each([301, 302, 303, 307, 308])('a redirect by %i is not followed', async (status) => {
    const before = server.requests.length
    answer((response) => response.writeHead(status, { location: 'https://elsewhere.example/?signature=s3cret' }).end())
    const error = await get().catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(RequestError)
    expect(error).toMatchObject({ kind: 'unusable' })
    expect(String(error)).toContain(`redirects to elsewhere.example (HTTP ${status}), which is not followed`)
    expect(String(error)).not.toContain('s3cret')
    expect(server.requests.length).toBe(before + 1)
  })

  test('a body that is larger than allowed, whether it says so or not', async () => {
    answer((response) => response.end('x'.repeat(1_001)))
    await expect(get({ bytesMax: 1_000 })).rejects.toThrow('has more than 1000 bytes')
    answer((response) => {
      response.write('x'.repeat(600))
      response.end('x'.repeat(600))
    })
    await expect(get({ bytesMax: 1_000 })).rejects.toThrow('has more than 1000 bytes')
    answer((response) => response.end('x'.repeat(1_000)))
    expect((await get({ bytesMax: 1_000 })).text).toHaveLength(1_000)
  })

  test.each(['gzip', 'br', 'gzip, gzip'])('a body in %s, which may be a bomb', async (encoding) => {
    answer((response) => response.writeHead(200, { 'content-encoding': encoding }).end(gzipSync(Buffer.alloc(100_000))))
    await expect(get()).rejects.toThrow(`answered with a compressed body (${encoding})`)
  })

  test('headers of more than 32 KiB', async () => {
    answer((response) => {
      for (let index = 0; index < 40; index++) response.setHeader(`x-${index}`, 'x'.repeat(1_000))
      response.end()
    })
    await expect(get()).rejects.toMatchObject({ kind: 'unreachable', message: expect.stringMatching(/header/i) })
  })

  test.each([
    ['https://user:p4ss@api.example/', 'must not carry credentials'],
    ['https://api.example/#p4ss', 'must not carry credentials'],
    ['ftp://p4ss@api.example/', 'not an http(s) URL'],
    ['not a p4ss', 'not an http(s) URL'],
    ['http://api.example/', 'must be reached by https'],
    ['https://api.example:8443/', 'must be reached on port 443'],
    ['https://10.0.0.1/', 'is not a public address'],
    ['https://localhost/', 'is this machine'],
  ])('%s', async (url, reason) => {
    const error = await get({ url }).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ kind: 'refused', message: expect.stringContaining(reason) })
    expect(String(error)).not.toContain('p4ss')
  })
})

describe('without an answer', () => {
  test.each([
    ['before the headers', () => {}],
    ['within the body', (response: ServerResponse) => void response.write('x')],
  ])('time is up %s', async (_where, respond) => {
    answer(respond)
    await expect(get({ timeoutMs: 20 })).rejects.toMatchObject({ kind: 'timeout' })
  })

  test('whoever asked gives it up', async () => {
    answer(() => {})
    const giving = new AbortController()
    const before = server.requests.length
    const asked = get({ signal: giving.signal })
    await server.seen(before + 1)
    giving.abort(new Error('stopping'))
    await expect(asked).rejects.toMatchObject({ kind: 'cancelled', cause: new Error('stopping') })
    await server.requests.at(-1)?.aborted
    await expect(get({ signal: giving.signal })).rejects.toMatchObject({ kind: 'cancelled' })
  })

  test('nobody listens', async () => {
    await server.stop()
    await expect(get()).rejects.toMatchObject({ kind: 'unreachable', message: expect.stringContaining('ECONNREFUSED') })
    await server.restart()
  })

  test('a text is only what comes with 200', async () => {
    answer((response) => response.writeHead(404).end('no'))
    const limits = { maxBytes: 10, signal: AbortSignal.timeout(10_000) }
    await expect(requestText(client, server.baseUrl, limits)).rejects.toThrow('The server answered 404.')
    answer((response) => response.end('yes'))
    expect(await requestText(client, server.baseUrl, limits)).toBe('yes')
  })
})
