import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readPartially } from '../support/event-stream.ts'
import { eventually } from '../support/eventually.ts'
import { chatDefaults, openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import type { PostgresProxy } from '../support/postgres-proxy.ts'
import { openRawConnection, postRequest } from '../support/raw-connection.ts'
import { type ExpectedRefusal, expectRawRefusal, expectRefusal } from '../support/refusals.ts'
import { respondWithCompletion, startStream, textChunk, writeFrame } from '../support/scripted-upstream.ts'

const unavailable = (code: string): ExpectedRefusal => ({
  status: 503,
  type: 'service_unavailable',
  code,
  retryAfter: true,
})

describe('while the database is away', () => {
  const recordsMax = 1_000
  let gateway: TestGateway
  let postgres: PostgresProxy
  beforeAll(async () => {
    gateway = await openTestGateway({
      breakableDatabase: true,
      file: { usage: { journal: { maxRecords: recordsMax } } },
    })
    postgres = gateway.postgres as PostgresProxy
    // From now on this key is known.
    await gateway.settledRecord(requestIdOf(await gateway.chat()))
  })
  afterAll(() => gateway.close())
  beforeEach(() => {
    postgres.mode = 'up'
  })

  test.for(['down', 'mute'] as const)('%s: a known key is served, and its usage arrives later', async (mode) => {
    postgres.mode = mode
    const response = await gateway.chat()
    expect(response.status).toBe(200)
    expect((await gateway.request('GET', '/v1/models')).status).toBe(200)
    postgres.mode = 'up'
    expect(await gateway.settledRecord(requestIdOf(response))).toMatchObject({
      records: 1,
      state: 'settled',
      usage_source: 'provider',
    })
  })

  test.for(['down', 'mute'] as const)('%s: an unknown key is not called wrong: 503 auth_unavailable', async (mode) => {
    postgres.mode = mode
    const seenBefore = gateway.upstream.requests.length
    const response = await gateway.chat({}, { key: `nobody-knows-${mode}-0123456789` })
    await expectRefusal(response, unavailable('auth_unavailable'))
    expect(gateway.upstream.requests.length).toBe(seenBefore)
    postgres.mode = 'up'
    const refused = await eventually('the key to be looked up', async () => {
      const answer = await gateway.chat({}, { key: `nobody-knows-${mode}-0123456789` })
      return answer.status !== 503 && answer
    })
    expect(refused.status).toBe(401)
  })

  test('a secret that cannot be a key is refused as ever', async () => {
    postgres.mode = 'down'
    expect((await gateway.chat({}, { key: 'llmgw_cut-off' })).status).toBe(401)
  })

  test('the process is alive and stays ready', async () => {
    postgres.mode = 'down'
    await gateway.chat()
    expect((await fetch(`${gateway.opsUrl}/healthz`)).status).toBe(200)
    expect((await fetch(`${gateway.opsUrl}/readyz`)).status).toBe(200)
  })

  test('when no more usage can be kept, calls are refused: 503 usage_spool_full; none that was served is lost', async () => {
    const recordsBefore = await gateway.allSettled()
    postgres.mode = 'down'
    let served = 0
    let refused: Response | undefined
    const call = async (): Promise<void> => {
      while (!refused && served <= recordsMax) {
        const response = await gateway.embed({ model: 'demo-embedding' })
        if (response.status === 200) served++
        else refused ??= response
        if (response !== refused) await response.arrayBuffer()
      }
    }
    await Promise.all(Array.from({ length: 10 }, call))
    await expectRefusal(refused as unknown as Response, unavailable('usage_spool_full'))
    expect(served).toBe(recordsMax)
    postgres.mode = 'up'
    await eventually('calls to be served again', async () => (await gateway.chat()).status === 200)
    expect(await gateway.allSettled()).toBe(recordsBefore + served + 1)
  })
})

test('503 overloaded: more calls at once than the gateway takes on', async () => {
  await using gateway = await openTestGateway({ file: { limits: { requestsInFlight: 2 } } })
  const goOn = Promise.withResolvers<void>()
  gateway.upstream.answer(async (response, request) => {
    await goOn.promise
    respondWithCompletion(response, request)
  })
  const running = [gateway.chat(), gateway.chat()]
  await gateway.upstream.seen(2)
  await expectRefusal(await gateway.chat(), unavailable('overloaded'))
  await expectRefusal(await gateway.embed(), unavailable('overloaded'))
  expect((await fetch(`${gateway.opsUrl}/readyz`)).status).toBe(503)
  expect((await gateway.request('GET', '/v1/models')).status).toBe(200)
  goOn.resolve()
  expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200])
  expect((await gateway.chat()).status).toBe(200)
  expect(await gateway.allSettled()).toBe(3)
})

describe('503 server_shutting_down', () => {
  test('a request that was on its way when the gateway stopped accepting', async () => {
    await using gateway = await openTestGateway()
    const whole = postRequest('/v1/chat/completions', gateway.keySecret, chatDefaults)
    using client = await openRawConnection(gateway.url)
    client.send(whole.slice(0, 40))
    // Nothing else tells that the gateway has seen what was sent.
    await gateway.chat({ model: 'demo-chat' })
    const deadline = Promise.withResolvers<void>()
    gateway.upstream.answer((response) => {
      startStream(response)
      writeFrame(response, textChunk('first'))
    })
    const running = readPartially(await gateway.chat({ stream: true }))
    await running.until('first')
    const drained = gateway.app.drain(0, deadline.promise)
    await eventually('new connections to be refused', () =>
      openRawConnection(gateway.url).then(
        (opened) => {
          opened[Symbol.dispose]()
          return false
        },
        () => true,
      ),
    )
    client.send(whole.slice(40))
    const error = expectRawRefusal(await client.closed, unavailable('server_shutting_down'))
    expect(error.message).toContain('shutting down')
    deadline.resolve()
    await drained
    expect(await gateway.allSettled()).toBe(2)
  })
})
