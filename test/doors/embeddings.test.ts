import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { respondWithCompletion, respondWithJson, type SeenRequest } from '../support/scripted-upstream.ts'

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway.close())
beforeEach(() => gateway.upstream.answer(respondWithCompletion))

interface Embeddings {
  object: string
  model: string
  data: { object: string; index: number; embedding: number[] | string }[]
  usage: { prompt_tokens: number; total_tokens: number }
}

const lastSeen = (): SeenRequest => gateway.upstream.requests.at(-1) as SeenRequest
const read = async (response: Response): Promise<Embeddings> => (await response.json()) as Embeddings

function floatsOf(base64: number[] | string | undefined): number[] {
  const bytes = Buffer.from(base64 as string, 'base64')
  return Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(at * 4))
}

test('a request and its answer pass byte for byte', async () => {
  const body = '{ "input":["a","b"], "model":"text-embedding-3-small", "dimensions": 3, "future":{"x":1.0} }'
  const answer =
    '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-2e-3]}],"new":1.0,' +
    '"model":"text-embedding-3-small","usage":{"prompt_tokens":2,"total_tokens":2}}'
  gateway.upstream.answer(
    (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(answer),
  )
  const response = await gateway.embed(body)
  expect(await response.text()).toBe(answer)
  expect(lastSeen()).toMatchObject({ path: '/v1/embeddings', body })
})

test('a call leaves one settled record, priced by its input alone', async () => {
  const response = await gateway.embed({ input: ['one', 'two', 'three'] })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
    records: 1,
    operation: 'embeddings',
    state: 'settled',
    finish: 'stop',
    usage_source: 'provider',
    stream: false,
    input_tokens: '12',
    output_tokens: '0',
    // 12 tokens at 0.02 dollars a million
    provider_cost_nano: '240',
    ledger_nano: '240',
    attempts: [{ outcome: 'answered', billing: 'billed' }],
  })
})

test('vectors come as floats or as base64, as they were asked for', async () => {
  const floats = await read(await gateway.embed({ encoding_format: 'float' }))
  const base64 = await read(await gateway.embed({ encoding_format: 'base64' }))
  expect(floats.data[0]?.embedding).toEqual([0.25, -0.5, 0.125])
  expect(floatsOf(base64.data[0]?.embedding)).toEqual([0.25, -0.5, 0.125])
})

test.for([
  ['floats for base64', 'base64', [0.25, -0.5]],
  ['base64 for floats', 'float', Buffer.from(new Float32Array([0.25, -0.5]).buffer).toString('base64')],
] as const)('a peer that sends %s is put right', async ([, wanted, sent]) => {
  gateway.upstream.answer((response) => {
    respondWithJson(response, 200, { data: [{ embedding: sent }], usage: { prompt_tokens: 4, total_tokens: 4 } })
  })
  const response = await gateway.embed({ model: 'peer-embedding', encoding_format: wanted })
  const answer = await read(response)
  const { embedding } = answer.data[0] as Embeddings['data'][0]
  expect(wanted === 'base64' ? floatsOf(embedding) : embedding).toEqual([0.25, -0.5])
  expect(answer).toMatchObject({ object: 'list', model: 'peer-embedding', data: [{ object: 'embedding', index: 0 }] })
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ provider_cost_nano: '2000' })
})

test('a peer that sends fewer vectors than texts has not answered', async () => {
  gateway.upstream.answer((response) => respondWithJson(response, 200, { data: [{ embedding: [1] }] }))
  const response = await gateway.embed({ model: 'peer-embedding', input: ['a', 'b'] })
  expect(response.status).toBe(502)
  expect(await response.json()).toMatchObject({ error: { code: 'provider_bad_response' } })
})

test('an answer without usage is counted from the texts', async () => {
  gateway.upstream.answer((response) => respondWithJson(response, 200, { object: 'list', data: [{ embedding: [1] }] }))
  const response = await gateway.embed({ input: 'x'.repeat(4_000) })
  const record = await gateway.settledRecord(requestIdOf(response))
  expect(record).toMatchObject({ usage_source: 'counted', output_tokens: '0', state: 'settled' })
  expect(Number(record.input_tokens)).toBeGreaterThanOrEqual(1_000)
})

test.for([
  ['a text', 'one'],
  ['texts', ['one', 'two']],
  ['tokens', [1, 2, 3]],
  ['lists of tokens', [[1, 2], [3]]],
] as const)('the demo provider embeds %s', async ([, input]) => {
  const response = await gateway.embed({ model: 'demo-embedding', input })
  const { data } = await read(response)
  expect(data.length).toBe(typeof input === 'string' || typeof input[0] === 'number' ? 1 : 2)
  const vector = data[0]?.embedding as number[]
  expect(vector.length).toBe(256)
  expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
})

test('the demo provider gives the same vector as base64, in the dimensions asked for', async () => {
  const request = { model: 'demo/demo-embedding', input: 'the same', dimensions: 16 }
  const floats = await read(await gateway.embed(request))
  const base64 = await read(await gateway.embed({ ...request, encoding_format: 'base64' }))
  expect(floats.data[0]?.embedding).toHaveLength(16)
  expect(floatsOf(base64.data[0]?.embedding)).toEqual(floats.data[0]?.embedding)
})

test('a chat model does no embeddings, nor the other way round', async () => {
  const requestsBefore = gateway.upstream.requests.length
  const chat = await gateway.chat({ model: 'peer/peer-embedding' })
  expect(chat.status).toBe(404)
  expect(await chat.json()).toMatchObject({ error: { code: 'model_not_found', param: 'model' } })
  expect(gateway.upstream.requests.length).toBe(requestsBefore)
})

test('"stream" means nothing to embeddings', async () => {
  const response = await gateway.embed({ stream: true })
  expect(response.headers.get('content-type')).toBe('application/json')
  expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({ stream: false })
})
