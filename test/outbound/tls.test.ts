import type { IncomingMessage } from 'node:http'
import { get as getSecure } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAddressGuard } from '../../src/core/upstream/address-guard.ts'
import { createProxies } from '../../src/core/upstream/proxies.ts'
import { request } from '../../src/core/upstream/request.ts'
import { createUpstreamClient, type UpstreamClient } from '../../src/core/upstream/upstream-client.ts'
import { createVettedLookup } from '../../src/core/upstream/vetted-lookup.ts'
import { type ScriptedProxy, startScriptedProxy } from '../support/scripted-proxy.ts'
import { startTlsUpstream } from '../support/tls-upstream.ts'

let upstream: Awaited<ReturnType<typeof startTlsUpstream>>
let proxy: ScriptedProxy
beforeAll(async () => {
  upstream = await startTlsUpstream()
  proxy = await startScriptedProxy(upstream.port)
})
afterAll(() => Promise.all([proxy.close(), upstream.close()]))

const guard = createAddressGuard(['models.invalid', 'other.invalid'])

const ways = {
  directly: () => ({
    client: createUpstreamClient(guard, {
      lookup: createVettedLookup(guard, { resolve: async () => [{ address: '127.0.0.1', family: 4 }] }),
    }),
    port: `:${upstream.port}`,
  }),
  'through a proxy': () => ({
    client: createUpstreamClient(guard, {
      proxies: createProxies({ http: undefined, https: `http://127.0.0.1:${proxy.port}`, direct: undefined }),
    }),
    port: '',
  }),
}

const byRequest = async (client: UpstreamClient, url: string): Promise<string> =>
  (await request(client, { method: 'GET', url })).text

const byAgent = async (client: UpstreamClient, url: string): Promise<string> => {
  const { httpsAgent, close } = client.openAgents()
  try {
    return await new Promise<string>((resolve, reject) => {
      const read = async (response: IncomingMessage): Promise<void> =>
        resolve(Buffer.concat(await response.toArray()).toString())
      getSecure(url, { agent: httpsAgent }, read).on('error', reject)
    })
  } finally {
    close()
  }
}

describe.each(Object.entries(ways))('%s', (_way, open) => {
  test.each([
    ['a request', byRequest],
    ['an agent', byAgent],
  ])('%s gets its answer from the host that it names, and from no other', async (_what, fetched) => {
    const { client, port } = open()
    expect(await fetched(client, `https://models.invalid${port}/`)).toBe(`for models.invalid${port}`)
    const answered = upstream.seen.hosts.length
    await expect(fetched(client, `https://other.invalid${port}/`)).rejects.toThrow('does not match certificate')
    expect(upstream.seen.hosts.length).toBe(answered)
  })

  test('an agent keeps its connection', async () => {
    const { client, port } = open()
    const { httpsAgent, close } = client.openAgents()
    const before = upstream.seen.connections
    for (let time = 0; time < 2; time++) {
      await new Promise<void>((resolve, reject) => {
        const asked = getSecure(`https://models.invalid${port}/`, { agent: httpsAgent }, (response) =>
          response.resume(),
        )
        asked.on('error', reject).on('close', resolve)
      })
    }
    expect(upstream.seen.connections).toBe(before + 1)
    close()
  })
})
