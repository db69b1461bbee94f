import { get as getPlain, type IncomingMessage } from 'node:http'
import { get as getSecure } from 'node:https'
import { createServer, type Server } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAddressGuard } from '../../src/core/upstream/address-guard.ts'
import { createUpstreamClient } from '../../src/core/upstream/upstream-client.ts'
import { createVettedLookup } from '../../src/core/upstream/vetted-lookup.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'

let server: ScriptedUpstream
beforeAll(async () => {
  server = await startScriptedUpstream()
  server.answer((response) => void response.end('ok'))
})
afterAll(() => server.close())

/** The agents of a gateway whose resolver gives these addresses, in turn. */
function agentsWith(allowed: string[], ...answers: string[][]) {
  const guard = createAddressGuard(allowed)
  const left = [...answers]
  const lookup = createVettedLookup(guard, {
    freshMs: 0,
    resolve: async () => (left.shift() ?? []).map((address) => ({ address, family: 4 })),
  })
  const agents = createUpstreamClient(guard, { lookup }).openAgents({ connectTimeoutMs: 1_000 })
  const fetched = (url: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const read = async (response: IncomingMessage): Promise<void> => {
        const chunks = await response.toArray()
        resolve(Buffer.concat(chunks).toString())
      }
      const request = url.startsWith('https:')
        ? getSecure(url, { agent: agents.httpsAgent }, read)
        : getPlain(url, { agent: agents.httpAgent }, read)
      request.on('error', reject)
    })
  return { ...agents, fetched, left }
}

const portOf = (url: string): string => new URL(url).port

test('a host that the operator names is reached, on one connection after another request', async () => {
  const { fetched, httpAgent, close } = agentsWith(['127.0.0.1'])
  expect(await fetched(server.baseUrl)).toBe('ok')
  await eventually('the connection is free', () => Object.values(httpAgent.freeSockets).flat().length === 1)
  const [idle] = Object.values(httpAgent.freeSockets).flat()
  expect(await fetched(server.baseUrl)).toBe('ok')
  await eventually('it is free again', () => Object.values(httpAgent.freeSockets).flat()[0] === idle)
  close()
})

test.each([
  'http://127.0.0.1:9/',
  'https://127.0.0.1/',
  'https://127.1/',
  'https://0x7f000001/',
  'https://[::1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://169.254.169.254/',
  'https://localhost/',
  'https://localhost./',
  'http://api.example/',
  'https://api.example:8443/',
])('%s is refused', async (url) => {
  await expect(agentsWith([]).fetched(url)).rejects.toMatchObject({ code: 'ADDRESS_REFUSED' })
})

test('a name is refused when one of its addresses is, and the connection goes to what was vetted', async () => {
  const url = `http://named.example:${portOf(server.baseUrl)}/`
  const secure = 'https://rebinding.example/'
  await expect(agentsWith([], ['8.8.8.8', '127.0.0.1']).fetched(secure)).rejects.toMatchObject({
    code: 'ADDRESS_REFUSED',
  })
  const { fetched, left } = agentsWith(['named.example'], ['127.0.0.1'], ['127.0.0.2'])
  expect(await fetched(url)).toBe('ok')
  // One answer for both, the check and the connection.
  expect(left).toEqual([['127.0.0.2']])
})

test('a socket in the file system is no upstream', async () => {
  const { httpAgent } = agentsWith(['0.0.0.0/0'])
  const refused = new Promise((resolve) => {
    getPlain({ socketPath: '/tmp/x.sock', agent: httpAgent }).on('error', resolve)
  })
  expect(await refused).toMatchObject({ code: 'ADDRESS_REFUSED' })
})

test('a server that takes connections and says nothing is given up', async () => {
  const silent: Server = createServer(() => {})
  const port = await freePort()
  await new Promise<void>((resolve) => silent.listen(port, '127.0.0.1', resolve))
  const agents = createUpstreamClient(createAddressGuard(['127.0.0.1'])).openAgents({ connectTimeoutMs: 20 })
  const failed = new Promise((resolve) => {
    getSecure(`https://127.0.0.1:${port}/`, { agent: agents.httpsAgent }).on('error', resolve)
  })
  expect(String(await failed)).toContain('Connecting to 127.0.0.1 took more than 20 ms.')
  agents.close()
  silent.close()
})
