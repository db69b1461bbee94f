import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'

let gateway: TestGateway

const keys = { aliasOnly: 'may-use-the-alias-0123456789', peerOnly: 'may-use-the-peer-0123456789' }

beforeAll(async () => {
  gateway = await openTestGateway({
    file: {
      providers: [
        { name: 'switched-off', type: 'demo', enabled: false },
        { name: 'second-demo', type: 'demo' },
      ],
      keys: [
        { name: 'alias only', secret: keys.aliasOnly, allowedModels: ['smart'] },
        { name: 'peer only', secret: keys.peerOnly, allowedModels: ['peer/*'] },
      ],
    },
  })
})
afterAll(() => gateway.close())

interface Model {
  id: string
  object: string
  created: number
  owned_by: string
}

async function list(key?: string): Promise<Model[]> {
  const response = await gateway.request('GET', '/v1/models', key === undefined ? {} : { key })
  expect(response.status).toBe(200)
  const answer = (await response.json()) as { object: string; data: Model[] }
  expect(answer.object).toBe('list')
  return answer.data
}

const get = (id: string, key?: string): Promise<Response> =>
  gateway.request('GET', `/v1/models/${id}`, key === undefined ? {} : { key })

test('the list has aliases, provider/model, and bare names where these are unambiguous', async () => {
  const models = await list()
  const ids = models.map(({ id }) => id)
  expect(ids).toEqual(expect.arrayContaining(['smart', 'openai/round-numbers', 'round-numbers', 'peer/peer-embedding']))
  // Two demo providers serve a model of this name.
  expect(ids).toEqual(expect.arrayContaining(['demo/demo-chat', 'second-demo/demo-chat']))
  expect(ids).not.toContain('demo-chat')
  expect(ids.filter((id) => id.startsWith('switched-off/'))).toEqual([])
  expect(new Set(ids).size).toBe(ids.length)
  for (const model of models) {
    expect(model).toEqual({
      id: expect.any(String),
      object: 'model',
      created: expect.any(Number),
      owned_by: expect.any(String),
    })
  }
})

test.for([
  ['an alias', 'smart', 'llmgw'],
  ['provider/model', 'openai/gpt-4o-mini', 'openai'],
  ['a bare name', 'peer-chat', 'peer'],
  ['provider/model, its slash escaped', 'openai%2Fgpt-4o-mini', 'openai'],
] as const)('one model is found by %s', async ([, id, owner]) => {
  const response = await get(id)
  expect(response.status).toBe(200)
  expect(requestIdOf(response)).toMatch(/^[0-9a-f-]{36}$/)
  expect(await response.json()).toEqual({
    id: decodeURIComponent(id),
    object: 'model',
    created: expect.any(Number),
    owned_by: owner,
  })
})

test('a key is shown what it may use, and nothing else', async () => {
  expect((await list(keys.aliasOnly)).map(({ id }) => id)).toEqual(['smart'])
  const ids = (await list(keys.peerOnly)).map(({ id }) => id)
  expect(ids.sort()).toEqual(['peer-chat', 'peer-embedding', 'peer/peer-chat', 'peer/peer-embedding'].sort())
})

test('whatever a key is shown, it may call', async () => {
  for (const { id } of await list(keys.peerOnly)) {
    const call = id.endsWith('embedding') ? gateway.embed : gateway.chat
    expect([id, (await call({ model: id }, { key: keys.peerOnly })).status]).toEqual([id, 200])
  }
})

test('a model the key may not use looks like one that is not there', async () => {
  const [notAllowed, unknown] = await Promise.all([get('openai/gpt-4o-mini', keys.aliasOnly), get('nobody/has-this')])
  const answers = await Promise.all([notAllowed, unknown].map((response) => response.json()))
  expect([notAllowed.status, unknown.status]).toEqual([404, 404])
  for (const answer of answers) {
    expect(answer).toMatchObject({ error: { code: 'model_not_found', type: 'invalid_request_error' } })
  }
})

test('a model of a provider that is switched off is not there, and is not looked for elsewhere', async () => {
  expect((await get('switched-off/demo-chat')).status).toBe(404)
  const response = await gateway.chat({ model: 'switched-off/demo-chat' })
  expect(response.status).toBe(404)
})

test('a list leaves no usage record', async () => {
  const before = await gateway.allSettled()
  await list()
  await get('smart')
  expect(await gateway.allSettled()).toBe(before)
})
