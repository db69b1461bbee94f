import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAddressGuard } from '../../src/core/upstream/address-guard.ts'
import { createUpstreamClient, type UpstreamClient } from '../../src/core/upstream/upstream-client.ts'
import { createVettedLookup } from '../../src/core/upstream/vetted-lookup.ts'
import { createRecordingLog } from '../support/log.ts'
import { type ScriptedUpstream, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { credential, waysOut } from './ways-out.ts'

let trap: ScriptedUpstream
let upstream: ScriptedUpstream
beforeAll(async () => {
  trap = await startScriptedUpstream()
  upstream = await startScriptedUpstream()
})
afterAll(() => Promise.all([trap.close(), upstream.close()]))

/** @param answers - the addresses of every name, for each time it is resolved; the last ones stay */
function clientWith(allowed: string[], ...answers: string[][]) {
  const guard = createAddressGuard(allowed)
  const log = createRecordingLog()
  const resolved: string[] = []
  const lookup = createVettedLookup(guard, {
    freshMs: 0,
    resolve: async (hostname) => {
      resolved.push(hostname)
      const addresses = (answers.length > 1 ? answers.shift() : answers[0]) ?? []
      return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    },
  })
  return { client: createUpstreamClient(guard, { lookup, log }), resolved, log }
}

const portOf = ({ baseUrl }: ScriptedUpstream): string => new URL(baseUrl).port

describe.each(waysOut)('$name', ({ go }) => {
  const refusal = async (client: UpstreamClient, url: string): Promise<string> => {
    const error = await go(client, url).then(
      () => undefined,
      (caught: unknown) => caught,
    )
    expect(String(error)).not.toContain(credential)
    return error instanceof Error ? error.message : `nothing was refused: ${error}`
  }

  test.each([
    'https://127.0.0.1/v1',
    'https://127.1/v1',
    'https://2130706433/v1',
    'https://0x7f000001/v1',
    'https://0x7f.0.0.1/v1',
    'https://0177.0.0.1/v1',
    'https://017700000001/v1',
    'https://127.0.0.1./v1',
    'https://%31%32%37.0.0.1/v1',
    'https://10.0.0.1/v1',
    'https://172.16.0.1/v1',
    'https://192.168.0.1/v1',
    'https://100.64.0.1/v1',
    'https://169.254.169.254/v1',
    'https://0.0.0.0/v1',
    'https://0/v1',
    'https://224.0.0.1/v1',
    'https://255.255.255.255/v1',
    'https://[::1]/v1',
    'https://[::]/v1',
    'https://[::ffff:127.0.0.1]/v1',
    'https://[::ffff:7f00:1]/v1',
    'https://[::127.0.0.1]/v1',
    'https://[64:ff9b::7f00:1]/v1',
    'https://[64:ff9b:1::1]/v1',
    'https://[2002:7f00:1::]/v1',
    'https://[2001:0:1::1]/v1',
    'https://[fe80::1]/v1',
    'https://[fd00::1]/v1',
    'https://[fd00:ec2::254]/v1',
    'https://[ff02::1]/v1',
    'https://localhost/v1',
    'https://LOCALHOST./v1',
    'https://a.localhost/v1',
    'http://api.example/v1',
    'https://api.example:22/v1',
  ])('is refused at %s, without a name being resolved', async (url) => {
    const { client, resolved } = clientWith([], ['127.0.0.1'])
    expect(await refusal(client, url)).toContain('LLMGW_PRIVATE_UPSTREAMS')
    expect(resolved).toEqual([])
  })

  test.each([
    ['127.0.0.1'],
    ['10.0.0.1'],
    ['169.254.169.254'],
    ['100.64.0.1'],
    ['0.0.0.0'],
    ['224.0.0.1'],
    ['::1'],
    ['::ffff:127.0.0.1'],
    ['::ffff:8.8.8.8'],
    ['64:ff9b::a9fe:a9fe'],
    ['2002:7f00:1::'],
    ['fe80::1%lo'],
    ['fd00::1'],
    ['8.8.8.8', '127.0.0.1'],
    ['2606:4700::1111', '::1'],
  ])('is refused at a name with the address %s, and the operator is told why', async (...addresses) => {
    const { client, log } = clientWith([], addresses)
    expect(await refusal(client, 'https://named.example/v1')).toContain('named.example has the address')
    expect(log.lines).toMatchObject([
      {
        level: 'warn',
        fields: {
          upstream: 'https://named.example',
          reason: expect.stringContaining('in LLMGW_PRIVATE_UPSTREAMS'),
        },
      },
    ])
  })

  test('resolves a name once for the check and the connection, and checks it at the next one', async () => {
    const url = `http://named.example:${portOf(upstream)}/v1`
    const { client, resolved } = clientWith(['named.example'], ['127.0.0.1'], ['169.254.169.254'])
    const before = upstream.requests.length
    await refusal(client, url)
    expect(upstream.requests.length).toBe(before + 1)
    expect(resolved).toEqual(['named.example'])
    expect(await refusal(client, url)).toContain('hands out the credentials of this machine')
    expect(upstream.requests.length).toBe(before + 1)
  })

  test.each([301, 302, 303, 307, 308])('does not follow a redirect by %i', async (status) => {
    upstream.answer((response) => void response.writeHead(status, { location: `${trap.baseUrl}/stolen` }).end())
    const before = upstream.requests.length
    await refusal(clientWith(['127.0.0.1']).client, upstream.baseUrl)
    expect(upstream.requests.length).toBe(before + 1)
    expect(trap.requests).toEqual([])
  })
})
