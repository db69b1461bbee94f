import { afterAll, beforeAll, expect, test } from 'vitest'
import { tellGateways } from '../../src/cli/tell-gateways.ts'
import type { GatewayEvent } from '../../src/core/events/event-bus.ts'
import { createUuidV7Source } from '../../src/core/ids.ts'
import { createKeyDigester } from '../../src/core/keys/key-digest.ts'
import { generateSecret } from '../../src/core/keys/key-format.ts'
import { createKeyStore } from '../../src/core/keys/keys.store.ts'
import { createKeys, type Keys } from '../../src/core/keys/keys.ts'
import { Secret } from '../../src/core/secret.ts'
import { eventually } from '../support/eventually.ts'
import { openTestGateway, type TestGateway, testKeyPepper } from '../support/gateway.ts'
import { needsRedisServer, type RedisServer, startRedisServer } from '../support/redis-server.ts'
import { redisServerBinary } from '../support/redis-server-binary.ts'

/** Two replicas over one PostgreSQL and one Redis, and somebody who changes keys beside them. */

needsRedisServer()

let redis: RedisServer
let replicas: [TestGateway, TestGateway]
let keys: Keys
let events: GatewayEvent[]

const opened = new AsyncDisposableStack()
beforeAll(async () => {
  if (redisServerBinary() === undefined) return
  redis = opened.use(await startRedisServer())
  const environment = { REDIS_URL: redis.url }
  const first = opened.use(await openTestGateway({ environment }))
  replicas = [first, opened.use(await openTestGateway({ environment, beside: first }))]
  keys = createKeys({
    store: createKeyStore(first.pool),
    digester: createKeyDigester([testKeyPepper]),
    clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
    newId: createUuidV7Source(),
    changed: (keyId) => events.push({ type: 'key-changed', keyId }),
  })
})
afterAll(async () => {
  redis?.resume()
  await opened.disposeAsync()
})

const operator = { kind: 'operator', id: undefined } as const

/** As a command does it. */
async function changing<T>(change: () => Promise<T>): Promise<T> {
  events = []
  const result = await change()
  await tellGateways({ redisUrl: new Secret(redis.url), redisPrefix: 'llmgw' }, events)
  return result
}

async function createKey(secret = generateSecret()): Promise<{ id: string; secret: string }> {
  const created = await changing(() => keys.create({ name: 'replicas', secret }, operator))
  if (!created.ok) throw new Error(JSON.stringify(created.refusals))
  return { id: created.key.id, secret }
}

const statuses = (key: string): Promise<number[]> =>
  Promise.all(
    replicas.map(async (replica) => {
      const response = await replica.chat({}, { key })
      await response.text()
      return response.status
    }),
  )

/** @returns how long it took, in milliseconds */
async function untilRefused(key: string, msMax: number): Promise<number> {
  const startMs = performance.now()
  await eventually(
    'every replica to refuse the key',
    async () => (await statuses(key)).every((status) => status === 401),
    msMax,
  )
  return performance.now() - startMs
}

test('both replicas hear from each other', async () => {
  for (const replica of replicas) {
    expect(await replica.metric('llmgw_redis_available')).toBe(1)
    expect(await replica.metric('llmgw_redis_eviction_policy_ok')).toBe(1)
    expect(await replica.metric('llmgw_events_connected')).toBe(1)
    expect(await replica.metric('llmgw_events_gaps_total')).toBe(0)
  }
})

test('a revoked key stops on every replica, long before they would look', async () => {
  const { id, secret } = await createKey()
  expect(await statuses(secret)).toEqual([200, 200])
  await changing(() => keys.revoke(id, operator))
  expect(await untilRefused(secret, 3_000)).toBeLessThan(3_000)
})

test('a key that was asked for in vain works as soon as it is made', async () => {
  const secret = generateSecret()
  expect(await statuses(secret)).toEqual([401, 401])
  await createKey(secret)
  await eventually(
    'the key to work',
    async () => (await statuses(secret)).every((status) => status === 200),
    3_000, // below the five seconds for which it would be remembered that there is none
  )
})

test('a configuration that one replica takes is soon that of the others', async () => {
  const aliases = [{ name: 'brand-new', targets: [{ provider: 'openai', model: 'round-numbers' }] }]
  const [first, second] = replicas
  const knows = async (replica: TestGateway): Promise<boolean> =>
    (await (await replica.request('GET', '/v1/models')).text()).includes('brand-new')
  expect(await knows(second)).toBe(false)
  expect(await first.reload({ aliases })).toEqual([])
  expect(await knows(first)).toBe(true)
  await eventually('the other one to know the alias', () => knows(second), 4_500)
})

test('without Redis a revoked key stops within ten seconds, and calls go on', async () => {
  const { id, secret } = await createKey()
  const another = await createKey()
  expect(await statuses(secret)).toEqual([200, 200])
  redis.pause()
  await changing(() => keys.revoke(id, operator))
  expect(await untilRefused(secret, 10_000)).toBeLessThan(10_000)
  expect(await statuses(another.secret)).toEqual([200, 200])

  await redis.kill()
  expect(await statuses(another.secret)).toEqual([200, 200])
  await redis.restart()
  await eventually(
    'both replicas to hear again',
    async () => {
      const connected = await Promise.all(replicas.map((replica) => replica.metric('llmgw_events_connected')))
      return connected.every((value) => value === 1)
    },
    20_000,
  )
  await changing(() => keys.revoke(another.id, operator))
  await untilRefused(another.secret, 3_000)
})
