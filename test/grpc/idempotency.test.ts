import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openTestGateway, type TestGateway } from '../support/gateway.ts'
import { detailsOf, GrpcClient, textOf } from '../support/grpc.ts'
import { respondWithCompletion, startStream, textChunk, writeFrame } from '../support/scripted-upstream.ts'

const aborted = 10
const failedPrecondition = 9

let gateway: TestGateway
let client: GrpcClient

beforeAll(async () => {
  gateway = await openTestGateway({ file: { idempotency: { storeAnswers: true } } })
  client = new GrpcClient(`127.0.0.1:${gateway.app.grpc.port}`, gateway.keySecret)
})
afterAll(async () => {
  client?.close()
  await gateway?.close()
})
beforeEach(() => gateway.upstream.answer(respondWithCompletion))

const withKey = (key: string) => ({ metadata: { 'idempotency-key': key } })
const model = 'round-numbers'

test('a whole answer is given again, word for word, and the provider is asked once', async () => {
  const seenBefore = gateway.upstream.requests.length
  const first = await client.complete({ model }, withKey('grpc-whole'))
  const again = await client.complete({ model }, withKey('grpc-whole'))
  expect([first.code, again.code]).toEqual([0, 0])
  expect(again.messages).toEqual(first.messages)
  expect(gateway.upstream.requests.length).toBe(seenBefore + 1)
  expect(again.trailer.get('idempotent-replayed')).toEqual(['true'])
  expect(again.trailer.get('x-llmgw-original-request-id')).toEqual([first.messages[0]?.summary?.requestId])
})

test('a stream is given again, message for message', async () => {
  const first = await client.stream({ model }, withKey('grpc-stream')).outcome
  const again = await client.stream({ model }, withKey('grpc-stream')).outcome
  expect([first.code, again.code]).toEqual([0, 0])
  expect(again.messages).toEqual(first.messages)
  expect(textOf(again.messages)).toBe('Hello there.')
})

test('a failure that was paid for is given again, with what came before it', async () => {
  gateway.upstream.answer((response) => {
    startStream(response)
    writeFrame(response, textChunk('twenty bytes of text'))
    setTimeout(() => response.destroy(), 50)
  })
  const first = await client.stream({ model }, withKey('grpc-broken')).outcome
  gateway.upstream.answer(respondWithCompletion)
  const again = await client.stream({ model }, withKey('grpc-broken')).outcome
  expect(first.code).toBeGreaterThan(0)
  expect([again.code, again.message]).toEqual([first.code, first.message])
  expect(textOf(again.messages)).toBe('twenty bytes of text')
  expect(detailsOf(again).ErrorInfo).toEqual(detailsOf(first).ErrorInfo)
})

test('embeddings are given again', async () => {
  const first = await client.embed({}, withKey('grpc-embed'))
  expect((await client.embed({}, withKey('grpc-embed'))).messages).toEqual(first.messages)
})

test('another request, or another method or door, with the same key is another request', async () => {
  await client.complete({ model }, withKey('grpc-other'))
  const refusals = [
    await client.complete({ model, temperature: 1 }, withKey('grpc-other')),
    await client.stream({ model }, withKey('grpc-other')).outcome,
  ]
  for (const refused of refusals) {
    expect([refused.code, detailsOf(refused).ErrorInfo?.reason]).toEqual([
      failedPrecondition,
      'idempotency_key_mismatch',
    ])
  }
  const overRest = await gateway.chat({ model }, { headers: { 'idempotency-key': 'grpc-other' } })
  expect(overRest.status).toBe(422)
})

test('while the first one runs, the second one is told to come back', async () => {
  const goOn = Promise.withResolvers<void>()
  const seenBefore = gateway.upstream.requests.length
  gateway.upstream.answer(async (response, request) => {
    await goOn.promise
    respondWithCompletion(response, request)
  })
  const first = client.complete({ model }, withKey('grpc-twice'))
  await gateway.upstream.seen(seenBefore + 1)
  const second = await client.complete({ model }, withKey('grpc-twice'))
  expect([second.code, detailsOf(second).ErrorInfo?.reason]).toEqual([aborted, 'idempotency_in_progress'])
  expect(detailsOf(second).RetryInfo?.retryDelayMs).toBeGreaterThan(0)
  goOn.resolve()
  expect((await first).code).toBe(0)
})
