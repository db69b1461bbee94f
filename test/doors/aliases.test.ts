import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'

const both = [
  { provider: 'openai', model: 'round-numbers' },
  { provider: 'spare', model: 'spare-chat' },
]

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({
    environment: { LLMGW_REGION: 'eu' },
    file: {
      aliases: [
        { name: 'by-user', sticky: 'user', targets: both },
        { name: 'by-session', sticky: 'header:x-session-id', targets: both },
        {
          name: 'near',
          targets: [
            { ...both[0], region: 'us' },
            { ...both[1], region: 'eu' },
          ],
        },
        {
          name: 'shaped',
          targets: [both[0]],
          parameters: { temperature: 0.5 },
          caps: { max_completion_tokens: 50, n: 2 },
        },
      ],
    },
  })
})
afterAll(() => gateway.close())

const providerOf = (response: Response): string | null => response.headers.get('x-llmgw-provider')

test('a user stays at one target, and users are spread over all', async () => {
  const seen = new Set<string | null>()
  for (let user = 0; user < 20; user++) {
    const first = providerOf(await gateway.chat({ model: 'by-user', user: `user-${user}` }))
    expect(providerOf(await gateway.chat({ model: 'by-user', user: `user-${user}` }))).toBe(first)
    seen.add(first)
  }
  expect([...seen].sort()).toEqual(['openai', 'spare'])
})

test('a header may say what belongs together', async () => {
  const seen = new Set<string | null>()
  for (let session = 0; session < 20; session++) {
    const headers = { 'x-session-id': `session-${session}` }
    const first = providerOf(await gateway.chat({ model: 'by-session' }, { headers }))
    expect(providerOf(await gateway.chat({ model: 'by-session' }, { headers }))).toBe(first)
    seen.add(first)
  }
  expect(seen.size).toBe(2)
})

test('the target in the region of the replica is asked', async () => {
  for (let call = 0; call < 10; call++) expect(providerOf(await gateway.chat({ model: 'near' }))).toBe('spare')
})

test('parameters and caps of an alias reach the provider, also when a request is repeated with its key', async () => {
  const body = { model: 'shaped', max_tokens: 400, n: 9 }
  const headers = { 'idempotency-key': 'shaped-once' }
  const response = await gateway.chat(body, { headers })
  expect(response.status).toBe(200)
  expect(gateway.upstream.requests.at(-1)?.json).toMatchObject({
    model: 'round-numbers',
    temperature: 0.5,
    max_tokens: 50,
    n: 2,
  })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ alias: 'shaped', state: 'settled' })
  const again = await gateway.chat(body, { headers })
  expect(await again.json()).toMatchObject({ error: { code: 'idempotency_key_reused' } })
})

test('what an alias may not set is told', async () => {
  const loading = gateway.reload.bind(gateway)
  const aliases = [{ name: 'wrong', targets: both, parameters: { stream: true }, caps: { model: 1 }, sticky: 'moon' }]
  await expect(async () => loading({ aliases })).rejects.toThrow(
    /parameters[\s\S]*expected none of[\s\S]*sticky|sticky[\s\S]*parameters/,
  )
})
