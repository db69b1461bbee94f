import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createAddressGuard } from '../../src/core/upstream/address-guard.ts'
import { createUpstreamClient, type UpstreamOrigin } from '../../src/core/upstream/upstream-client.ts'
import { createVettedLookup } from '../../src/core/upstream/vetted-lookup.ts'
import { createRecordingLog } from '../support/log.ts'

let connections = 0
const server = createServer((request, response) => {
  if (request.url === '/hang') response.flushHeaders()
  else response.end('ok')
})
server.on('connection', () => connections++)
let port: number
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})
beforeEach(() => {
  connections = 0
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** Resolves with the body. */
const get = (origin: UpstreamOrigin, path = '/'): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = ''
    origin.dispatch(
      { method: 'GET', path, headers: [], body: null, headersTimeoutMs: 10_000, idleTimeoutMs: 10_000 },
      {
        onRequestStart: () => {},
        onResponseStart: () => {},
        onResponseData: (_controller, chunk) => {
          text += chunk
        },
        onResponseEnd: () => resolve(text),
        onResponseError: (_controller, error) => reject(error),
      },
    )
  })

/** An answer ends a moment before its connection is free. */
const idle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('connections outlive a reload, which opens an origin again before it closes what was open', async () => {
  const client = createUpstreamClient(createAddressGuard(['127.0.0.1']))
  const before = client.openOrigin(`http://127.0.0.1:${port}/v1`)
  expect(await get(before)).toBe('ok')
  const after = client.openOrigin(`http://127.0.0.1:${port}/v2/`)
  expect([before.pathPrefix, after.pathPrefix]).toEqual(['/v1', '/v2'])
  await idle()
  const hanging = get(before, '/hang').catch((error: unknown) => error)
  await before.close()
  await before.close()
  expect(connections).toBe(1)
  // Beside the call that hangs, which is not cut by closing what others still use.
  expect(await get(after)).toBe('ok')
  await idle()
  expect(await get(after)).toBe('ok')
  expect(connections).toBe(2)
  await after.close()
  expect(await hanging).toBeInstanceOf(Error)
  const reopened = client.openOrigin(`http://127.0.0.1:${port}`)
  expect(await get(reopened)).toBe('ok')
  expect(connections).toBe(3)
  await reopened.close()
})

test('all addresses of a name are tried', async () => {
  const guard = createAddressGuard(['named.example'])
  const lookup = createVettedLookup(guard, {
    resolve: async () => [
      { address: '::1', family: 6 }, // nobody listens there
      { address: '127.0.0.1', family: 4 },
    ],
  })
  const origin = createUpstreamClient(guard, { lookup }).openOrigin(`http://named.example:${port}`)
  expect(await get(origin)).toBe('ok')
  await origin.close()
})

test('why an upstream cannot be connected to is logged once, however many calls run into it', async () => {
  const log = createRecordingLog()
  const guard = createAddressGuard([])
  const lookup = createVettedLookup(guard, { resolve: async () => [{ address: '10.0.0.1', family: 4 }] })
  const origin = createUpstreamClient(guard, { lookup, log }).openOrigin('https://named.example')
  await Promise.allSettled([get(origin), get(origin), get(origin)])
  expect(log.lines).toEqual([
    {
      level: 'warn',
      message: 'An upstream cannot be connected to.',
      fields: {
        upstream: 'https://named.example',
        reason:
          'named.example has the address 10.0.0.1, which is not a public address; name it in LLMGW_PRIVATE_UPSTREAMS to allow it.',
      },
    },
  ])
  await origin.close()
})

test.each([
  ['https://user:s3cret@api.example', 'must not carry credentials'],
  ['https://api.example?key=s3cret', 'must not carry credentials'],
  ['https://api.example?', 'must not carry credentials'],
  ['https://api.example#s3cret', 'must not carry credentials'],
  ['file:///etc/s3cret', 'not an http(s) URL'],
  ['s3cret', 'not an http(s) URL'],
])('%s is no base URL, and is not repeated', (url, reason) => {
  const open = (): unknown => createUpstreamClient(createAddressGuard([])).openOrigin(url)
  expect(open).toThrow(reason)
  expect(open).toThrow(/^(?!.*s3cret)/)
})
