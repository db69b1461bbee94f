import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { contentOf, framesOf } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { chatDefaults, openTestGateway, type TestGateway } from '../support/gateway.ts'
import { openRawConnection, postRequest, type RawConnection } from '../support/raw-connection.ts'
import { type SeenRequest, startStream, textChunk } from '../support/scripted-upstream.ts'

const mebibyte = 1024 * 1024
/** More than all buffers of all sockets between an upstream and a client hold. */
const floodBytes = 96 * mebibyte
/** What those buffers may hold: the kernel's, on two connections, and little of our own. */
const bufferedBytesMax = 40 * mebibyte

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway({ file: { limits: { heartbeatMs: 100, stalledMs: 500 } } })
})
afterAll(() => gateway.close())

const lastSeen = (from = gateway): SeenRequest => from.upstream.requests.at(-1) as SeenRequest
const frame = Buffer.from(`data: ${JSON.stringify(textChunk('x'.repeat(16_000)))}\n\n`)

interface Flood {
  /** Bytes that the upstream could get rid of. */
  written: number
}

/** Streams as much as is taken, and never more than `floodBytes`. */
function flood(from = gateway): Flood {
  const state: Flood = { written: 0 }
  from.upstream.answer(async (response, seen) => {
    startStream(response)
    while (state.written < floodBytes && !seen.isAborted) {
      if (!response.write(frame)) await Promise.race([once(response, 'drain'), seen.aborted])
      state.written += frame.length
    }
    response.end('data: [DONE]\n\n')
  })
  return state
}

/** All buffers are full. */
function paused(state: Flood): Promise<true> {
  let before = -1
  let unchanged = 0
  return eventually('the upstream to be paused', () => {
    unchanged = state.written === before ? unchanged + 1 : 0
    before = state.written
    return state.written > mebibyte && unchanged >= 10
  })
}

/** A client that sends a request and reads nothing of the answer. */
async function callWithoutReading(body: object, from = gateway, headers: string[] = []): Promise<RawConnection> {
  const client = await openRawConnection(from.url, { reads: false })
  client.send(postRequest('/v1/chat/completions', from.keySecret, { ...chatDefaults, ...body }, headers))
  return client
}

const nothingInFlight = (from = gateway): Promise<true> =>
  eventually('nothing to be in flight', async () => (await from.metric('llmgw_requests_in_flight')) === 0)

describe.for([
  ['relayed', 'round-numbers'],
  ['decoded', 'peer-chat'],
] as const)('%s: a client that reads nothing', ([kind, model]) => {
  test('pauses the upstream, and is closed after a while; what came is paid for', async () => {
    const state = flood()
    const seenBefore = gateway.upstream.requests.length
    using _client = await callWithoutReading({ model, stream: true }, gateway, [`x-request-id: stalled-${kind}`])
    await gateway.upstream.seen(seenBefore + 1)
    await eventually('the upstream to be closed', () => lastSeen().isAborted)
    expect(state.written).toBeGreaterThan(0)
    expect(state.written).toBeLessThan(bufferedBytesMax)
    const record = await gateway.settledRecord(`stalled-${kind}`)
    expect(record).toMatchObject({
      records: 1,
      state: 'settled',
      usage_source: 'counted',
      finish: 'client_disconnected',
    })
    expect(Number(record.output_tokens)).toBeGreaterThan(1_000)
    expect(Number(record.output_tokens)).toBeLessThanOrEqual(state.written / 4)
    await nothingInFlight()
  })
})

test('a client that reads nothing for a while and then goes on gets everything', async () => {
  await using patient = await openTestGateway()
  const state = flood(patient)
  using client = await callWithoutReading({ model: 'round-numbers', stream: true }, patient)
  await patient.upstream.seen(1)
  await paused(state)
  expect(state.written).toBeLessThan(bufferedBytesMax)
  let received = 0
  let end = ''
  client.socket.on('data', (bytes) => {
    received += bytes.length
    end = (end + bytes.toString('latin1')).slice(-100)
  })
  client.socket.resume()
  await eventually('the end of the stream', () => end.includes('[DONE]'), 25_000)
  expect(received).toBeGreaterThan(floodBytes)
  expect(lastSeen(patient).isAborted).toBe(false)
})

test('a client that reads nothing holds no unary answer in our memory for good', async () => {
  const content = 'x'.repeat(30 * mebibyte)
  gateway.upstream.answer((response: ServerResponse) => {
    const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ id: 'a', choices }))
  })
  using client = await callWithoutReading({ model: 'round-numbers' }, gateway, ['x-request-id: stalled-unary'])
  expect(await gateway.settledRecord('stalled-unary')).toMatchObject({ state: 'settled', finish: 'stop' })
  await nothingInFlight()
  expect(client.socket.readableEnded).toBe(false)
})

test('an error that a stalled client cannot be told does no harm', async () => {
  flood()
  const seenBefore = gateway.upstream.requests.length
  using _client = await callWithoutReading({ model: 'round-numbers', stream: true }, gateway, [
    'x-request-id: stalled-and-late',
    'x-request-timeout-ms: 250',
  ])
  await gateway.upstream.seen(seenBefore + 1)
  expect(await gateway.settledRecord('stalled-and-late')).toMatchObject({ finish: 'timeout', records: 1 })
  // Comments would be written meanwhile, were the answer not at its end.
  await nothingInFlight()
})

test('a stalled client does not hold up a shutdown', async () => {
  await using stopping = await openTestGateway()
  const state = flood(stopping)
  using _client = await callWithoutReading({ model: 'round-numbers', stream: true }, stopping, [
    'x-request-id: stalled-at-shutdown',
  ])
  await stopping.upstream.seen(1)
  await paused(state)
  await stopping.app.drain(0, Promise.resolve())
  expect(await stopping.settledRecord('stalled-at-shutdown')).toMatchObject({ finish: 'shutdown', records: 1 })
})

test('a slow client is not a stalled one', async () => {
  const text = 'x'.repeat(64 * 1024)
  gateway.upstream.answer((response) => {
    startStream(response)
    for (let at = 0; at < 64; at++) response.write(`data: ${JSON.stringify(textChunk(text))}\n\n`)
    response.write('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n')
    response.end('data: [DONE]\n\n')
  })
  const response = await gateway.chat({ model: 'round-numbers', stream: true })
  let answer = ''
  const decoder = new TextDecoder()
  for await (const bytes of response.body as AsyncIterable<Uint8Array>) {
    answer += decoder.decode(bytes, { stream: true })
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  expect(contentOf(answer)).toHaveLength(64 * text.length)
  expect(framesOf(answer).at(-1)).toBe('[DONE]')
})
