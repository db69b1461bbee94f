import { get as getPlain, type IncomingMessage } from 'node:http'
import { get as getSecure } from 'node:https'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createAddressGuard } from '../../src/core/upstream/address-guard.ts'
import { createProxies, type ProxySettings } from '../../src/core/upstream/proxies.ts'
import { request } from '../../src/core/upstream/request.ts'
import { createUpstreamClient, type UpstreamClient } from '../../src/core/upstream/upstream-client.ts'
import { freePort } from '../support/free-port.ts'
import { openTestGateway } from '../support/gateway.ts'
import { type ScriptedProxy, startScriptedProxy } from '../support/scripted-proxy.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

let server: ScriptedUpstream
let proxy: ScriptedProxy
beforeAll(async () => {
  server = await startScriptedUpstream()
  server.answer((response) => void response.end('ok'))
})
beforeEach(async () => {
  proxy = await startScriptedProxy(Number(new URL(server.baseUrl).port))
  return () => proxy.close()
})
afterAll(() => server.close())

// No resolver knows this name: only the proxy does.
const plain = 'http://models.invalid:8000/v1'
const secure = 'https://models.invalid/v1'
const login = `Basic ${Buffer.from('user:p4ss').toString('base64')}`

function clientWith(direct?: string, allowed = ['models.invalid']): UpstreamClient {
  const url = `http://user:p4ss@127.0.0.1:${proxy.port}`
  const settings: ProxySettings = { http: url, https: url, direct }
  return createUpstreamClient(createAddressGuard(allowed), { proxies: createProxies(settings) })
}

const headers = { authorization: 'Bearer s3cret' }

const byRequest = async (client: UpstreamClient, url: string): Promise<string> =>
  (await request(client, { method: 'GET', url, headers })).text

const byAgent = (client: UpstreamClient, url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const { httpAgent, httpsAgent } = client.openAgents()
    const read = async (response: IncomingMessage): Promise<void> =>
      resolve(Buffer.concat(await response.toArray()).toString())
    const asked = url.startsWith('https:')
      ? getSecure(url, { agent: httpsAgent, headers }, read)
      : getPlain(url, { agent: httpAgent, headers }, read)
    asked.on('error', reject)
  })

describe.each([
  ['a request', byRequest],
  ['an agent', byAgent],
])('%s', (_what, fetched) => {
  test('goes through a tunnel to the host that is named, and the proxy alone gets its own credentials', async () => {
    const before = server.requests.length
    expect(await fetched(clientWith(), plain)).toBe('ok')
    expect(proxy.tunnels).toMatchObject([
      { target: 'models.invalid:8000', headers: { 'proxy-authorization': login, host: 'models.invalid:8000' } },
    ])
    expect(proxy.tunnels[0]?.headers.authorization).toBeUndefined()
    const seen = server.requests.slice(before)
    expect(seen).toMatchObject([{ path: '/v1', headers: { host: 'models.invalid:8000', ...headers } }])
    expect(seen[0]?.headers['proxy-authorization']).toBeUndefined()
  })

  test('speaks TLS with the target through it, so that the proxy sees no credential', async () => {
    // The scripted upstream has no TLS, so that is as far as it gets.
    await expect(fetched(clientWith(), secure)).rejects.toThrow()
    expect(proxy.tunnels[0]?.target).toBe('models.invalid:443')
    const bytes = await proxy.tunnels[0]?.firstBytes
    expect(bytes?.[0]).toBe(22) // a handshake
    expect(bytes?.includes('models.invalid')).toBe(true)
    expect(bytes?.includes('s3cret')).toBe(false)
  })

  test('does not go through it where NO_PROXY says so', async () => {
    await expect(fetched(clientWith('invalid'), plain)).rejects.toThrow(/ENOTFOUND|EAI_AGAIN|took more than/)
    expect(proxy.tunnels).toEqual([])
  })

  test('does not go through it to this machine', async () => {
    expect(await fetched(clientWith(undefined, ['127.0.0.1']), server.baseUrl)).toBe('ok')
    expect(proxy.tunnels).toEqual([])
  })

  test.each(['https://10.0.0.1/', 'https://169.254.169.254/', 'https://localhost/', 'http://api.invalid/'])(
    'is refused before the proxy is asked: %s',
    async (url) => {
      await expect(fetched(clientWith(undefined, []), url)).rejects.toThrow('LLMGW_PRIVATE_UPSTREAMS')
      expect(proxy.tunnels).toEqual([])
    },
  )

  test('says what to set when the proxy refuses, without its password', async () => {
    const client = clientWith()
    proxy.answerWith(407)
    await expect(fetched(client, plain)).rejects.toThrow(
      /The proxy 127\.0\.0\.1:\d+ wants other credentials \(HTTP 407\); set them in its URL, in HTTPS_PROXY or HTTP_PROXY\./,
    )
    proxy.answerWith(403)
    await expect(fetched(client, plain)).rejects.toThrow(
      /did not connect to models\.invalid:8000 \(HTTP 403\); allow it there, or name the host in NO_PROXY\./,
    )
  })

  test('says so when nobody is there', async () => {
    const port = await freePort()
    const proxies = createProxies({ http: `http://user:p4ss@127.0.0.1:${port}`, https: undefined, direct: undefined })
    const client = createUpstreamClient(createAddressGuard(['models.invalid']), { proxies })
    const error = await fetched(client, plain).catch((caught: unknown) => caught)
    expect(String(error)).toContain(`The proxy 127.0.0.1:${port} could not be reached (ECONNREFUSED).`)
    expect(String(error)).not.toContain('p4ss')
  })
})

test('a proxy that says nothing is given up', async () => {
  proxy.answerWith(undefined)
  const { httpAgent } = clientWith().openAgents({ connectTimeoutMs: 20 })
  const failed = new Promise((resolve) => getPlain(plain, { agent: httpAgent }).on('error', resolve))
  expect(String(await failed)).toContain('did not connect to models.invalid:8000 within 20 ms.')
})

test('the gateway goes through the proxy of its environment', async () => {
  const upstream = await startScriptedUpstream()
  const between = await startScriptedProxy(Number(new URL(upstream.baseUrl).port))
  await using gateway = await openTestGateway({
    environment: {
      http_proxy: `http://user:p4ss@127.0.0.1:${between.port}`,
      LLMGW_PRIVATE_UPSTREAMS: '127.0.0.1/32,models.invalid',
    },
    file: {
      providers: [{ name: 'far', type: 'openai-compatible', baseUrl: plain, passthroughModels: true }],
    },
  })
  expect((await gateway.chat({ model: 'far/m' })).status).toBe(200)
  expect(between.tunnels).toMatchObject([{ target: 'models.invalid:8000' }])
  // Those on this machine are reached as before.
  expect((await gateway.chat()).status).toBe(200)
  await between.close()
  await upstream.close()
  expect((await gateway.chat({ model: 'far/m' })).status).toBe(502)
  expect(between.tunnels).toHaveLength(1)
  const told = JSON.stringify(gateway.logLines)
  expect(told).toContain(`The proxy 127.0.0.1:${between.port} could not be reached`)
  expect(told).not.toContain('p4ss')
})
