import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, requestIdOf, type TestGateway } from '../support/gateway.ts'
import { inProgress, letPass, readKeyRow, reused, withKey } from '../support/idempotency.ts'
import type { PostgresProxy } from '../support/postgres-proxy.ts'
import { needsRedisServer, type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { type ExpectedRefusal, expectNothingDispatched, expectRefusal } from '../support/refusals.ts'
import { respondWithCompletion } from '../support/scripted-upstream.ts'

const file = { idempotency: { storeAnswers: true } }
const unavailable: ExpectedRefusal = {
  status: 503,
  type: 'service_unavailable',
  code: 'limits_unavailable',
  retryAfter: true,
}

let tests = 0
let key = ''
beforeEach(() => {
  key = `shared-${++tests}`
})

/** Answers once it is told to. */
function held(gateway: TestGateway): { goOn(): void; arrived: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>()
  gateway.upstream.answer(async (response, request) => {
    await promise
    respondWithCompletion(response, request)
  })
  return { goOn: resolve, arrived: gateway.upstream.seen(gateway.upstream.requests.length + 1) }
}

describe('two replicas', () => {
  let one: TestGateway
  let two: TestGateway
  let forgetful: TestGateway
  let redis: RedisServer
  needsRedisServer()
  beforeAll(async () => {
    // Replicas share their limits there; idempotency keys are in the database alone.
    redis = await startRedisServer()
    const environment = { REDIS_URL: redis.url }
    one = await openTestGateway({ file, environment })
    two = await openTestGateway({ file, environment, beside: one })
    forgetful = await openTestGateway({ environment, beside: one })
  })
  afterAll(async () => {
    await forgetful?.close()
    await two?.close()
    await one?.close()
    await redis?.close()
  })
  beforeEach(async () => {
    one.upstream.answer(respondWithCompletion)
    await one.forgetHealth()
  })

  test('of requests that reach both in the same moment one is dispatched', async () => {
    for (const replica of [one, two]) await (await replica.chat({}, withKey(`${key}-first-connections`))).arrayBuffer()
    for (let round = 0; round < 20; round++) {
      const upstream = held(one)
      const seenBefore = one.upstream.requests.length
      const roundKey = `${key}-${round}`
      let refused = 0
      const send = async (replica: TestGateway): Promise<Response> => {
        const response = await replica.chat({}, withKey(roundKey))
        if (response.status !== 200 && ++refused === 7) upstream.goOn()
        return response
      }
      const answers = await Promise.all([one, two, one, two, two, one, two, one].map(send))
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
      for (const response of answers) {
        // On a machine that has too much to do, connections to the database come too late for some.
        if (response.status !== 200) await expectRefusal(response, response.status === 503 ? unavailable : inProgress)
      }
      expect(one.upstream.requests.length - seenBefore).toBe(1)
    }
  })

  test('while one answers the other one says so, and then gives the same answer', async () => {
    const upstream = held(one)
    const first = one.chat({}, withKey(key))
    await upstream.arrived
    await expectRefusal(await two.chat({}, withKey(key)), inProgress)
    upstream.goOn()
    const firstAnswer = await first
    const text = await firstAnswer.text()
    const second = await eventually('the key to be used', async () => {
      const response = await two.chat({}, withKey(key))
      return response.status !== 409 && response
    })
    expect(second.headers.get('x-llmgw-original-request-id')).toBe(requestIdOf(firstAnswer))
    expect(await second.text()).toBe(text)
  })

  test('a key that one has given back is free at the other one, as soon as the refusal is there', async () => {
    for (let round = 0; round < 20; round++) {
      await one.forgetHealth()
      await one.upstream.stop()
      expect((await one.chat({}, withKey(`${key}-${round}`))).status).toBe(502)
      await one.upstream.restart()
      expect((await two.chat({}, withKey(`${key}-${round}`))).status).toBe(200)
    }
  })

  test('of a replica that vanished in the middle the key counts as used, within 60 s', async () => {
    const upstream = held(one)
    // This one lives on, and ends its call later; all that the other one can see is that it is not heard of.
    const first = one.chat({}, withKey(key))
    await upstream.arrived
    await letPass(one.pool, key, '29 seconds')
    await expectRefusal(await two.chat({}, withKey(key)), inProgress)
    await letPass(one.pool, key, '31 seconds')
    await expectNothingDispatchedMeanwhile(async () => {
      const error = await expectRefusal(await two.chat({}, withKey(key)), reused)
      expect(error.message).toContain('may have been billed')
    })
    // A replica that was only paused is right to finish: its answer is the answer.
    upstream.goOn()
    const text = await (await first).text()
    const replayed = await eventually('the answer to be kept', async () => {
      const response = await two.chat({}, withKey(key))
      return response.status === 200 && response
    })
    expect(await replayed.text()).toBe(text)
  })

  test('a row that a killed replica left stays used for its 24 hours, and is free afterwards', async () => {
    await one.pool.query(
      `insert into idempotency_keys
         (api_key_id, idempotency_key, fingerprint, request_id, owner_replica, heartbeat_at, expires_at)
       select id, $1, $2, gen_random_uuid(), 'killed', now() - interval '1 minute', now() + interval '1 hour'
       from api_keys where name = 'suites'`,
      [key, await fingerprintOfDefaultChat()],
    )
    await expectNothingDispatched(one, async () => {
      await expectRefusal(await two.chat({}, withKey(key)), reused)
    })
    await letPass(one.pool, key, '1 hour')
    expect((await two.chat({}, withKey(key))).status).toBe(200)
    expect((await readKeyRow(one.pool, key))?.owner_replica).not.toBe('killed')
  })

  test('where the operator keeps no answers any more, none is given again', async () => {
    await (await one.chat({}, withKey(key))).arrayBuffer()
    // It is kept just after its client has it.
    await eventually('the answer to be given again', async () => {
      const response = await two.chat({}, withKey(key))
      return response.headers.get('idempotent-replayed') === 'true'
    })
    await expectRefusal(await forgetful.chat({}, withKey(key)), reused)
  })

  /** What the gateway itself wrote for that request. */
  async function fingerprintOfDefaultChat(): Promise<Buffer> {
    await one.chat({}, withKey(`${key}-fingerprint`))
    const { rows } = await one.pool.query('select fingerprint from idempotency_keys where idempotency_key = $1', [
      `${key}-fingerprint`,
    ])
    return rows[0].fingerprint
  }

  async function expectNothingDispatchedMeanwhile(run: () => Promise<void>): Promise<void> {
    const seenBefore = one.upstream.requests.length
    await run()
    expect(one.upstream.requests.length).toBe(seenBefore)
  }
})

describe('while the database is away', () => {
  let gateway: TestGateway
  let postgres: PostgresProxy
  beforeAll(async () => {
    gateway = await openTestGateway({ file, breakableDatabase: true })
    postgres = gateway.postgres as PostgresProxy
    // From now on the virtual key is known.
    await gateway.settledRecord(requestIdOf(await gateway.chat()))
  })
  afterAll(() => gateway.close())
  beforeEach(async () => {
    postgres.mode = 'up'
    gateway.upstream.answer(respondWithCompletion)
  })

  test.for(['down', 'mute'] as const)(
    '%s: a request with a key is refused and not sent, one without is served; the key is free afterwards',
    async (mode) => {
      const seenBefore = gateway.upstream.requests.length
      postgres.mode = mode
      await expectRefusal(await gateway.chat({}, withKey(key)), unavailable)
      expect(gateway.upstream.requests.length).toBe(seenBefore)
      expect((await gateway.chat()).status).toBe(200)
      postgres.mode = 'up'
      const answer = await eventually('the key to be taken', async () => {
        const response = await gateway.chat({}, withKey(key))
        return response.status === 200 && response
      })
      expect(answer.headers.get('idempotent-replayed')).toBeNull()
      expect(gateway.upstream.requests.length).toBe(seenBefore + 2)
    },
  )

  test('a claim whose reply was lost is given back, and the next request gets the key', async () => {
    await gateway.allSettled()
    const cutsBefore = postgres.cuts
    postgres.cutAnswerTo('insert into idempotency_keys')
    await expectRefusal(await gateway.chat({}, withKey(key)), unavailable)
    expect(postgres.cuts).toBe(cutsBefore + 1)
    const seenBefore = gateway.upstream.requests.length
    const answer = await eventually('the key to be free', async () => {
      const response = await gateway.chat({}, withKey(key))
      return response.status === 200 && response
    })
    expect(answer.headers.get('idempotent-replayed')).toBeNull()
    expect(gateway.upstream.requests.length).toBe(seenBefore + 1)
  })

  test.for(['down', 'mute'] as const)(
    '%s from the middle of a call on: it is answered, and its answer is kept later',
    async (mode) => {
      const upstream = held(gateway)
      const first = gateway.chat({}, withKey(key))
      await upstream.arrived
      postgres.mode = mode
      upstream.goOn()
      const text = await (await first).text()
      expect((await first).status).toBe(200)
      await expectRefusal(await gateway.chat({}, withKey(key)), unavailable)
      postgres.mode = 'up'
      const replayed = await eventually('the answer to be kept', async () => {
        const response = await gateway.chat({}, withKey(key))
        return response.status === 200 && response
      })
      expect(replayed.headers.get('idempotent-replayed')).toBe('true')
      expect(await replayed.text()).toBe(text)
      expect(await gateway.settledRecord(requestIdOf(await first))).toMatchObject({ records: 1, state: 'settled' })
    },
  )

  test('from the middle of a call on that fails: its key is free later', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const arrived = gateway.upstream.seen(gateway.upstream.requests.length + 1)
    gateway.upstream.answer(async (response) => {
      await promise
      response.writeHead(500).end()
    })
    const first = gateway.chat({}, withKey(key))
    await arrived
    postgres.mode = 'down'
    resolve()
    expect((await first).status).toBe(502)
    gateway.upstream.answer(respondWithCompletion)
    postgres.mode = 'up'
    const second = await eventually('the key to be free', async () => {
      const response = await gateway.chat({}, withKey(key))
      return response.status === 200 && response
    })
    expect(second.headers.get('idempotent-replayed')).toBeNull()
  })
})
